"""The memory planner: whatever it decides, every step finds in memory what it reads, on programs of every shape.

`Memory` is the independent check. It runs a program on cells that remember which value was last written to them.
"""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrograd_core import ops
from pycrograd_core.capture.plan import ALIGNMENT, plan
from pycrograd_core.capture.program import Instruction, check, region
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.capture.symbolic import ShapeMatrix

SHAPES = ((1, 1), (1, 8), (8, 1), (8, 8), (8, 16), (40, 8))
JUNK = object()


def trace(function, *shapes):
    return trace_matrices(function, ShapeMatrix, *shapes)


# The check ------------------------------------------------------------------------------------------------------------


class Memory:
    """What each byte holds: of the arena, of inputs, and of outputs that have memory of their own."""

    def __init__(self, program, planned, numbers=None):
        self.program, self.planned, self.numbers = program, planned, numbers
        self.holds = {cell: value for value in program.inputs for cell in self.cells(value, value)}

    def cells(self, value, owner=None):
        """The bytes in which a value is."""
        planned = self.planned
        owner = owner or planned.homes.get(value, value)
        if owner in planned.roots:
            root = planned.roots[owner]
            if self.numbers is not None:
                return [("matrix", self.numbers[root], byte) for byte in range(value.bytes)]
            return [("arena", planned.offsets[root] + byte) for byte in range(value.bytes)]
        return [(id(owner), byte) for byte in range(value.bytes)]

    def saved(self, value):
        start = self.planned.offsets[value]
        return [("arena", start + byte) for byte in range(value.bytes)]

    def write(self, value, cells):
        self.holds.update(dict.fromkeys(cells, value))

    def expect(self, value, cells):
        assert all(self.holds.get(cell) is value for cell in cells), "a value was overwritten before it was read"

    def step(self, step):
        read = set()
        for value in step.inputs:
            self.expect(value, self.cells(value))
            read.update(self.cells(value))
        written = [cell for value in step.outputs for cell in self.cells(value)]
        assert len(set(written)) == len(written), "two results in one place"
        if isinstance(step, Instruction):
            overwritten = [x for x in step.inputs if not set(self.cells(x)).isdisjoint(written)]
            assert all(self.cells(x) == written and step.op.elementwise for x in overwritten), "overwritten while read"
        else:
            assert step.kind == "update" or read.isdisjoint(written), "overwritten while read"
        if step in self.planned.scratch and self.numbers is None:
            start = self.planned.scratch[step]
            scratch = [("arena", start + byte) for byte in range(wanted(step))]
            assert read.isdisjoint(scratch)
            assert set(written).isdisjoint(scratch)
            self.write(JUNK, scratch)
        for value in step.outputs:
            self.write(value, self.cells(value))

    def run(self, backwards=False):
        program, planned = self.program, self.planned
        for value in planned.saved:
            self.write(value, self.saved(value))
        for step in planned.steps:
            self.step(step)
        for value in program.outputs:
            if value not in program.inputs:
                self.expect(value, self.cells(value))
        for target, value in planned.copies[:: -1 if backwards else 1]:
            self.expect(value, self.saved(value) if value in planned.saved else self.cells(value))
            self.write(value, self.cells(target))
        for target, value in program.updates.items():
            self.expect(value, [(id(target), byte) for byte in range(target.bytes)])


def wanted(step):
    """Some scratch memory for some steps."""
    return 24 * (len(step.inputs) % 3)


# Random programs ------------------------------------------------------------------------------------------------------


def grown(seed, length):
    """A random program with states, written arguments, swaps, and outputs of every sort."""
    choice = Random(seed).choice
    recorder = Recorder(ShapeMatrix)
    places = [recorder.state(ShapeMatrix(shape, "float32")) for shape in SHAPES for _ in range(2)]
    places += [recorder.argument(shape, "float32") for shape in SHAPES]
    starts = [place.current for place in places]
    values = list(places)

    def copied(place):
        return recorder.kind(place.current)

    for _ in range(length):
        x = choice(values)
        kind = choice(["unary", "binary", "binary", "product", "sum", "update", "update", "swap", "keep"])
        if kind == "unary":
            values.append(ops.tanh(x))
        elif kind == "binary":
            y = choice([y for y in values if y.shape in (x.shape, (1, 1), (1, x.cols))])
            values.append(choice([ops.add(x, y), ops.multiply(y, x)]))
        elif kind == "product":
            values.append(ops.matmul(x, choice([y for y in values if y.rows == x.rows]), transpose_a=True))
        elif kind == "sum":
            values.append(ops.sum(x, axis=choice([0, 1])))
        elif kind == "update":
            place = choice(places)
            place.current = choice([y for y in values if y.shape == place.shape]).current
        elif kind == "swap":
            a = choice(places)
            b = choice([b for b in places if b.shape == a.shape])
            a.current, b.current = b.current, a.current
        else:
            values.append(copied(choice(places)))
    outputs = [copied(choice(values)) for _ in range(3)]
    return recorder.program(outputs, list(zip(starts, places, strict=True)))


def grouped(program, seed):
    """The same with runs of its steps as regions, some within others."""
    random = Random(seed)
    for _ in range(3):
        body, start = list(program.body), random.randrange(len(program.body) + 1)
        members = body[start : start + random.randrange(1, 5)]
        if members:
            rest = body[:start] + body[start + len(members) :]
            outside = {value for step in rest for value in step.inputs} | set(program.results)
            body[start : start + len(members)] = [region(random.choice(KINDS), members, outside.__contains__)]
            program = program.with_body(body)
    check(program)
    return program


KINDS = ("update", "product", "rows")


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([(), KINDS, ("update",), ("product",)]))
def test_every_step_finds_what_it_reads(seed, length, atomic):
    program = grouped(grown(seed, length), seed)
    planned = plan(program, lambda region: region.kind in atomic, wanted)
    for backwards in (False, True):
        Memory(program, planned).run(backwards)
    assert all(offset % ALIGNMENT == 0 for offset in (*planned.offsets.values(), *planned.scratch.values()))
    ends = [planned.offsets[root] + root.bytes for root in planned.spans]
    assert max(ends, default=0) <= planned.size
    made = {value for step in planned.steps for value in step.outputs}
    assert planned.homes.keys() | planned.outputs | planned.roots.keys() == made
    if not planned.scratch:
        assert planned.size <= planned.unshared + sum(value.bytes + ALIGNMENT for value in planned.saved)


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_whole_matrices_hold_what_is_read(seed, length):
    program = grown(seed, length)
    planned = plan(program)
    numbers, kinds = planned.buffers
    Memory(program, planned, numbers).run()
    assert all(kinds[number] == (value.shape, value.dtype) for value, number in numbers.items())
    assert set(numbers.values()) == set(range(len(kinds)))


def test_the_check_finds_what_is_wrong():
    program = trace(lambda x: ops.matmul(ops.exp(x), ops.tanh(x)), (8, 8))
    planned = plan(program)
    first, second = (step.output for step in program.body[:2])
    wrong = type(planned)(**{**vars(planned), "offsets": {**planned.offsets, second: planned.offsets[first]}})
    with pytest.raises(AssertionError, match="overwritten before"):
        Memory(program, wrong).run()


# In place -------------------------------------------------------------------------------------------------------------


def test_elementwise_steps_take_over_an_operand_that_dies():
    program = trace(lambda x: ops.sum(ops.tanh(ops.exp(x) + 1.0)), (8, 8))
    planned = plan(program)
    exp, add, tanh, _ = (step.output for step in program.body)
    assert planned.roots == {exp: exp, add: exp, tanh: exp}
    assert planned.size == 8 * 8 * 4


def test_an_operand_that_is_read_later_is_left_alone():
    def function(x):
        e = ops.exp(x)
        return ops.sum(ops.tanh(e)) + ops.sum(e)

    program = trace(function, (8, 8))
    exp, tanh = (step.output for step in program.body[:2])
    assert plan(program).roots[tanh] is tanh
    assert plan(program).roots[exp] is exp


@pytest.mark.parametrize("product", [lambda e: ops.matmul(e, e), ops.transpose, ops.softmax])
def test_steps_that_are_not_elementwise_overwrite_nothing(product):
    program = trace(lambda x: ops.sum(product(ops.exp(x))), (8, 8))
    exp, made = (step.output for step in program.body[:2])
    planned = plan(program)
    assert planned.roots[made] is made
    assert planned.offsets[made] != planned.offsets[exp]


def test_a_row_that_is_repeated_is_not_overwritten():
    program = trace(lambda row, x: ops.sum(ops.exp(row) + x), (1, 8), (8, 8))
    row, total = (step.output for step in program.body[:2])
    assert plan(program).roots == {row: row, total: total}


def test_arguments_are_not_overwritten():
    program = trace(lambda x: ops.exp(ops.tanh(x)), (8, 8))
    tanh, exp = (step.output for step in program.body)
    planned = plan(program)
    assert planned.roots == {tanh: tanh}
    assert planned.outputs == {exp}


# States ---------------------------------------------------------------------------------------------------------------


def homes(function, *shapes):
    """For each step, the number of the argument in whose memory its result is computed, or None."""
    program = trace(function, *shapes)
    planned = plan(program)
    Memory(program, planned).run()
    numbers = {value: number for number, value in enumerate(program.arguments)}
    return [numbers.get(planned.homes.get(step.output)) for step in program.body], len(planned.copies)


def test_an_update_is_computed_in_the_state():
    def function(w, g, rate):
        w.update(ops.sgd_update, (w, g, rate), {})
        return ops.sum(g)

    assert homes(function, (8, 8), (8, 8), (1, 1)) == ([0, None], 0)


def test_an_update_waits_for_those_who_read_the_old_value():
    def function(w, g):
        old = ops.reshape(w, rows=8, cols=8)
        new = ops.add(w, g)
        late = ops.matmul(recent(w), old)
        w.assign(new)
        return late

    def recent(w):
        return type(w)(w.current)

    assert homes(function, (8, 8), (8, 8)) == ([None, None, None], 1)


def test_a_product_is_not_computed_in_its_operand():
    assert homes(lambda w: w.assign(ops.matmul(w, w)) or ops.sum(w), (8, 8)) == ([None, None], 1)
    assert homes(lambda w, x: w.assign(ops.matmul(x, x)) or ops.sum(w), (8, 8), (8, 8)) == ([0, None], 0)


def test_a_chain_of_updates_stays_in_the_state():
    def function(w, g, rate):
        w.update(ops.sgd_update, (w, ops.multiply(w, rate), rate), {})
        w.update(ops.sgd_update, (w, g, rate), {})
        return ops.sum(g)

    assert homes(function, (8, 8), (8, 8), (1, 1)) == ([None, 0, 0, None], 0)


def test_states_that_change_places_are_saved():
    def function(a, b):
        a.current, b.current = b.current, a.current
        return ops.sum(a)

    program = trace(function, (8, 8), (8, 8))
    planned = plan(program)
    assert set(planned.saved) == set(program.arguments)
    Memory(program, planned).run()


# Growth ---------------------------------------------------------------------------------------------------------------


def test_a_long_chain_needs_the_memory_of_a_short_one():
    def chain(length):
        def function(x, w):
            for _ in range(length):
                x = ops.tanh(ops.matmul(x, w))
            return ops.sum(x)

        return plan(trace(function, (8, 16), (16, 16)))

    short, long = chain(3), chain(2000)
    assert long.size == short.size == 2 * 8 * 16 * 4
    assert long.unshared > 500 * short.unshared
    assert len(long.buffers[1]) == len(short.buffers[1]) == 2


def test_free_pieces_are_joined():
    def function(x):
        parts = [ops.exp(x) for _ in range(4)]
        total = ops.sum(parts[0])
        for part in parts[1:]:
            total = total + ops.sum(part)
        wide = ops.concat(x, x, x, x, axis=0)
        return ops.sum(wide) + total

    planned = plan(trace(function, (8, 8)))
    assert planned.size < 5 * 8 * 8 * 4


def test_a_free_piece_at_the_end_is_extended():
    planned = plan(trace(lambda x, y: (ops.sum(ops.exp(x)), ops.sum(ops.exp(y))), (8, 8), (8, 16)))
    assert planned.size == 8 * 16 * 4


def test_scratch_memory_is_used_again():
    def function(x, w):
        for _ in range(10):
            x = ops.tanh(ops.matmul(x, w))
        return ops.sum(x)

    planned = plan(trace(function, (8, 16), (16, 16)), scratch=lambda step: 1000)
    assert planned.size == 2 * 8 * 16 * 4 + 1024
    assert len(planned.scratch) == len(planned.steps)
