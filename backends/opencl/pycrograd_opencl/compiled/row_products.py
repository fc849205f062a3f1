"""The product of a block of rows, in lanes, with a matrix of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycrograd_core.capture.program import Instruction, Value

from .code import Parameters, chained

if TYPE_CHECKING:
    from .rows import Sweep

FEWEST = 4  # columns at once: with fewer a sum waits for the one before it
DEEP = 512  # terms of a sum: beyond it the rows that are multiplied do not stay in the first cache
DEPTH = 256  # terms at a time, where a sum has more


def lane_product(sweep: Sweep, product: Instruction, chain: Sequence[Instruction], outputs: Sequence[Value]) -> None:
    """Add the call of a function that multiplies, does to each element what follows, and stores what is needed."""
    writer = _Product(sweep, product, chain, outputs)
    lines = writer.body()
    sweep.say(writer.parameters.call(sweep.code.functions, "product", lines))


class _Product:
    """The function of one product; steps alike share one.

    It holds sums of as many columns in registers as there is room for, each a vector of rows: a weight is read once for
    all rows of the block. Long sums are cut into parts, and wait in the memory of the result.
    """

    def __init__(
        self, sweep: Sweep, product: Instruction, chain: Sequence[Instruction], outputs: Sequence[Value]
    ) -> None:
        self.sweep, self.product, self.chain = sweep, product, chain
        x, w = product.inputs[:2]
        self.inner, self.columns = x.shape[1], product.output.shape[1]
        self.transposed = bool(product.params.get("transpose_b"))
        self.depth = DEPTH if self.inner > DEEP else 0
        scalar = sweep.scalar
        self.parameters = Parameters()
        self.parameters.pointer("w", scalar, sweep.whole(w))
        self.parameters.pointer("x", scalar, sweep.lane(x))
        self.parameters.number("inner", self.inner)
        self.parameters.number("columns", self.columns)
        self._given: dict[Value, str] = {}
        for value in (*product.inputs[2:], *(value for step in chain for value in step.inputs)):
            if value not in sweep.code.numbers and not self._made_inside(value):
                self._parameter(value)
        self.targets: dict[Value, str] = {}
        for value in outputs:
            self.targets[value] = name = f"y{len(self.targets)}"
            self.parameters.pointer(name, scalar, sweep.new(value), written=True)

    def body(self) -> list[str]:
        """The statements of the function."""
        if self.depth:
            begin = [
                f"for (int k0 = 0; k0 < inner; k0 += {self.depth}) {{",
                f"const int k1 = min(k0 + {self.depth}, inner);",
            ]
            return [*begin, "int n = 0;", *self._tiles(), "}"]
        return ["const int k0 = 0, k1 = inner;", "int n = 0;", *self._tiles()]

    def _tiles(self) -> list[str]:
        """Loops over columns, one for each width of tile."""
        lines = []
        for number, (width, stop) in enumerate(tiles(self.columns, max(FEWEST, self.sweep.code.registers))):
            self.parameters.number(f"stop{number}", stop)
            lines += [f"for (; n < stop{number}; n += {width}) {{", *self._tile(width), "}"]
        return lines

    def _tile(self, width: int) -> list[str]:
        sweep = self.sweep
        lanes, kind = sweep.lanes, sweep.ctype
        zero = kind.number(0.0)
        waiting = next(iter(self.targets.values()))
        sums = [f"{waiting} + (n + {i}) * {lanes}" for i in range(width)]
        lines = [f"{kind} a{i} = {zero};" for i in range(width)]
        if self.transposed:
            lines += [f"__global const {sweep.scalar}* w{i} = w + (size_t)(n + {i}) * inner;" for i in range(width)]
        else:
            lines.append(f"__global const {sweep.scalar}* v = w + (size_t)k0 * columns + n;")
        lines += ["for (int k = k0; k < k1; k++) {", f"const {kind} s = {kind.load(f'x + (size_t)k * {lanes}')};"]
        for i in range(width):
            weight = f"w{i}[k]" if self.transposed else f"v[{i}]"
            lines.append(f"a{i} = fma({kind.splat(weight)}, s, a{i});")
        lines += ([] if self.transposed else ["v += columns;"]) + ["}"]
        if self.depth:
            added = [f"a{i} += {kind.load(place)};" for i, place in enumerate(sums)]
            kept = [kind.store(f"a{i}", place) for i, place in enumerate(sums)]
            lines += ["if (k0) {", *added, "}", "if (k1 < inner) {", *kept, "continue;", "}"]
        for i in range(width):
            lines += self._finished(i)
        return lines

    def _finished(self, i: int) -> list[str]:
        """What is done to the sum of one column."""
        sweep, at = self.sweep, f"n + {i}"
        names, lines = {self.product.output: f"a{i}"}, []
        if self.product.op.name == "linear":
            lines.append(f"a{i} += {self._operand(self.product.inputs[2], at)};")
        lines += chained(self.chain, names, lambda value: self._operand(value, at), sweep.ctype, f"b{i}_")
        return lines + [
            sweep.ctype.store(names[value], f"{target} + ({at}) * {sweep.lanes}")
            for value, target in self.targets.items()
        ]

    # Operands ------------------------------------------------------------------------------------------------------

    def _parameter(self, value: Value) -> None:
        if value not in self._given:
            self._given[value] = name = f"e{len(self._given)}"
            address = self.sweep.lane(value) if self.sweep.is_local(value) else self.sweep.whole(value)
            self.parameters.pointer(name, self.sweep.scalar, address)

    def _made_inside(self, value: Value) -> bool:
        return any(value is step.output for step in (self.product, *self.chain))

    def _operand(self, value: Value, column: str) -> str:
        sweep = self.sweep
        if value in sweep.code.numbers:
            return sweep.ctype.number(sweep.code.numbers[value])
        name, at = self._given[value], column if value.shape[1] > 1 else "0"
        if sweep.is_local(value):
            return f"({sweep.ctype.load(f'{name} + ({at}) * {sweep.lanes}')})"
        return sweep.ctype.splat(f"{name}[{at}]")


def tiles(columns: int, most: int) -> list[tuple[int, int]]:
    """How to cut columns into tiles: (width, column where tiles of this width end), wide ones first.

    A tile of fewer than FEWEST takes as long as one of FEWEST, so a remainder is shared out among the last tiles.
    """
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for extent in range(1, min(columns, 4 * most) + 1):
        options = []
        for width in range(1, min(most, extent) + 1):
            cost, widths = best[extent - width]
            options.append((cost + max(width, FEWEST), (*widths, width)))
        best[extent] = min(options, key=lambda option: (option[0], len(set(option[1])), len(option[1])))
    whole = max(0, -(-(columns - 4 * most) // most)) * most
    all_widths = sorted([*([most] * (whole // most)), *best[columns - whole][1]], reverse=True)
    result: list[tuple[int, int]] = []
    stop = 0
    for width in all_widths:
        stop += width
        if result and result[-1][0] == width:
            result[-1] = (width, stop)
        else:
            result.append((width, stop))
    return result
