"""Elementwise kernels, of operands whose extents of 1 repeat.

A work-item takes a piece of a row at a time: of `PIECE` elements where it works in vectors, of one where it does not.
An operand that repeats has a stride of 0. Operands of one shape are a single long row.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from pycrograd_opencl.c_types import CType
from pycrograd_opencl.expressions import CONSTANTS, EXPRESSIONS, expression

_KERNEL = """
__kernel void {op}_elements(__global real *y, {pointers}, int rows, int cols, {strides}{numbers})
{{
    const int pieces = (cols + PIECE - 1) / PIECE;
    for (size_t item = get_global_id(0); item < (size_t)rows * pieces; item += get_global_size(0)) {{
        const size_t row = item / pieces;
        const int stop = min((int)(item % pieces + 1) * PIECE, cols);
        int col = (int)(item % pieces) * PIECE;
        __global real *to = y + row * cols;
{rows}{vectors}
        for (; col < stop; col++) {{
{scalars}
            to[col] = {scalar};
        }}
    }}
}}
"""
_VECTORS = """
        for (; col + LANES <= stop; col += LANES) {{
{loads}
            STORE({vector}, 0, to + col);
        }}"""


def arity(op: str) -> int:
    """How many operands an expression has."""
    fields = (field for _, field, _, _ in string.Formatter().parse(EXPRESSIONS[op]) if field)
    return 1 + max(int(field) for field in fields if field.isdecimal())


def parameters(op: str) -> tuple[str, ...]:
    """The numbers that an expression has besides its operands and constants, in their order as kernel arguments."""
    fields = (field for _, field, _, _ in string.Formatter().parse(EXPRESSIONS[op]) if field)
    return tuple(sorted({field for field in fields if not field.isdecimal()} - CONSTANTS))


def arguments(name: str) -> tuple[int, int, int]:
    """How many pointers, ints and numbers the kernel of this name takes, in this order."""
    op = name.removesuffix("_elements")
    return 1 + arity(op), 2 + 2 * arity(op), len(parameters(op))


def kernel(op: str, scalar: CType, vector: CType) -> str:
    """The kernel `{op}_elements`: of result, operands, rows, columns, two strides of each operand, and numbers."""
    operands = range(arity(op))
    return _KERNEL.format(
        op=op,
        pointers=", ".join(f"__global const real *x{i}" for i in operands),
        strides=", ".join(f"int row_stride{i}, int col_stride{i}" for i in operands),
        numbers="".join(f", real {name}" for name in parameters(op)),
        rows=_lines(8, [f"__global const real *row{i} = x{i} + row * row_stride{i};" for i in operands]),
        vectors=_VECTORS.format(loads=_loads(operands), vector=_applied(op, vector)) if vector.lanes > 1 else "",
        scalars=_lines(12, [f"const real v{i} = row{i}[(size_t)col * col_stride{i}];" for i in operands]),
        scalar=_applied(op, scalar),
    )


def _loads(operands: Sequence[int]) -> str:
    loads = [f"const vector v{i} = col_stride{i} ? LOAD(0, row{i} + col) : (vector)(*row{i});" for i in operands]
    return _lines(12, loads)


def _lines(indent: int, lines: Sequence[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _applied(op: str, ctype: CType) -> str:
    names = {name: name if ctype.lanes == 1 else f"((vector){name})" for name in parameters(op)}
    return expression(op, [f"v{i}" for i in range(arity(op))], names, ctype)
