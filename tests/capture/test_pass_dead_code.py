"""Dead code."""

from itertools import pairwise

from pycrograd_core import ops
from pycrograd_core.capture.passes import dead_code, fuse_elementwise
from pycrograd_core.capture.program import Instruction, Value
from pycrograd_core.capture.recorder import Recorder, trace_matrices


def test_what_no_result_needs_is_dropped(backend, structure):
    def step(x, w):
        ops.tanh(ops.exp(x) * 3.0)
        w.update(ops.add, (w, x), {})
        return ops.relu(x)

    program = dead_code(trace_matrices(step, backend, (2, 3), (2, 3)))
    assert structure(program) == ["v0 = add(x1, x0)", "v1 = relu(x0)"]
    assert not program.constants


def test_arguments_and_feeds_stay_and_states_that_nothing_reads_or_writes_go(backend):
    recorder = Recorder(backend)
    x, unread = recorder.argument((2, 2), "float32"), recorder.argument((1, 1), "float32")
    states = [recorder.state(backend.full(2, 2, number, "float32")) for number in (1.0, 2.0, 3.0, 4.0)]
    read, written, returned, dead = [state.current for state in states]
    recorder.kind.from_feed(lambda rows, cols: [[1.0] * cols] * rows, 2, 2, "float32")
    y = x * states[0]
    states[3] * 2.0
    states[1].assign(y)
    program = recorder.program([y, states[2]], list(zip(recorder.states, states, strict=True)))
    assert dead in program.states
    cleaned = dead_code(program)
    assert cleaned.arguments == program.arguments == (x.current, unread.current)
    assert cleaned.feeds == program.feeds
    assert len(program.feeds) == 1
    assert set(cleaned.states) == {read, written, returned}


def test_a_region_goes_when_all_of_it_is_dead_and_stays_when_some_is_needed(backend, structure):
    def step(x):
        y = ops.tanh(x)
        return ops.sqrt(y), ops.exp(y), ops.matmul(x, y, transpose_b=True)

    program = fuse_elementwise(trace_matrices(step, backend, (2, 3)))
    one = program.with_body(program.body, outputs=program.outputs[1:2])
    assert structure(dead_code(one)) == structure(program)[:1]
    none = program.with_body([*program.body[:1], trace_matrices(ops.exp, backend, (2, 3)).body[0]])
    last = none.body[1].output
    none = none.with_body(none.body, outputs=(last,), arguments=none.body[1].inputs)
    assert structure(dead_code(none)) == ["v0 = exp(x0)"]


def test_a_program_without_dead_code_is_left(backend):
    program = trace_matrices(lambda x: ops.exp(x) * 2.0, backend, (2, 3))
    assert dead_code(program) is program


def test_a_chain_of_dead_steps_goes_whatever_its_length(backend):
    program = trace_matrices(ops.exp, backend, (1, 1))
    values = [program.outputs[0]] + [Value((1, 1), "float32") for _ in range(5000)]
    chain = [Instruction(ops.exp, (x,), {}, y) for x, y in pairwise(values)]
    assert dead_code(program.with_body([*program.body, *chain])).body == program.body
