"""A captured program as one Python function of NumPy calls, each on arrays that are planned and bound beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pycrograd_core.capture.plan import ALIGNMENT, Plan, plan
from pycrograd_core.capture.program import Constant, Instruction, Program, Region, Step, Value

from .blocks import blocked
from .emitters import EMITTERS, Emitter, Piece, size_of
from .folding import folded
from .losses import together
from .ordering import updates_early
from .source import Array, Code, Names, Place, carved

if TYPE_CHECKING:
    from .matrix import NumPyMatrix


class Whole(Protocol):
    """A region that is run in one piece."""

    @property
    def scratch(self) -> Sequence[Piece]:
        """The arrays that it needs meanwhile."""

    def suits(self, homes: Mapping[Value, Value]) -> bool:
        """Whether it can run, if these values are computed in the memory of those states."""

    def emit(self, code: Code, *scratch: str) -> None:
        """Add its lines."""


def compiled(program: Program) -> Callable[..., Sequence[NumPyMatrix]]:
    """The function of a program. It works in buffers of its own, so it must not run in two threads at once."""
    program = updates_early(program)
    planned, wholes = arranged(program)
    names = Names()
    feeds = {value: f"d{number}" for number, value in enumerate(program.feeds)}
    places = {value: Place(f"x{number}") for number, value in enumerate(program.arguments)}
    places |= {value: Place(name) for value, name in feeds.items()}
    bound = {value: matrix.array for value, matrix in program.states.items()}  # type: ignore[attr-defined]
    bound |= {value: _filled(value, constant) for value, constant in program.constants.items()}
    places |= {value: Place(names.bind(array), array) for value, array in bound.items()}
    steady = set(program.inputs) - program.updates.keys() - program.stacked - program.feeds.keys()
    code = Code(names, places, _arena(planned.size), _numbers(program), frozenset(steady))
    for value, draw in program.feeds.items():
        source = f"{names.bind(program.matrix.from_feed)}({names.bind(draw)}, {value.shape[0]}, {value.shape[1]}"
        code.prologue.append(f"{feeds[value]} = {source}, {value.dtype!r}).array")
    for value in program.updates:
        if value.dtype == "int32":  # what limits its indices had no longer holds
            state = program.states.get(value)
            owner = names.bind(state) if state is not None else f"m{places[value].text}"
            code.setup.append(f"{owner}.limits = None")
    outputs = [f"o{number}" for number in range(len(program.outputs))]
    emit_body(code, program, planned, wholes, outputs)
    return _function(code, program, outputs)


def arranged(program: Program) -> tuple[Plan, dict[Step, Whole]]:
    """The plan of a program, and the regions of it that are run in one piece."""
    ways: dict[Region, Iterator[Whole | None]] = {}
    chosen: dict[Step, Whole] = {}

    def choose(region: Region) -> None:
        chosen.pop(region, None)
        for way in ways[region]:
            if way is not None:
                chosen[region] = way
                return

    def atomic(region: Region) -> bool:
        if region not in ways:
            ways[region] = _ways(region, program)
            choose(region)
        return region in chosen

    def scratch(step: Step) -> int:
        if isinstance(step, Region):
            return size_of(chosen[step].scratch)
        return size_of(EMITTERS[step.op.name].scratch(step)) if step.op.name in EMITTERS else 0

    while True:
        planned = plan(program, atomic, scratch)
        unsuited = [region for region, whole in chosen.items() if not whole.suits(planned.homes)]
        if not unsuited:
            return planned, chosen
        for region in unsuited:
            choose(region)  # type: ignore[arg-type]


def _ways(region: Region, program: Program) -> Iterator[Whole | None]:
    """How a region may be run in one piece, the best way first."""
    if region.kind == "cross_entropy":
        yield together(region)
    if region.kind == "update":
        yield folded(region, program)
        yield blocked(region, program, arranged, emit_body)


def emit_body(
    code: Code, program: Program, planned: Plan, wholes: Mapping[Step, Whole], outputs: Sequence[str] = ()
) -> None:
    """Add the lines of a program. The places of its inputs are known; `outputs` are the texts of its outputs."""
    places = code.places
    for value, root in planned.roots.items():
        array = carved(code.arena, planned.offsets[root], value.shape, value.dtype)
        places[value] = Place(code.names.bind(array), array)
    for value, target in planned.homes.items():
        places[value] = places[target]
    late = []
    for value, name in zip(program.outputs, outputs, strict=True):
        if value in planned.outputs and value not in places:
            places[value] = Place(name)
        elif value in program.inputs:
            code.call(np.copyto, name, code.text(value))  # before anything is overwritten
        else:
            late.append((name, code.text(value)))
    kept = {value: carved(code.arena, planned.offsets[value], value.shape, value.dtype) for value in planned.saved}
    saved = {value: code.names.bind(array) for value, array in kept.items()}
    for value, name in saved.items():
        code.call(np.copyto, name, code.text(value))
    for step in planned.steps:
        code.scratch = planned.scratch.get(step, 0)
        if isinstance(step, Region):
            wholes[step].emit(code, *code.temporaries(wholes[step].scratch))
        else:
            EMITTERS.get(step.op.name, KERNEL)(code, step)
    late += [(code.text(target), saved.get(value) or code.text(value)) for target, value in planned.copies]
    for name, source in late:
        code.call(np.copyto, name, source)


def _kernel(code: Code, step: Instruction) -> None:
    """The lines for any other op: its kernel, on matrices, and a copy of what that returns."""
    from .matrix import NumPyMatrix

    def wrapped(value: Value) -> str:
        array = code.places[value].array
        if array is None:
            return f"{code.names.shared(NumPyMatrix)}({code.text(value)}, {value.dtype!r})"
        return code.names.bind(NumPyMatrix(array, value.dtype))

    operands = ", ".join(map(wrapped, step.inputs))
    kernel = code.names.bind(NumPyMatrix.kernels[step.op])
    code.call(np.copyto, code.text(step.output), f"{kernel}({operands}, **{code.names.bind(step.params)}).array")


KERNEL = Emitter(_kernel)


def _function(code: Code, program: Program, outputs: Sequence[str]) -> Callable[..., Sequence[NumPyMatrix]]:
    """The code as a function of matrices."""
    from .matrix import NumPyMatrix

    names, arguments = code.names, [f"x{number}" for number in range(len(program.arguments))]
    lines = [f"{name} = m{name}.array" for name in arguments]
    stacked = [name for name, value in zip(arguments, program.arguments, strict=True) if value in program.stacked]
    shapes = dict(zip([*arguments, *outputs], [*program.arguments, *program.outputs], strict=True))
    if stacked:
        first = shapes[stacked[0]]
        lines.append(f"n = len({stacked[0]}) // {first.shape[0]}")
    for name in outputs:
        rows, cols = shapes[name].shape
        extent = f"n * {rows}" if stacked else rows
        lines.append(
            f"{name} = {names.shared(np.empty)}(({extent}, {cols}), {names.shared(np.dtype(shapes[name].dtype))})"
        )
    lines += code.setup
    made = ", ".join(f"{names.shared(NumPyMatrix)}({name}, {shapes[name].dtype!r})" for name in outputs)
    if stacked:
        each = [*stacked, *outputs]
        lines += [f"a{name} = {name}" for name in outputs]
        views = ", ".join(f"{name}.reshape(n, {shapes[name].shape[0]}, {shapes[name].shape[1]})" for name in each)
        made = ", ".join(f"{names.shared(NumPyMatrix)}(a{name}, {shapes[name].dtype!r})" for name in outputs)
    indent = ""
    if code.ieee:
        lines.append(f'with {names.shared(np.errstate)}(all="ignore"):')
        indent = " "
    if stacked:
        lines.append(f"{indent}for {', '.join(each)}, in zip({views}):")
        indent += " "
    feeds = [code.text(value) for value in program.feeds]
    lines += [indent + line for line in code.body([*arguments, *feeds, *outputs])]
    return names.run(names.function([f"m{name}" for name in arguments], [*lines, f"return [{made}]"]))


def _arena(size: int) -> Array:
    """Bytes that begin where a cache line does."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _filled(value: Value, constant: Constant) -> Array:
    if isinstance(constant.content, bytes):
        return np.frombuffer(constant.content, value.dtype).reshape(value.shape)
    return np.full(value.shape, constant.content, value.dtype)


def _numbers(program: Program) -> dict[Value, float]:
    constants = program.constants.items()
    return {value: each.content for value, each in constants if value.size == 1 and isinstance(each.content, float)}
