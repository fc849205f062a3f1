"""Shape rules: what an op accepts, and the shape of what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycrograd_core.op import Mismatch

if TYPE_CHECKING:
    from pycrograd_core.errors import Shape
    from pycrograd_core.op import ShapeRule

AXES = (None, 0, 1)


def of_elements(rule: ShapeRule) -> ShapeRule:
    """Mark the shape rule of ops whose result at a place needs only what the inputs hold at that place."""
    rule.elementwise = True  # type: ignore[attr-defined]
    return rule


def broadcast(*shapes: Shape) -> Shape:
    """The common shape: extents agree, or are 1 and repeat."""
    rows = cols = 1
    for r, c in shapes:
        if r != rows and r != 1:
            if rows != 1:
                raise Mismatch(f"{rows} rows and {r} rows do not broadcast: extents must be equal, or one of them 1")
            rows = r
        if c != cols and c != 1:
            if cols != 1:
                raise Mismatch(f"{cols} columns and {c} columns do not broadcast: extents must be equal, or one 1")
            cols = c
    return rows, cols


@of_elements
def same(x: Any, **_: Any) -> Shape:
    """The shape of the one input."""
    return x.shape


@of_elements
def elementwise(*inputs: Any, **_: Any) -> Shape:
    """Inputs broadcast to one shape."""
    first = inputs[0].shape
    for x in inputs:
        if x.shape != first:
            return broadcast(*[each.shape for each in inputs])
    return first


def reduced(x: Any, axis: int | None = None) -> Shape:
    """1 × cols for axis 0, rows × 1 for axis 1, 1 × 1 for None."""
    if axis not in AXES:
        raise Mismatch(f"axis must be 0 (over rows), 1 (over columns) or None (over all), not {axis!r}")
    rows, cols = x.shape
    return (1 if axis != 1 else rows), (1 if axis != 0 else cols)


def reduced_nonempty(x: Any, axis: int | None = None) -> Shape:
    """As `reduced`, of at least one element: there is no greatest of none."""
    shape = reduced(x, axis)
    rows, cols = x.shape
    if (rows == 0 and axis != 1) or (cols == 0 and axis != 0):
        raise Mismatch("nothing to reduce: the result of no elements is not defined")
    return shape


def along_axis(x: Any, axis: int = 1) -> Shape:
    """The shape of x; `axis` is 0 or 1."""
    if axis not in (0, 1):
        raise Mismatch(f"axis must be 0 (down each column) or 1 (along each row), not {axis!r}")
    if x.shape[axis] == 0:
        raise Mismatch("nothing to normalise: there is no greatest of no elements")
    return x.shape


def product(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Shape:
    """m × n of (m × k) @ (k × n), each operand after its transposition."""
    k, m = a.shape if transpose_a else a.shape[::-1]
    n, inner = b.shape if transpose_b else b.shape[::-1]
    if k != inner:
        raise Mismatch(f"({m}×{k}) @ ({inner}×{n}): the inner extents {k} and {inner} differ")
    return m, n


def linear(x: Any, weight: Any, bias: Any) -> Shape:
    """batch × out of x (batch × in), weight (in × out), bias (1 × out)."""
    shape = product(x, weight)
    if bias.shape != (1, shape[1]):
        raise Mismatch(f"the bias must be 1×{shape[1]}, one number for each column of the weight")
    return shape


def transposed(x: Any) -> Shape:
    """cols × rows."""
    return x.shape[1], x.shape[0]


def reshaped(x: Any, rows: int, cols: int) -> Shape:
    """rows × cols, as many elements as x has."""
    if rows < 0 or cols < 0 or rows * cols != x.shape[0] * x.shape[1]:
        raise Mismatch(f"{x.shape[0] * x.shape[1]} elements do not fill {rows}×{cols}")
    return rows, cols


def broadcast_to(x: Any, rows: int, cols: int) -> Shape:
    """rows × cols, which x broadcasts to."""
    if x.shape[0] not in (1, rows) or x.shape[1] not in (1, cols):
        raise Mismatch(f"does not broadcast to {rows}×{cols}: only extents of 1 repeat")
    return rows, cols


def sliced(x: Any, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Shape:
    """The extents of the block, which lies inside x."""
    if not (0 <= row_start <= row_stop <= x.shape[0] and 0 <= col_start <= col_stop <= x.shape[1]):
        raise Mismatch(f"[{row_start}:{row_stop}, {col_start}:{col_stop}] is not a block inside it")
    return row_stop - row_start, col_stop - col_start


def concatenated(*inputs: Any, axis: int) -> Shape:
    """One below the other (axis 0: columns agree) or side by side (axis 1: rows agree)."""
    if axis not in (0, 1):
        raise Mismatch(f"axis must be 0 (one below the other) or 1 (side by side), not {axis!r}")
    if len({x.shape[1 - axis] for x in inputs}) > 1:
        raise Mismatch(f"all must have the same number of {'columns' if axis == 0 else 'rows'}")
    total = sum(x.shape[axis] for x in inputs)
    return (total, inputs[0].shape[1]) if axis == 0 else (inputs[0].shape[0], total)


def taken(x: Any, indices: Any) -> Shape:
    """n × cols, for n × 1 indices."""
    if indices.shape[1] != 1:
        raise Mismatch(f"the indices must be one column, n×1, not {indices.shape[0]}×{indices.shape[1]}")
    return indices.shape[0], x.shape[1]


def scattered(x: Any, indices: Any, updates: Any) -> Shape:
    """The shape of x; `updates` has a row for each index and the columns of x."""
    if updates.shape != taken(x, indices):
        raise Mismatch(f"the updates must be {indices.shape[0]}×{x.shape[1]}: one row for each index")
    return x.shape


def labelled(logits: Any, labels: Any, **_: Any) -> None:
    """Check one label for each row, and something to average over."""
    if labels.shape != (logits.shape[0], 1):
        raise Mismatch(f"the labels must be {logits.shape[0]}×1: one for each row of the logits")
    if 0 in logits.shape:
        raise Mismatch("nothing to average: the mean of no elements is not defined")


def loss_of_labels(logits: Any, labels: Any) -> Shape:
    """1 × 1, of batch × classes logits and batch × 1 labels."""
    labelled(logits, labels)
    return 1, 1


def paired(a: Any, b: Any) -> Shape:
    """1 × 1, of two operands of the same shape."""
    if a.shape != b.shape:
        raise Mismatch("predictions and targets must have the same shape")
    if 0 in a.shape:
        raise Mismatch("nothing to average: the mean of no elements is not defined")
    return 1, 1


def updated(count: int) -> ShapeRule:
    """A rule: the first `count` operands share a shape, which is that of the result; the others are 1×1 numbers."""

    def rule(*inputs: Any, **_: Any) -> Shape:
        shape: Shape = inputs[0].shape
        if any(x.shape != shape for x in inputs[:count]):
            raise Mismatch("what updates a value must have its shape")
        if any(x.shape != (1, 1) for x in inputs[count:]):
            raise Mismatch("the rate and other numbers of an update must be 1×1")
        return shape

    return of_elements(rule)
