"""The engine: it orders the graph, runs each node's gradient rules once, sums over what was broadcast, accumulates.

Tensors are ordered by identity and without recursion, so a chain of a million nodes is as good as one of ten. What a
node saved is released as soon as its rules have run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

from .errors import GradientError, GraphFreedError, InPlaceError, Shape, ShapeError
from .op import TABLE, Op

if TYPE_CHECKING:
    from .tensor import Tensor


class _Mode(threading.local):
    recording = True


class _Clock:
    now = 0  # counts in-place writes: a node is stale if one of its inputs was written after it was recorded


MODE = _Mode()
CLOCK = _Clock()


class no_grad(ContextDecorator):  # noqa: N801  the field's name, used like a function
    """Record nothing inside a `with` block or a decorated function, in this thread."""

    _recording = False

    def __enter__(self) -> None:
        self._before = MODE.recording
        MODE.recording = self._recording

    def __exit__(self, *_: object) -> None:
        MODE.recording = self._before

    def _recreate_cm(self) -> no_grad:
        return type(self)()  # a decorated function may call itself: each call restores its own mode


class enable_grad(no_grad):  # noqa: N801
    """Record inside a `with` block, also where an outer block is `no_grad`."""

    _recording = True


class Node:
    """How a tensor was computed. After a backward pass `inputs` is None: what it saved has been released."""

    __slots__ = ("inputs", "moment", "op", "params")

    def __init__(self, op: Op, inputs: Sequence[Tensor], params: Mapping[str, Any]) -> None:
        self.op = op
        self.inputs: Sequence[Tensor] | None = inputs
        self.params = params
        self.moment = CLOCK.now


_EMIT: Any = object()


def _topological(roots: Sequence[Tensor]) -> list[Tensor]:
    """Every tensor that the roots depend on and that requires a gradient, each after all it depends on."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[Any] = list(roots)
    while stack:
        tensor = stack.pop()
        if tensor is _EMIT:
            order.append(stack.pop())
            continue
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        node = tensor.node
        if node is None:
            order.append(tensor)
            continue
        if node.inputs is None:
            raise GraphFreedError(
                f"the values that {node.op.name} saved were freed by an earlier backward pass: "
                "call that one with retain_graph=True, or compute the loss again"
            )
        stack += (tensor, _EMIT)
        stack += [x for x in node.inputs if x.requires_grad and id(x) not in seen]
    return order


def propagate(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    *,
    retain_graph: bool,
    create_graph: bool,
    wanted: frozenset[int] | None = None,
) -> dict[int, Any]:
    """Carry gradients from the roots back through the graph.

    Seeds and gradients are matrices, or with `create_graph` tensors that record. Gradients of the tensors whose ids are
    `wanted` are returned; if that is None, those of leaves accumulate in `.grad`.
    """
    order = _topological(roots)
    pending: dict[int, Any] = {}
    owned: set[int] = set()  # pending gradients that were summed here, so that nothing else refers to their memory
    shared = {id(root) for root in roots}  # those that came as they are, so that something else may refer to them
    found: dict[int, Any] = {}
    for root, seed in zip(roots, seeds, strict=True):
        _accumulate(pending, owned, id(root), seed, create_graph)
    while order:
        tensor = order.pop()  # and with it the last reference that the engine holds
        g = pending.pop(id(tensor), None)
        if g is None:
            continue
        if tensor.hooks:
            g = tensor.run_hooks(g)
            shared.add(id(tensor))
            owned.discard(id(tensor))
        kept = id(tensor) in wanted if wanted is not None else tensor.node is None or tensor.retains_grad
        if kept:
            if id(tensor) in shared and id(tensor) not in owned and not create_graph:
                g = TABLE["reshape"](g, rows=g.shape[0], cols=g.shape[1])  # a copy, for its new owner to write to
            if wanted is None:
                tensor.accumulate_grad(g)
            else:
                found[id(tensor)] = g
        if tensor.node is not None:
            _run_rules(tensor, g, pending, owned, shared, create_graph)
            if not retain_graph:
                tensor.node.inputs = None
    return found


def _run_rules(
    tensor: Tensor, g: Any, pending: dict[int, Any], owned: set[int], shared: set[int], create_graph: bool
) -> None:
    """Run the gradient rules of the node that computed a tensor, and pass the results on to its inputs."""
    node = tensor.node
    assert node is not None
    assert node.inputs is not None
    op, inputs, params = node.op, node.inputs, node.params
    y: Any = tensor
    operands: Sequence[Any] = inputs
    if not create_graph:
        y = tensor.value
        operands = [x.value for x in inputs]
    for position, x in enumerate(inputs):
        if x.value.written > node.moment:
            raise InPlaceError(
                f"input {position} of {op.name} was overwritten after {op.name} used it, so its gradient would be "
                "wrong: run backward() before the write, or write to a copy"
            )
        if not x.requires_grad:
            continue
        rule = op.rule(position)
        if rule is None:
            continue
        gradient = rule(g, y, *operands, **params)
        if gradient.shape != x.shape:
            gradient = _unbroadcast(op, gradient, x.shape)
        elif gradient is g:
            shared.add(id(x))
        _accumulate(pending, owned, id(x), gradient, create_graph)


def _accumulate(pending: dict[int, Any], owned: set[int], key: int, gradient: Any, create_graph: bool) -> None:
    """Add one contribution to a pending gradient: in place where the engine made it, never in a rule's result."""
    present = pending.get(key)
    if present is None:
        pending[key] = gradient
    elif create_graph:
        pending[key] = present + gradient
    elif key in owned:
        present.update(TABLE["add"], (present, gradient), {})
    else:
        pending[key] = present + gradient
        owned.add(key)


def _unbroadcast(op: Op, gradient: Any, shape: Shape) -> Any:
    """Sum a gradient over the extents that the forward op repeated."""
    total = TABLE["sum"]
    for axis in (0, 1):
        if shape[axis] == 1 and gradient.shape[axis] != 1:
            gradient = total(gradient, axis=axis)
    if gradient.shape != shape:
        raise ShapeError(op.name, [gradient.shape, shape], "the gradient rule returned a shape unlike its input's")
    return gradient


def grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> list[Tensor]:
    """The gradients of `output` with respect to `inputs`, without touching any `.grad`.

    `gradient` weights the elements of an output that is not 1×1. With `create_graph` the results can be differentiated
    again. If the output does not depend on one of the inputs, raises GradientError, or with `allow_unused` gives zeros.
    """
    from .tensor import Tensor

    if allow_unused and not output.requires_grad:
        return [x.new_full(*x.shape, 0.0) for x in inputs]
    seed = output.seed_gradient(gradient)
    wanted = frozenset(id(x) for x in inputs)
    keep = create_graph if retain_graph is None else retain_graph
    with enable_grad() if create_graph else no_grad():
        found = propagate(
            [output],
            [seed if create_graph else seed.value],
            retain_graph=keep,
            create_graph=create_graph,
            wanted=wanted,
        )
    for position, x in enumerate(inputs):
        if id(x) not in found:
            if allow_unused:
                found[id(x)] = x.new_full(*x.shape, 0.0)
                continue
            raise GradientError(f"the output does not depend on input {position}, or that does not require a gradient")
    return [g if isinstance(g, Tensor) else Tensor.of(g) for g in (found[id(x)] for x in inputs)]
