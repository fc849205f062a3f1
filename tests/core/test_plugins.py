"""Plugins: found, loaded each on its own, and refused for a reason that is told when they are asked for."""

import re
import threading
import traceback
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest

from places import BACKENDS
from pycrograd_core import Matrix, Tensor, get_backend, use_backend
from pycrograd_core.errors import BackendError, PluginError
from pycrograd_core.matrix import CONTRACT
from pycrograd_core.plugins import BackendSpec, Probe, backends, candidates, default_backend, hookimpl
from pycrograd_core.plugins.examination import Examination, Status, examined
from pycrograd_core.plugins.loader import Plugins
from pycrograd_core.registry import Registry, UnknownNameError

WORKING = get_backend(BACKENDS[0])


def spec(name, **changes):
    """A backend of its own that works."""
    fields = {
        "contract": CONTRACT,
        "summary": "For tests.",
        "load": lambda device: type("Copy", (WORKING,), {"__slots__": ()}),
        "probe": lambda: Probe(version="1.0", devices=("CPU",)),
    }
    return BackendSpec(name=name, **fields | changes)


def module(*specs, hook="pycrograd_register_backends", **hooks):
    """A plugin that registers backends, and what else it is given."""
    hooks = {hook: lambda: list(specs), **hooks} if specs else hooks
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def entry(name, load):
    """An entry point, which on loading gives a module or raises."""
    distribution = SimpleNamespace(metadata={"Name": f"{name}-dist", "Version": "2.3"})
    return SimpleNamespace(name=name, dist=distribution, load=load)


def raising(error):
    def function(*arguments):
        raise error

    return function


@pytest.fixture
def install(monkeypatch):
    """Puts plugins in place of those of this environment: names with a module, or with an error raised on import."""

    def installed(*found, blocked=()):
        entries = [
            entry(name, raising(what) if isinstance(what, BaseException) else partial(lambda what: what, what))
            for name, what in found
        ]
        plugins = Plugins(entries, frozenset(blocked))
        monkeypatch.setattr(backends, "installed", lambda: plugins)
        candidates.cache_clear()
        backends._loaded.cache_clear()
        return plugins

    yield installed
    monkeypatch.undo()
    candidates.cache_clear()
    backends._loaded.cache_clear()


def test_a_backend_is_loaded_when_it_is_asked_for(install):
    loaded = []

    def load(device):
        loaded.append(device)
        return type("Copy", (WORKING,), {"__slots__": ()})

    install(("one", module(spec("first", load=load), spec("second"))))
    assert list(candidates()) == ["first", "second"]
    assert loaded == []
    matrix = get_backend("first", "cpu:1")
    assert (matrix.backend, loaded) == ("first", ["cpu:1"])
    assert get_backend("first", "cpu:1") is matrix is not get_backend("first")
    with use_backend("first") as chosen:
        assert chosen is get_backend("first") is type(Tensor(1.0, backend="first").value)
    assert loaded == ["cpu:1", None]
    candidate = candidates()["first"]
    assert (candidate.plugin.distribution, candidate.plugin.version) == ("one-dist", "2.3")
    assert examined(candidate).status is Status.USABLE


class Half(Matrix):
    """Lacks all kernels."""

    __slots__ = ()


BROKEN = {  # a plugin, or what it raises on import; what get_backend says of it; of which type the cause is
    "raises on import": (ImportError("no driver"), "is broken: no driver", ImportError),
    "raises in its hook": (module(pycrograd_register_backends=raising(OSError("x"))), "is broken: x", OSError),
    "has an unknown hook": (module(pycrograd_register_planets=lambda: None), "unknown hook", Exception),
    "has a hook with a parameter": (module(pycrograd_register_backends=lambda nonsense: []), "nonsense", Exception),
    "registers nothing": (module(pycrograd_register_backends=lambda: None), "must return a list of", PluginError),
    "registers text": (module(pycrograd_register_backends=lambda: ["broken"]), "must return a list of", PluginError),
    "is for the next contract": (
        module(spec("broken", contract=(CONTRACT[0] + 1, 0))),
        f"is broken: broken-dist is written for contract {CONTRACT[0] + 1}.0; this core has ",
        BackendError,
    ),
    "is for a later contract": (
        module(spec("broken", contract=(CONTRACT[0], CONTRACT[1] + 1))),
        f"is broken: broken-dist is written for contract {CONTRACT[0]}.{CONTRACT[1] + 1}; this core has ",
        BackendError,
    ),
    "raises while it is loaded": (
        module(spec("broken", load=raising(OSError("no libOpenCL.so")))),
        "cannot be loaded: OSError: no libOpenCL.so",
        OSError,
    ),
    "loads something else": (
        module(spec("broken", load=lambda device: "matrix")),
        r"load\(\) returned 'matrix', not a subclass of Matrix",
        type(None),
    ),
    "ends the program on import": (SystemExit("bye"), "is broken: bye", SystemExit),
    "lacks kernels": (
        module(spec("broken", load=lambda device: Half)),
        "lacks the kernels add, add_rows, argmax, assign, ",
        type(None),
    ),
    "has no such device": (
        module(spec("broken", load=raising(BackendError("no device 7")))),
        "no device 7",
        type(None),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_a_broken_plugin_is_told_of_when_it_is_asked_for(name, order, install):
    """And takes no other one down."""
    broken, message, cause = BROKEN[name]
    install(*[("broken", broken), ("working", module(spec("working")))][::order])
    assert get_backend("working").backend == "working"
    assert sorted(candidates()) == ["broken", "working"]
    with pytest.raises(BackendError, match=message) as caught:
        get_backend("broken")
    assert isinstance(caught.value.__cause__, cause)
    candidate = candidates()["broken"]
    seen = examined(candidate)
    assert seen.status is Status.BROKEN
    assert re.search(message.removeprefix("is broken: "), seen.probe.reason)
    assert candidate.failure is None or caught.value.__cause__ is candidate.failure


def test_the_traceback_of_a_broken_plugin_leads_into_it(install):
    def load_the_driver():
        raise OSError("no driver")

    install(("broken", module(pycrograd_register_backends=load_the_driver)))
    with pytest.raises(BackendError) as caught:
        get_backend("broken")
    assert "load_the_driver" in "".join(traceback.format_exception(caught.value.__cause__))


def test_two_backends_of_one_name_are_both_refused(install):
    install(("a", module(spec("same"))), ("b", module(spec("same"), spec("other"))))
    with pytest.raises(BackendError, match="b-dist and a-dist both register a backend 'same': remove one"):
        get_backend("same")
    assert get_backend("other").backend == "other"


@pytest.mark.parametrize("second", [ImportError("late"), module(spec("other"))], ids=["broken", "working"])
def test_two_plugins_of_one_name(second, install):
    """The first keeps working; the second is listed as broken, beside a backend of its name."""
    install(("same", module(spec("same"))), ("same", second))
    assert get_backend("same").backend == "same"
    assert list(candidates()) == ["same", "same of same-dist"]
    with pytest.raises(BackendError, match=r"late|another plugin is called 'same' too: uninstall one of them"):
        get_backend("same of same-dist")


def test_a_blocked_plugin_is_left_alone(install):
    install(("slow", AssertionError("it was imported")), ("working", module(spec("working"))), blocked=["slow"])
    candidate = candidates()["slow"]
    assert candidate.plugin.blocked
    assert examined(candidate) == Examination(Status.BLOCKED, Probe(reason="blocked by PYCROGRAD_BLOCK_PLUGINS"))
    with pytest.raises(BackendError, match="'slow' is blocked by PYCROGRAD_BLOCK_PLUGINS"):
        get_backend("slow")
    assert get_backend("working").backend == "working"


def test_a_probe_that_raises_is_a_reason(install):
    without = spec("a", probe=raising(RuntimeError("no platform"))), spec("b", probe=lambda: Probe(reason="none"))
    install(("a", module(*without)))
    found = {name: (seen.status, seen.probe.reason) for name, c in candidates().items() if (seen := examined(c))}
    assert found == {"a": ("unusable", "RuntimeError: no platform"), "b": ("unusable", "none")}


def test_a_plugin_that_registers_no_backend_is_told_of(install):
    install(("mine", ModuleType("mine")), ("other", module(spec("other"))))
    with pytest.raises(BackendError, match=r"'mine' \(mine-dist\) registers no backend: .* needs its `@hookimpl`"):
        get_backend("mine")


@pytest.mark.parametrize("contract", ["1.0", (1,), (1, 0, 0), ("1", "0"), None])
def test_a_contract_that_is_no_pair_of_numbers(install, contract):
    install(("mine", module(spec("mine", contract=contract))))
    with pytest.raises(BackendError, match=r"is written for contract .*, which is no \(1, 0\)"):
        get_backend("mine")


def test_an_unknown_backend_is_answered_with_the_nearest(install):
    install(("one", module(spec("vulkan"), spec("metal"))))
    with pytest.raises(
        BackendError, match=r"no backend 'vulcan' installed; did you mean 'vulkan'\? Known: metal, vulkan"
    ):
        get_backend("vulcan")
    with pytest.raises(BackendError, match="there is no backend 'x' installed; Known: metal"):
        get_backend("x")


# Which backend -----------------------------------------------------------------------------------------------------


def test_a_broken_default_is_not_replaced_in_silence(install, monkeypatch):
    monkeypatch.delenv("PYCROGRAD_BACKEND", raising=False)
    install(("one", module(spec("low"), spec("newer", priority=99, contract=(9, 0)))))
    with pytest.raises(BackendError, match="the backend 'newer' is broken"):
        default_backend()
    monkeypatch.setenv("PYCROGRAD_BACKEND", "low")
    assert default_backend().backend == "low"


def test_the_default_backend(install, monkeypatch):
    monkeypatch.delenv("PYCROGRAD_BACKEND", raising=False)
    install(("one", module(spec("low"), spec("high", priority=9))))
    assert default_backend().backend == "high"
    monkeypatch.setenv("PYCROGRAD_BACKEND", "low")
    assert default_backend().backend == "low"
    assert Tensor(1.0).backend == "low"
    with use_backend("high"):
        assert Tensor(1.0).backend == "high"
    monkeypatch.setenv("PYCROGRAD_BACKEND", "none")
    with pytest.raises(BackendError, match="there is no backend 'none'"):
        default_backend()


def test_no_backend_at_all(install, monkeypatch):
    monkeypatch.delenv("PYCROGRAD_BACKEND", raising=False)
    install(("broken", ImportError("x")))
    with pytest.raises(BackendError, match="no backend is installed: install one"):
        Tensor(1.0)


def test_use_backend_nests_and_ends(install):
    install(("one", module(spec("a"), spec("b"))))
    with use_backend("a") as outer:
        assert default_backend() is outer is get_backend("a")
        with use_backend(get_backend("b")):
            assert default_backend().backend == "b"
        with pytest.raises(ZeroDivisionError), use_backend("b"):
            _ = 1 / 0
        with pytest.raises(BackendError):
            use_backend("c").__enter__()
        assert default_backend() is outer
        found = []
        thread = threading.Thread(target=lambda: found.append(default_backend().backend))
        thread.start()
        thread.join()
        assert found == ["b"], "another thread has its own: here the default, the last by name"


# Other hooks -------------------------------------------------------------------------------------------------------


def made():
    pass


def test_registries_are_extended_by_plugins(install):
    plugins = install(
        ("a", module(pycrograd_register_layers=lambda: {"a1": made, "a2": made})),
        ("b", module(pycrograd_register_layers=lambda: {"b1": made}, pycrograd_register_models=lambda: {"m": made})),
        ("broken", ImportError("x")),
    )
    layers, models = Registry("layer"), Registry("model")
    plugins.extend("pycrograd_register_layers", layers)
    plugins.extend("pycrograd_register_models", models)
    assert (sorted(layers), sorted(models)) == (["a1", "a2", "b1"], ["m"])


@pytest.mark.parametrize(
    ("hook", "trouble"),
    [
        (raising(OSError("x")), "the plugin 'bad' (bad-dist) failed in pycrograd_register_layers: OSError('x')"),
        (lambda: None, "the plugin 'bad' (bad-dist) failed in pycrograd_register_layers: returned no mapping: None"),
        (lambda: {"taken": lambda: None, "new": made}, "the layer 'taken' is registered twice"),
        (lambda: {"new": 3}, "the layer 'new' is 3, which is no function"),
        (lambda: {3: made}, "the layer 3 is <function made at "),
    ],
)
def test_a_registration_that_fails_is_told_to_who_asks_for_a_name(hook, trouble, install):
    layers = Registry("layer")
    layers.register("taken", made)
    install(("bad", module(pycrograd_register_layers=hook)), ("broken", ImportError("y"))).extend(
        "pycrograd_register_layers", layers
    )
    assert layers["taken"] is made
    with pytest.raises(UnknownNameError) as caught:
        layers["absent"]
    assert trouble in str(caught.value)
    assert "the plugin 'broken' (broken-dist) is broken: ImportError('y')" in str(caught.value)
