"""Steps on whole matrices, each element of the result on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pycrograd_core.capture.program import Instruction, Value

from ..c_types import SCALARS, CType
from ..expressions import ELEMENTWISE
from .code import IN_TURN, Code, chained
from .places import Place
from .task import Task, spans

ELEMENTS = 1 << 13  # of a tile of vectors


def elementwise(code: Code, steps: Sequence[Instruction], outputs: Sequence[Value]) -> Task:
    """Connected steps of one shape in one pass."""
    rows, columns = steps[0].output.shape
    dtype = steps[0].output.dtype
    inputs = _outside(code, steps)
    if all(value.shape in ((rows, columns), (1, 1)) for value in inputs):
        rows, columns = 1, rows * columns  # it makes no difference where a row ends

    def tile(width: int) -> list[str]:
        kind, names = CType.of(dtype, width), dict[Value, str]()
        lines = chained(steps, names, lambda value: _operand(code, value, kind, rows, columns), kind, "e")
        places = [(names[value], f"{code.places[value].text} + (size_t)r * {columns} + c") for value in outputs]
        return lines + [kind.store(name, place) for name, place in places]

    places = code.places
    return _tiled(code.width(dtype), rows, columns, tile, [places[v] for v in inputs], [places[v] for v in outputs])


def summed(code: Code, steps: Sequence[Instruction], outputs: Sequence[Value]) -> Task:
    """A product or a sum over rows, and what follows it: each element is summed by one work-item."""
    first, *chain = sorted(steps, key=lambda step: step.op.name in ELEMENTWISE)
    rows, columns = first.output.shape
    kind = CType.of(first.output.dtype)
    inputs = _outside(code, steps)
    names = {first.output: "a"}
    lines = [f"const int r = t / {columns}, c = t % {columns};", f"{kind} a = 0;", *_sum(code, first)]
    if first.op.name == "linear":
        lines.append(f"a += {code.places[first.inputs[2]].text}[c];")
    lines += chained(chain, names, lambda value: _operand(code, value, kind, rows, columns), kind, "e")
    lines += [f"{code.places[value].text}[(size_t)r * {columns} + c] = {names[value]};" for value in outputs]
    places = code.places
    reads = spans([places[value] for value in inputs])
    return Task(rows * columns, "\n".join(lines), reads, spans([places[value] for value in outputs]))


def _sum(code: Code, step: Instruction) -> list[str]:
    """The loop that sums element (r, c)."""
    x = step.inputs[0]
    if step.op.name == "sum":
        term = f"{code.places[x].text}[(size_t)k * {x.shape[1]} + c]"
        return _in_parts(x.shape[0], f"part += {term};", SCALARS[x.dtype])
    w = step.inputs[1]
    turned_a, turned_b = bool(step.params.get("transpose_a")), bool(step.params.get("transpose_b"))
    one = f"(size_t)k * {x.shape[1]} + r" if turned_a else f"(size_t)r * {x.shape[1]} + k"
    other = f"(size_t)c * {w.shape[1]} + k" if turned_b else f"(size_t)k * {w.shape[1]} + c"
    inner = x.shape[0] if turned_a else x.shape[1]
    factors = f"{code.places[x].text}[{one}], {code.places[w].text}[{other}]"
    return _in_parts(inner, f"part = fma({factors}, part);", SCALARS[x.dtype])


def _in_parts(count: int, add: str, scalar: str) -> list[str]:
    """A loop over `k` that adds to `part`, and at times the part to `a`."""
    return [
        f"for (int from = 0; from < {count}; from += {IN_TURN}) {{",
        f"{scalar} part = 0;",
        f"for (int k = from; k < min(from + {IN_TURN}, {count}); k++) {add}",
        "a += part;",
        "}",
    ]


def copy(code: Code, source: Place, target: Place) -> Task:
    """The same values in other memory."""

    def tile(width: int) -> list[str]:
        kind = CType(source.scalar, width)
        return [kind.store(kind.load(f"{source.text} + c"), f"{target.text} + c")]

    return _tiled(code.width(source.value.dtype), 1, source.value.size, tile, [source], [target])


def fill(code: Code, value: float, target: Place) -> Task:
    """One number throughout."""
    dtype = target.value.dtype

    def tile(width: int) -> list[str]:
        kind = CType.of(dtype, width)
        return [kind.store(kind.number(value), f"{target.text} + c")]

    return _tiled(code.width(dtype), 1, target.value.size, tile, [], [target])


def _outside(code: Code, steps: Sequence[Instruction]) -> list[Value]:
    """What steps read that is in memory."""
    inside = {step.output for step in steps}
    read = (value for step in steps for value in step.inputs if value not in inside)
    products = {value for step in steps if step.op.name not in ELEMENTWISE for value in step.inputs}
    return list(dict.fromkeys(value for value in read if value not in code.numbers or value in products))


def _tiled(
    widest: int,
    rows: int,
    columns: int,
    tile: Callable[[int], list[str]],
    reads: Sequence[Place],
    writes: Sequence[Place],
) -> Task:
    """A task over the elements of a matrix: row `r`, columns from `c` on."""
    if widest == 1:
        body = [f"const int r = t / {columns}, c = t % {columns};", *tile(1)]
        return Task(rows * columns, "\n".join(body), spans(reads), spans(writes))
    across = -(-columns // ELEMENTS)
    high = max(1, ELEMENTS // columns)
    body = [
        f"const int from = t / {across} * {high}, to = min(from + {high}, {rows});",
        f"const int end = min((t % {across} + 1) * {ELEMENTS}, {columns});",
        "for (int r = from; r < to; r++) {",
        f"int c = t % {across} * {ELEMENTS};",
        f"for (; c + {widest} <= end; c += {widest}) {{",
        *tile(widest),
        "}",
        "for (; c < end; c++) {",
        *tile(1),
        "}}",
    ]
    return Task(across * -(-rows // high), "\n".join(body), spans(reads), spans(writes))


def _operand(code: Code, value: Value, kind: CType, rows: int, columns: int) -> str:
    """A value at row `r` and from column `c` on."""
    if value in code.numbers:
        return kind.number(code.numbers[value])
    place = code.places[value]
    if value.shape == (1, 1):
        return kind.splat(f"{place.text}[0]")
    if rows > 1 and value.shape[1] == 1:
        return kind.splat(f"{place.text}[r]")
    row = f"(size_t)r * {columns} + " if rows > 1 and value.shape[0] > 1 else ""
    return f"({kind.load(f'{place.text} + {row}c')})"
