"""C functions that turn rows into lanes and back: element (row, column) of a block stands at column · lanes + row.

With the rows in the lanes of vectors, what is done to each row is done to all of them by the same instructions, and
what is summed over a row needs no shuffling.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from .task import Functions

SQUARE = 8  # rows and columns that are transposed in registers


class Rows(Enum):
    """Which rows a block is made of."""

    FOLLOWING = "{first} + {lane} < rows ? {first} + {lane} : rows - 1"  # beyond the last one the last one again
    NUMBERED = "numbers[{lane}]"


def into_lanes(functions: Functions, scalar: str, lanes: int, rows: Rows) -> str:
    """The name of a function `(to, from, columns, first, rows)`, or `(to, from, columns, numbers)`."""
    chosen = "const int first, const int rows" if rows is Rows.FOLLOWING else "__global const int* numbers"
    parameters = f"__global {scalar}* to, __global const {scalar}* from, const int columns, {chosen}"

    def start(lane: int | str) -> str:
        return f"from + (size_t)({rows.value.format(first='first', lane=lane)}) * columns"

    lines = []
    if lanes % SQUARE == 0:
        for base in range(0, lanes, SQUARE):
            lines.append("{")
            lines += [f"__global const {scalar}* r{i} = {start(base + i)};" for i in range(SQUARE)]
            lines.append(f"for (int c = 0; c + {SQUARE} <= columns; c += {SQUARE}) {{")
            lines += [f"const {scalar}8 a{i} = vload8(0, r{i} + c);" for i in range(SQUARE)]
            lines += transposed([f"a{i}" for i in range(SQUARE)], f"{scalar}8")
            lines += [f"vstore8(y{i}, 0, to + (c + {i}) * {lanes} + {base});" for i in range(SQUARE)]
            lines.append("}}")
    begin = f"columns & ~{SQUARE - 1}" if lanes % SQUARE == 0 else "0"
    lines += [
        f"for (int lane = 0; lane < {lanes}; lane++) {{",
        f"__global const {scalar}* row = {start('lane')};",
        f"for (int c = {begin}; c < columns; c++) to[c * {lanes} + lane] = row[c];",
        "}",
    ]
    return functions.name("into_lanes", parameters, "\n".join(lines))


def into_rows(functions: Functions, scalar: str, lanes: int) -> str:
    """The name of a function `(to, from, columns, first, rows)` that writes the rows that there are."""
    parameters = (
        f"__global {scalar}* to, __global const {scalar}* from, const int columns, const int first, const int rows"
    )
    lines = ["to += (size_t)first * columns;"]
    if lanes % SQUARE == 0:
        lines.append(f"if (first + {lanes} <= rows) {{")
        for base in range(0, lanes, SQUARE):
            lines.append(f"for (int c = 0; c + {SQUARE} <= columns; c += {SQUARE}) {{")
            lines += [f"const {scalar}8 a{i} = vload8(0, from + (c + {i}) * {lanes} + {base});" for i in range(SQUARE)]
            lines += transposed([f"a{i}" for i in range(SQUARE)], f"{scalar}8")
            lines += [f"vstore8(y{i}, 0, to + {base + i} * columns + c);" for i in range(SQUARE)]
            lines.append("}")
        lines += [
            f"for (int lane = 0; lane < {lanes}; lane++)",
            f"for (int c = columns & ~{SQUARE - 1}; c < columns; c++)",
            f"to[lane * columns + c] = from[c * {lanes} + lane];",
            "return;",
            "}",
        ]
    lines += [
        f"for (int lane = 0; lane < {lanes} && first + lane < rows; lane++)",
        f"for (int c = 0; c < columns; c++) to[lane * columns + c] = from[c * {lanes} + lane];",
    ]
    return functions.name("into_rows", parameters, "\n".join(lines))


def transposed(a: Sequence[str], kind: str) -> list[str]:
    """Lines that define y0 … y7, the columns of eight vectors of eight, by pairs, then quarters, then halves."""
    lines = []
    for i in range(0, SQUARE, 2):
        for half, places in enumerate(("0145", "2367")):
            pairs = ", ".join(f"{a[i]}.s{place}, {a[i + 1]}.s{place}" for place in places)
            lines.append(f"const {kind} t{i + half} = ({kind})({pairs});")
    for i in range(0, SQUARE, 4):
        for half in range(2):
            one, other = f"t{i + half}", f"t{i + half + 2}"
            for quarter, (low, high) in enumerate((("01", "45"), ("23", "67"))):
                pairs = f"{one}.s{low}, {other}.s{low}, {one}.s{high}, {other}.s{high}"
                lines.append(f"const {kind} u{i + 2 * half + quarter} = ({kind})({pairs});")
    for i in range(SQUARE // 2):
        for half, part in enumerate(("lo", "hi")):
            lines.append(f"const {kind} y{i + 4 * half} = ({kind})(u{i}.{part}, u{i + 4}.{part});")
    return lines
