"""The core's own replay of a program: op by op, by the backend's kernels, into buffers that are planned once.

It is what runs where a backend's `compile` returns None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pycrograd_core.matrix import Kernel, Matrix

from .plan import Plan, plan
from .program import Instruction, Program, Value

Run = Callable[..., Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Call:
    """One kernel. Places are positions in the list of all matrices; -1 is none."""

    kernel: Kernel
    operands: tuple[int, ...]
    params: dict[str, Any]
    result: int
    home: int  # the state or argument in whose memory the result belongs
    buffer: Any  # the matrix that the kernel may write to

    def run(self, values: list[Any]) -> None:
        """Compute the result, where it belongs."""
        operands = [values[place] for place in self.operands]
        out = self.buffer if self.home < 0 else values[self.home]
        if out is None:
            values[self.result] = self.kernel(*operands, **self.params)
            return
        result = self.kernel(*operands, **self.params, out=out)
        if self.home >= 0 and result is not out:
            out.assign(result)
            result = out
        values[self.result] = result


def replay(program: Program) -> Run:
    """A function of a matrix for each argument that returns a new matrix for each output."""
    memory = plan(program)
    places = {value: place for place, value in enumerate(program.inputs)}
    for step in memory.steps:
        places[step.outputs[0]] = len(places)
    constants: list[Any] = [None] * len(places)
    for value, state in program.states.items():
        constants[places[value]] = state
    for value, constant in program.constants.items():
        constants[places[value]] = constant.made(program.matrix, value)
    calls = _calls(program, memory, places)
    feeds = [(places[value], draw, (*value.shape, value.dtype)) for value, draw in program.feeds.items()]
    saved = {places[value]: places[value] + len(places) for value in memory.saved}
    copies = [(places[target], saved.get(places[value], places[value])) for target, value in memory.copies]
    written = {places[value] for value in (*program.inputs, *memory.homes)}
    outputs = [(places[value], places[value] in written) for value in program.outputs]
    repeated = {place for position, (place, _) in enumerate(outputs) if (place, False) in outputs[:position]}
    outputs = [(place, copied or place in repeated) for place, copied in outputs]
    count = len(program.arguments)
    blank = [None] * len(places)

    def run(*arguments: Any) -> list[Any]:
        values = constants + blank  # the second half is for inputs that are saved from being overwritten
        values[:count] = arguments
        for place, draw, kind in feeds:
            values[place] = program.matrix.from_feed(draw, *kind)
        for place, copy in saved.items():
            values[copy] = _copy(values[place])
        for call in calls:
            call.run(values)
        results = [_copy(values[place]) if copied else values[place] for place, copied in outputs]
        for target, source in copies:
            values[target].assign(values[source])
        return results

    return run


def _calls(program: Program, memory: Plan, places: dict[Value, int]) -> list[_Call]:
    numbers, kinds = memory.buffers
    buffers: list[Any] = [None] * len(kinds)
    calls = []
    for step in memory.steps:
        assert isinstance(step, Instruction)
        op, output = step.op, step.output
        home = places[memory.homes[output]] if output in memory.homes else -1
        buffer = None
        if op.takes_out and output in memory.roots:
            number = numbers[memory.roots[output]]
            if buffers[number] is None:
                buffers[number] = program.matrix.full(*output.shape, 0.0, output.dtype)
            buffer = buffers[number]
        operands = tuple([places[value] for value in step.inputs])
        kernel = _kernel(program.matrix, step, home)
        calls.append(_Call(kernel, operands, dict(step.params), places[output], home, buffer))
    return calls


def _kernel(matrix: type[Matrix], step: Instruction, home: int) -> Kernel:
    """The backend's kernel; one that takes no `out`, but whose result belongs in a state, is given one to ignore."""
    kernel = matrix.kernels[step.op]
    if home < 0 or step.op.takes_out:
        return kernel

    def without(*operands: Any, out: Any, **params: Any) -> Any:
        return kernel(*operands, **params)

    return without


def _copy(matrix: Any) -> Any:
    """The same values in memory of their own: whoever gets them may keep them."""
    return matrix.reshape(*matrix.shape)
