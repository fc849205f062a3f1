"""Random programs: every pass, alone and after the others, leaves a legal program that computes the same bits."""

from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycrograd_core import ops
from pycrograd_core.capture.passes import PASSES, optimise
from pycrograd_core.capture.program import Region, check, flat
from pycrograd_core.capture.recorder import Recorder

ROWS, COLS, CLASSES = 4, 3, 3
UNARY = ("exp", "tanh", "negative", "relu", "sigmoid", "gelu", "abs", "sqrt", "softmax", "log_softmax")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "greater", "equal", "relu_gradient")
REDUCTIONS = ("sum", "mean", "max", "min")
NUMBERS = (0.0, -0.0, 1.0, -0.5, 2.5, float("inf"))


class Grower:
    """A program of one step under construction: matrices that there are, and numbers that choose among them."""

    def __init__(self, matrix, seed):
        self.choose = Random(seed).choice
        self.recorder = Recorder(matrix)
        self.labels = self.recorder.argument((ROWS, 1), "int32")
        arguments = [(ROWS, COLS), (ROWS, ROWS), (1, COLS), (ROWS, 1), (1, 1)]
        self.values = [self.recorder.argument(shape, "float32") for shape in arguments]
        self.states = []
        for number, shape in enumerate([(ROWS, COLS), (COLS, COLS), (COLS, COLS), (1, COLS), (1, 1)]):
            content = np.linspace(-1.2, 1.1 + number, shape[0] * shape[1], dtype="float32").reshape(shape)
            self.states.append(self.recorder.state(matrix.from_host(content, *shape, "float32")))
        mask = np.arange(ROWS * COLS, dtype="float32").reshape(ROWS, COLS) % 2
        self.values.append(self.recorder.kind.from_feed(lambda rows, cols: mask, ROWS, COLS, "float32"))

    def any(self):
        if self.choose(range(8)) == 0:
            return self.constant()
        return self.choose([*self.values, *self.states])

    def constant(self):
        rows, cols = self.choose([(1, 1), (1, 1), (1, COLS), (ROWS, COLS)])
        return self.recorder.kind.full(rows, cols, self.choose(NUMBERS), "float32")

    def fitting(self, accepts):
        there = [x for x in (*self.values, *self.states) if accepts(x)]
        return self.choose(there) if there else None

    def step(self):
        kind = self.choose(["unary"] * 4 + ["binary"] * 6 + ["reduction"] * 2 + ["product"] * 6 + ["loss"] * 2
                           + ["update"] * 5 + ["layout"] * 3)  # fmt: skip
        result = getattr(self, kind)()
        if result is not None:
            self.values.append(result)

    def unary(self):
        return getattr(ops, self.choose(UNARY))(self.any())

    def binary(self):
        x = self.any()
        shapes = [x.shape, (1, x.cols), (x.rows, 1), (1, 1)]
        y = self.fitting(lambda y: y.shape in shapes) or x
        pair = self.choose([(x, y), (y, x)])
        return getattr(ops, self.choose(BINARY))(*pair)

    def reduction(self):
        return getattr(ops, self.choose(REDUCTIONS))(self.any(), axis=self.choose([None, 0, 1]))

    def product(self):
        x = self.any()
        a, b = self.choose([False, True]), self.choose([False, True])
        inner = x.shape[0 if a else 1]
        y = self.fitting(lambda y: y.shape[1 if b else 0] == inner)
        if y is None:
            return None
        bias = self.fitting(lambda z: z.shape == (1, y.cols))
        if not a and not b and bias is not None:
            return ops.linear(x, y, bias)
        return ops.matmul(x, y, transpose_a=a, transpose_b=b)

    def loss(self):
        logits = self.fitting(lambda x: x.shape == (ROWS, CLASSES))
        g = self.fitting(lambda x: x.shape == (1, 1))
        self.values.append(ops.cross_entropy(logits, self.labels))
        if self.choose([False, True]):
            self.values.append(ops.count_correct(logits, self.labels))
        return ops.cross_entropy_gradient(g, logits, self.labels)

    def update(self):
        state = self.choose(self.states)
        new = self.fitting(lambda x: x.shape == state.shape)
        if self.choose([False, True]):
            rate = self.fitting(lambda x: x.shape == (1, 1))
            state.update(ops.sgd_update, (state, new, rate), {})
        else:
            state.update(ops.accumulate, (state, new), {"decay": 0.9, "weight": self.choose([1.0, 0.5])})

    def layout(self):
        x = self.any()
        kind = self.choose(["transpose", "transpose", "reshape", "take_rows", "concat"])
        if kind == "reshape":
            return ops.reshape(x, rows=x.rows, cols=x.cols)
        if kind == "take_rows":
            return ops.take_rows(x, self.labels) if x.rows >= CLASSES else None
        if kind == "concat":
            return ops.slice(ops.concat(x, x, axis=1), row_start=0, row_stop=x.rows, col_start=1, col_stop=1 + x.cols)
        return ops.transpose(x)

    def program(self, steps):
        for _ in range(steps):
            self.step()
        outputs = [self.any() for _ in range(self.choose([1, 2, 3]))]
        return self.recorder.program(outputs, list(zip(self.recorder.states, self.states, strict=True)))


def arguments(program):
    numbers = np.random.default_rng(3)
    return [
        numbers.integers(0, CLASSES, value.shape).astype("int32")
        if value.dtype == "int32"
        else numbers.uniform(-1.5, 1.5, value.shape).astype("float32")
        for value in program.arguments
    ]


def keeps_promises(step, program):
    """Assert what the docstring of the pass that formed a region says of it, and of those within."""
    if not isinstance(step, Region):
        return
    for inner in step.body:
        keeps_promises(inner, program)
    body = list(flat(step.body))
    made = {each.output for each in body}
    read = {value for each in body for value in each.inputs}
    assert len(step.body) > 1
    elementwise = [each for each in body if each.op.elementwise]
    others = [each for each in body if not each.op.elementwise]
    if step.kind == "product":
        assert others == body[:1]
        assert others[0].op in (ops.matmul, ops.linear)
        for before, after in pairwise(body):
            assert after.output.shape == before.output.shape
            assert made & set(after.inputs) == {before.output}
        assert body[-1].output in step.outputs
    elif step.kind == "update":
        assert len({each.output.shape for each in body}) == 1
        assert len(others) <= 1
        assert all(each.op is ops.sum or each.params["transpose_a"] for each in others)
        assert set(step.outputs) <= set(program.updates.values())
    elif step.kind == "elementwise":
        assert len({each.output.shape for each in elementwise}) == 1
        assert not read & {each.output for each in others}
        assert all(set(each.inputs) <= {each.output for each in elementwise} for each in others)
    elif step.kind == "cross_entropy":
        assert len({each.inputs[-2:] for each in body}) == 1
    else:
        keeps_rows_apart(body, made, read)


def keeps_rows_apart(body, made, read):
    rows = {each.output.shape[0] for each in body if rows_of(each) is not None}
    assert len(rows) == 1
    (rows,) = rows
    for each in body:
        local = rows_of(each)
        if local is None:
            assert each.op.name in ("sum", "mean", "max", "min", "cross_entropy", "count_correct")
            assert each.output not in read
            assert all(value.shape[0] == rows for value in each.inputs)
        else:
            assert all(each.inputs[position].shape[0] == rows for position in local)
            assert not made & {value for i, value in enumerate(each.inputs) if i not in local}
    assert any(not each.op.elementwise for each in body)


def rows_of(instruction):
    return instruction.op.rows_from(instruction.inputs, instruction.params)


def late_reads(program):
    """What is made from the old contents of a state after its new ones are made: costs whoever runs it a copy."""
    order = {instruction.output: position for position, instruction in enumerate(program.instructions)}
    new = {target: order.get(value, len(order)) for target, value in program.updates.items()}
    return {
        (instruction.output, value)
        for position, instruction in enumerate(program.instructions)
        for value in instruction.inputs
        if position > new.get(value, position)
    }


@pytest.mark.many_programs
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what overflows does so before and after
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])  # which hold nothing
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_passes_keep_every_bit(compiling, seed, steps, results, same_bits):
    program = improved = Grower(compiling(None), seed).program(steps)
    given = arguments(program)
    before = expected = results(program, given)
    for name, improve in PASSES:
        before_it = improved
        alone, improved = improve(program), improve(improved)
        check(alone)
        check(improved)
        assert [improved.arguments, list(improved.feeds)] == [program.arguments, list(program.feeds)]
        if name == "absorb_transposes":  # may add in another order: test_pass_absorb_transposes.py has exact sums
            expected = results(improved, given)
            continue
        assert same_bits(results(alone, given), before), f"{name} alone\n{program}\n{alone}"
        assert same_bits(results(improved, given), expected), f"{name} after those before it\n{program}\n{improved}"
        if name.startswith(("fuse", "row")):
            for step in improved.body:
                keeps_promises(step, improved)
            assert late_reads(improved) <= late_reads(before_it), f"{name} moves a read behind a write"
    assert improved.signature() == optimise(program).signature()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_programs_give_every_pass_something_to_do(compiling):
    changed, kinds = Counter(), Counter()
    for seed in range(60):
        program = Grower(compiling(None), seed).program(40)
        for name, improve in PASSES:
            changed[name] += improve(program) is not program
        kinds.update(step.kind for step in optimise(program).body if isinstance(step, Region))
    assert {name for name, _ in PASSES if changed[name] < 10} == set()
    assert {kind for kind in ("product", "update", "cross_entropy", "elementwise", "rows") if kinds[kind] < 5} == set()
