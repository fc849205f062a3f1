"""Ops of plugins: each plugin's trouble is its own, and a wrong rule is the op's fault on every backend."""

import pytest

from pycrograd_core import define_op, ops
from pycrograd_core.conformance import Subject, checks
from pycrograd_core.conformance.runner import run
from pycrograd_core.op import TABLE, Op
from pycrograd_core.ops.samples import unary
from pycrograd_core.ops.shapes import same
from pycrograd_core.plugins import plugin_ops

HOOK = "pycrograd_register_ops"


def cube(name, rule=lambda g, y, x: g * 3.0 * x * x, **fields):
    fields = {"samples": unary(), "decomposition": lambda x: x * x * x} | fields
    return define_op(name, "x³.", same, (rule,), **fields)


def raises():
    raise OSError("no library")


def returning(result):
    return {HOOK: lambda: result}


def test_one_plugin_takes_no_other_down(plugged, table):
    good = cube("good")
    plugged(
        raising={HOOK: raises},
        unfit=returning(None),
        odd=returning(["cube"]),
        kernel=returning([cube("kernel", decomposition=None)]),
        blind=returning([cube("blind", samples=())]),
        stray=returning([Op("stray", "x.", same, None, unary(), lambda x: x)]),
        fine=returning([good]),
        broken={"pycrograd_register_planets": raises},
    )
    assert plugin_ops().ops == (good,)
    broken, raising, *others = sorted(
        plugin_ops().troubles, key=lambda text: ("broken" not in text, "raising" not in text)
    )
    assert broken.startswith("the plugin 'broken' (broken-dist) is broken: PluginValidationError(")
    assert raising == "the plugin 'raising' (raising-dist) failed in pycrograd_register_ops: OSError('no library')"
    assert sorted(others) == [
        "the plugin 'blind' (blind-dist): the op 'blind' needs samples, or nothing of it could be checked",
        "the plugin 'kernel' (kernel-dist): the op 'kernel' needs a decomposition, or no other backend computes it",
        "the plugin 'odd' (odd-dist): 'cube' is no op: make one with define_op",
        "the plugin 'stray' (stray-dist): the op 'stray' is not the one in the table: make it with define_op, and once",
        "the plugin 'unfit' (unfit-dist) failed in pycrograd_register_ops: returned no sequence: None",
    ]


def test_the_kit_asks_plugins_for_their_ops(plugged, table, backend):
    """Also those that are made only when the hook is called."""
    plugged(late={HOOK: lambda: [cube("late")]})
    assert "late" not in TABLE
    subject = Subject(backend)
    assert [check.id for check in checks(subject) if check.op == "late"] == [
        f"gradients/late {dtype}" for dtype in subject.dtypes
    ]


def test_no_backend_is_asked_for_what_no_plugin_registers(plugged, table, backend):
    """A backend cannot have a kernel for an op that some other plugin defines, and registers wrongly or not at all."""
    cube("unheard")
    plugged(kernel=returning([cube("kernel", decomposition=None)]))
    asked = checks(Subject(backend))
    assert {check.op for check in asked}.isdisjoint({"unheard", "kernel"})
    assert {op.name for op in TABLE.values()} - {check.op for check in asked} == {"unheard", "kernel"}


WRONG = {
    "a factor": lambda g, y, x: g * 2.0 * x * x,
    "a hundredth": lambda g, y, x: g * 3.03 * x * x,
    "the sign": lambda g, y, x: g * -3.0 * x * x,
    "without g": lambda g, y, x: 3.0 * x * x,
    "in one place": lambda g, y, x: g * 3.0 * x * x * (1.0 + 0.01 * ops.greater(x, 1.5)),
}


@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_a_wrong_rule_is_the_fault_of_the_op(plugged, table, backend, rule):
    plugged(wrong=returning([cube("wrong", rule)]))
    subject = Subject(backend)
    results = [*run(subject, [check for check in checks(subject) if check.op == "wrong"])]
    assert [result.outcome for result in results] == ["failed"] * len(subject.dtypes)
    for result in results:
        assert result.message.startswith(
            "the op's own gradient rule is wrong, on exact kernels too: wrong(3×5): input 0"
        )
