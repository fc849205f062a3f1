"""The engine: it orders the graph, runs each node's gradient rules once, sums over what was broadcast, accumulates.

Tensors are ordered by identity and without recursion, so a chain of a million nodes is as good as one of ten. What a
node saved is released as soon as its rules have run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ContextDecorator
from heapq import heappop, heappush
from itertools import count
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
    """How a tensor was computed. After a backward pass `inputs` is None: what it saved has been released.

    `order` numbers nodes as they are recorded. A node's inputs are older than it is, so running nodes from the youngest
    to the oldest runs each after all that consume its output.
    """

    __slots__ = ("inputs", "moment", "op", "order", "params")

    def __init__(self, op: Op, inputs: Sequence[Tensor], params: Mapping[str, Any]) -> None:
        self.op = op
        self.inputs: Sequence[Tensor] | None = inputs
        self.params = params
        self.moment = CLOCK.now
        self.order = next(_orders)


_orders = count(1)


class _Pass:
    """One backward pass: the gradients that are not complete yet, and the tensors whose turn will come."""

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.pending: dict[int, Any] = {}  # gradients by the id of their tensor, which `queue` or `leaves` keeps alive
        self.queue: list[tuple[int, Tensor]] = []  # a heap: the youngest node first
        self.leaves: list[Tensor] = []
        self.owned: set[int] = set()  # gradients that were summed here, so that nothing else refers to their memory
        self.shared: set[int] = set()  # gradients that a rule passed on as they were, so that others refer to them

    def add(self, tensor: Tensor, gradient: Any) -> None:
        """One contribution to a tensor's gradient: summed in place where this pass made it, never in a rule's own."""
        key = id(tensor)
        if key not in self.pending:
            self.pending[key] = gradient
            if tensor.node is None:
                self.leaves.append(tensor)
            else:
                heappush(self.queue, (-tensor.node.order, tensor))
        elif key in self.owned:
            self.pending[key].update(TABLE["add"], (self.pending[key], gradient), {})
        else:
            self.pending[key] = self.pending[key] + gradient
            if not self.create_graph:
                self.owned.add(key)

    def take(self, tensor: Tensor) -> Any:
        """A tensor's complete gradient, after its hooks."""
        gradient = self.pending.pop(id(tensor))
        if not tensor.hooks:
            return gradient
        self.shared.add(id(tensor))  # a hook may keep what it is given, and what it returns
        self.owned.discard(id(tensor))
        return tensor.run_hooks(gradient)

    def kept(self, tensor: Tensor, gradient: Any) -> Any:
        """A gradient that outlives the pass: a copy, if others refer to its memory."""
        if id(tensor) in self.shared and id(tensor) not in self.owned and not self.create_graph:
            return TABLE["reshape"](gradient, rows=gradient.shape[0], cols=gradient.shape[1])
        return gradient

    def run_rules(self, tensor: Tensor, g: Any) -> None:
        """Run the gradient rules of the node that computed a tensor, and pass the results on to its inputs."""
        node = tensor.node
        assert node is not None
        op, inputs, params = node.op, node.inputs, node.params
        if inputs is None:
            raise GraphFreedError(
                f"the values that {op.name} saved were freed by an earlier backward pass: "
                "call that one with retain_graph=True, or compute the loss again"
            )
        y: Any = tensor
        operands: Sequence[Any] = inputs
        if not self.create_graph:
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
                self.shared.add(id(x))
            self.add(x, gradient)


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
    `wanted` are returned; if that is None, those of leaves accumulate in `.grad`, all at the end.
    """
    backward = _Pass(create_graph)
    found: dict[int, Any] = {}
    for root, seed in zip(roots, seeds, strict=True):
        backward.shared.add(id(root))
        backward.add(root, seed)
    while backward.queue:
        tensor = heappop(backward.queue)[1]  # and with it the last reference that the engine holds
        g = backward.take(tensor)
        if wanted is None:
            if tensor.retains_grad:
                tensor.accumulate_grad(backward.kept(tensor, g))
        elif id(tensor) in wanted:
            found[id(tensor)] = backward.kept(tensor, g)
        backward.run_rules(tensor, g)
        if not retain_graph:
            tensor.node.inputs = None  # type: ignore[union-attr]
    for leaf in backward.leaves:
        g = backward.kept(leaf, backward.take(leaf))
        if wanted is None:
            leaf.accumulate_grad(g)
        elif id(leaf) in wanted:
            found[id(leaf)] = g
    return found


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
