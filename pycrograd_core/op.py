"""What an op is, and the one choke point that every op passes.

An `Op` is a table entry: name, shape rule, gradient rules, samples, tolerance. It is also the function that a user
calls: `exp(x)` is `apply(exp, (x,), {})`. Gradient rules are pure functions `(g, y, *inputs, **params)` written in ops,
where `g` is the gradient with respect to the output `y`; so they run on matrices (first order) and on tensors (any
order). After HIPS/autograd's VJP table and JAX's `Primitive.bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from .errors import DtypeError, GradientError, PluginError, Shape, ShapeError

if TYPE_CHECKING:
    from .operand import Operand
    from .ops.samples import Sample

ShapeRule = Callable[..., Shape]
GradientRule = Callable[..., Any]

HIGHEST_RANK = 1  # of a tensor; matrices have 0
FLOAT_DTYPES = ("float32", "float64")
INDEX_DTYPE = "int32"


class Mismatch(ValueError):  # noqa: N818  a message on its way to a ShapeError, never seen by users
    """Raised by a shape rule; `Op.result_shape` adds the op's name and the shapes."""


@dataclass(frozen=True, eq=False)
class Op:
    """One op, for every backend.

    `shape(*inputs, **params)` returns the shape of the result or raises `Mismatch`. It may be None for an op with a
    `decomposition`, whose own ops then check. `gradients` has one rule for each input, None where there is no gradient;
    `variadic` ops have a single rule that is also told the input's `position`. `decomposition` writes the op in other
    ops; without one, every backend must have a kernel of the op's name. If an op has a decomposition and no `gradients`
    (None), the decomposition is what gets recorded and differentiated. Inputs listed in `indices` are int32 row numbers
    and must be below `index_bound(*inputs)`. `takes_out`: its kernel has a parameter `out`.

    What the passes over a captured program need to know: `elementwise`, each element of the result needs what the
    inputs hold at its own place and no more, so `out` may be one of them (taken from the shape rule, unless given);
    `row_inputs(*inputs)`, the positions of the inputs of which row i of the result needs row i alone (of the others it
    may need all), or None if there is no such thing; `result_dtype(*inputs)`, where it is not that of the first input
    that holds no indices.
    """

    name: str
    summary: str
    shape: ShapeRule | None
    gradients: tuple[GradientRule | None, ...] | None
    samples: tuple[Sample, ...] = ()
    decomposition: Callable[..., Any] | None = None
    tolerance: float = 2e-6
    variadic: bool = False
    indices: tuple[int, ...] = ()
    index_bound: Callable[..., int] | None = None
    accepts_indices: bool = False
    takes_out: bool = True
    flops: Callable[..., int] | None = None
    elementwise: bool = False
    row_inputs: Callable[..., tuple[int, ...] | None] | None = None
    result_dtype: Callable[..., str] | None = None

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """Apply the op to tensors, matrices and numbers. The result is a tensor if any input is one."""
        return apply(self, inputs, params)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def result_shape(self, inputs: Sequence[Operand], params: Mapping[str, Any]) -> Shape:
        """The shape of the result. Raises ShapeError, which names the op and the operands' shapes."""
        assert self.shape is not None
        try:
            return self.shape(*inputs, **params)
        except Mismatch as mismatch:
            raise ShapeError(self.name, [x.shape for x in inputs], str(mismatch)) from None

    def dtype_of(self, inputs: Sequence[Operand], params: Mapping[str, Any]) -> str:
        """The dtype of the result."""
        if self.result_dtype is not None:
            return self.result_dtype(*inputs, **params)
        return next(x.dtype for position, x in enumerate(inputs) if position not in self.indices)

    def rows_from(self, inputs: Sequence[Operand], params: Mapping[str, Any]) -> tuple[int, ...] | None:
        """The positions of the inputs of which row i of the result needs row i alone; None if it may need any row."""
        if self.row_inputs is not None:
            return self.row_inputs(*inputs, **params)
        if not self.elementwise:
            return None
        rows = max(x.shape[0] for x in inputs)
        return tuple(position for position, x in enumerate(inputs) if x.shape[0] == rows)

    @cached_property
    def differentiable(self) -> bool:
        """Whether a gradient passes through to any input."""
        return self.gradients is None or any(self.gradients)

    def rule(self, position: int) -> GradientRule | None:
        """The gradient rule of one input, or None where its gradient is zero by definition."""
        rules = self.gradients or ()
        if self.variadic:
            return partial(rules[0], position=position) if rules[0] else None
        return rules[position]

    def check_rules(self, inputs: Sequence[Any]) -> None:
        """Refuse to record the op on an input for which no rule was given: better now than in the backward pass."""
        if self.variadic:
            return
        for position in range(len(self.gradients or ()), len(inputs)):
            if inputs[position].requires_grad:
                raise GradientError(
                    f"{self.name} has no gradient rule for input {position}: detach() that input first, "
                    "or define the op with a rule for it (None where the gradient is zero)"
                )


TABLE: dict[str, Op] = {}
RESERVED: set[str] = set()  # attributes of a matrix that are no kernels, whose names no op can have


def define(
    name: str,
    summary: str,
    shape: ShapeRule | None = None,
    gradients: tuple[GradientRule | None, ...] | None = None,
    *,
    samples: Sequence[Sample] = (),
    replace: bool = False,
    **fields: Any,
) -> Op:
    """Create an op and enter it in the table. Raises PluginError if the name is taken, or if nothing can compute it."""
    if name in TABLE and not replace:
        raise PluginError(f"the op {name!r} is defined twice: choose another name, or say replace=True")
    if name in RESERVED:
        raise PluginError(f"an op cannot be called {name!r}: matrices have an attribute of that name")
    fields.setdefault("elementwise", getattr(shape, "elementwise", False))
    op = Op(name, summary, shape, gradients, tuple(samples), **fields)
    if op.shape is None and op.decomposition is None:
        raise PluginError(f"the op {name!r} needs a shape rule (for a kernel) or a decomposition")
    TABLE[name] = op
    return op


def undefine(name: str) -> None:
    """Remove an op from the table: for plugins that are unloaded, and for tests."""
    del TABLE[name]


def apply(op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Evaluate an op: on matrices at once, on tensors with a node of the graph, under a trace as a recorded step."""
    lead: Any = None
    for x in inputs:
        rank = getattr(x, "rank", -1)
        if rank == HIGHEST_RANK:
            return x.evaluate(op, inputs, params)
        if rank >= 0:
            lead = x
    if lead is None:
        raise DtypeError(f"{op.name} needs a Tensor; got {', '.join(type(x).__name__ for x in inputs) or 'nothing'}")
    return lead.evaluate(op, inputs, params)
