"""A compiled Program: what the generated source needs to be called with matrices, to write states, and to loop."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pycrograd_core.matrix import FORMATS

from .source import StepSource

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Program, Value

    from .product import Values


class CompiledProgram:
    """Call it with a matrix for each argument. `source` is what runs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        written = StepSource(program)
        self.source = written.text
        self._names = written.names
        self._step = written.function()
        self._constants = {self._names[value]: written.namespace[self._names[value]] for value in program.constants}
        self._exceptional = written.exceptional
        self._inputs = frozenset(program.inputs)
        self._passes_through = not self._inputs.isdisjoint(program.results)

    @property
    def exceptions(self) -> int:
        """How many times the kernels ran a region again, because Python raised where IEEE 754 has a result."""
        return sum(each.calls for each in self._exceptional)

    def __call__(self, *arguments: Any) -> Sequence[Any]:
        """Run the step, or with stacked arguments all steps. Returns new matrices for the outputs."""
        given = dict(zip(self.program.arguments, arguments, strict=True))
        if not self.program.stacked:
            outputs = self._run({value: x.data for value, x in given.items()})
            return [self._matrix(value, value.shape[0], data) for value, data in self._each_once(outputs)]
        return self._loop(given)

    def _loop(self, given: dict[Value, Any]) -> Sequence[Any]:
        program = self.program
        one = next(value for value in program.arguments if value in program.stacked)
        steps = given[one].rows // one.shape[0]
        collected: list[Values] = [array(FORMATS[value.dtype]) for value in program.outputs]
        for number in range(steps):
            places = {value: slice(number * value.size, (number + 1) * value.size) for value in program.stacked}
            data = {value: x.data[places[value]] if value in places else x.data for value, x in given.items()}
            for into, (_, values) in zip(collected, self._run(data), strict=True):
                into.extend(values)
            for value in program.stacked & program.updates.keys():
                given[value].data[places[value]] = data[value]
        return [
            self._matrix(value, value.shape[0] * steps, values)
            for value, values in zip(program.outputs, collected, strict=True)
        ]

    def _run(self, data: dict[Value, Values]) -> list[tuple[Value, Values]]:
        """One step, states and arguments written. Returns the arrays of the outputs, which may be others' memory."""
        program, names = self.program, self._names
        states: dict[Value, Any] = dict(program.states)
        places = data | {value: state.data for value, state in states.items()}
        values = {names[value]: x for value, x in places.items()} | self._constants
        matrix: Any = program.matrix
        for value, draw in program.feeds.items():
            values[names[value]] = matrix.from_feed(draw, *value.shape, value.dtype).data
        self._step(values)
        written = {target: values[names[source]] for target, source in program.updates.items()}
        outputs = [(value, values[names[value]]) for value in program.outputs]
        if self._passes_through:  # inputs, whose memory is about to be overwritten, or is not ours
            written = {target: x[:] for target, x in written.items()}
            outputs = [(value, x[:] if value in self._inputs else x) for value, x in outputs]
        for target, x in written.items():
            places[target][:] = x
            if target in states:
                states[target].limits = None
        return outputs

    def _each_once(self, outputs: list[tuple[Value, Values]]) -> list[tuple[Value, Values]]:
        """The arrays, copied where two outputs are one."""
        seen: set[int] = set()
        separate = []
        for value, x in outputs:
            separate.append((value, x[:] if id(x) in seen else x))
            seen.add(id(x))
        return separate

    def _matrix(self, value: Value, rows: int, data: Values) -> Any:
        matrix: Any = self.program.matrix
        return matrix((rows, value.shape[1]), value.dtype, data)
