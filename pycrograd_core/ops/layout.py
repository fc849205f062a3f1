"""Ops that move elements and change none, and the scatter-add that is the gradient of taking rows."""

from __future__ import annotations

from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.op import Mismatch, Op, define

from .elementwise import add
from .samples import Indices, Sample, Uniform, unary
from .shapes import broadcast_to as broadcast_to_shape
from .shapes import concatenated, reshaped, scattered, sliced, taken, transposed


def _none(*_inputs: Any, **_params: Any) -> int:
    return 0


transpose: Op = define(
    "transpose",
    "The transpose, cols × rows.",
    transposed,
    (lambda g, y, x: transpose(g),),
    samples=unary(),
    accepts_indices=True,
    flops=_none,
    takes_out=False,
)
reshape: Op = define(
    "reshape",
    "The same elements, in row-major order, as rows × cols.",
    reshaped,
    (lambda g, y, x, rows, cols: reshape(g, rows=x.shape[0], cols=x.shape[1]),),
    samples=(Sample((Uniform(3, 4),), {"rows": 2, "cols": 6}),),
    accepts_indices=True,
    flops=_none,
    takes_out=False,
)
broadcast_to = define(
    "broadcast_to",
    "Rows or columns of extent 1 repeated to rows × cols.",
    broadcast_to_shape,
    (lambda g, y, x, rows, cols: g,),  # the engine sums over what was repeated
    samples=(Sample((Uniform(1, 4),), {"rows": 3, "cols": 4}), Sample((Uniform(1, 1),), {"rows": 2, "cols": 3})),
    decomposition=lambda x, rows, cols: add(x, x.new_full(rows, cols, 0.0)),
    row_inputs=lambda x, rows, cols: (0,) if x.shape[0] == rows else (),
)


def _slice_rule(g: Any, y: Any, x: Any, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Any:
    rows, cols = x.shape
    return pad(g, above=row_start, below=rows - row_stop, left=col_start, right=cols - col_stop)


def _padded(x: Any, above: int, below: int, left: int, right: int) -> Shape:
    if min(above, below, left, right) < 0:
        raise Mismatch(f"cannot add {above} + {below} rows and {left} + {right} columns: each must be 0 or more")
    return x.shape[0] + above + below, x.shape[1] + left + right


def _pad(x: Any, above: int, below: int, left: int, right: int) -> Any:
    rows, cols = x.shape
    beside = [x.new_full(rows, left, 0.0), x, x.new_full(rows, right, 0.0)]
    middle = concat(*[part for part in beside if part.shape[1]], axis=1) if left or right else x
    width = left + cols + right
    stacked = [x.new_full(above, width, 0.0), middle, x.new_full(below, width, 0.0)]
    return concat(*[part for part in stacked if part.shape[0]], axis=0) if above or below else middle


slice = define(
    "slice",
    "The block of rows row_start … row_stop and columns col_start … col_stop (the stops excluded).",
    sliced,
    (_slice_rule,),
    samples=(Sample((Uniform(5, 4),), {"row_start": 1, "row_stop": 4, "col_start": 0, "col_stop": 3}),),
    accepts_indices=True,
    flops=_none,
    takes_out=False,
    row_inputs=lambda x, row_start, row_stop, col_start, col_stop: (0,) if row_stop - row_start == x.shape[0] else None,
)
pad = define(
    "pad",
    "Rows and columns of zeros around x: the gradient of slice.",
    _padded,
    (
        lambda g, y, x, above, below, left, right: slice(
            g, row_start=above, row_stop=above + x.shape[0], col_start=left, col_stop=left + x.shape[1]
        ),
    ),
    samples=(Sample((Uniform(2, 3),), {"above": 1, "below": 2, "left": 0, "right": 1}),),
    decomposition=_pad,
    row_inputs=lambda x, above, below, left, right: None if above or below else (0,),
)


def _concat_rule(g: Any, y: Any, *inputs: Any, axis: int, position: int) -> Any:
    start = 0
    for each in inputs[:position]:
        start += each.shape[axis]
    stop = start + inputs[position].shape[axis]
    if axis == 0:
        return slice(g, row_start=start, row_stop=stop, col_start=0, col_stop=g.shape[1])
    return slice(g, row_start=0, row_stop=g.shape[0], col_start=start, col_stop=stop)


concat = define(
    "concat",
    "Matrices one below the other (axis 0) or side by side (axis 1).",
    concatenated,
    (_concat_rule,),
    samples=(
        Sample((Uniform(2, 3), Uniform(1, 3), Uniform(4, 3)), {"axis": 0}),
        Sample((Uniform(3, 2), Uniform(3, 4)), {"axis": 1}),
    ),
    variadic=True,
    accepts_indices=True,
    flops=_none,
    takes_out=False,
    row_inputs=lambda *inputs, axis: tuple(range(len(inputs))) if axis == 1 else None,
)
take_rows = define(
    "take_rows",
    "Row indices[i] of x as row i (gather; an embedding).",
    taken,
    (lambda g, y, x, indices: add_rows(x.new_full(*x.shape, 0.0), indices, g), None),
    samples=(Sample((Uniform(4, 3), Indices(6, 4))),),
    indices=(1,),
    index_bound=lambda x, indices: x.shape[0],
    accepts_indices=True,
    flops=_none,
    row_inputs=lambda x, indices: (1,),
)
add_rows: Op = define(
    "add_rows",
    "x with updates[i] added to row indices[i]; repeats accumulate (scatter-add).",
    scattered,
    (lambda g, y, x, indices, updates: g, None, lambda g, y, x, indices, updates: take_rows(g, indices)),
    samples=(Sample((Uniform(4, 3), Indices(6, 4), Uniform(6, 3))),),
    indices=(1,),
    index_bound=lambda x, indices, updates: x.shape[0],
)
