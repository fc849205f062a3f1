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
from typing import TYPE_CHECKING, Any, Protocol

from .errors import GradientError, GraphFreedError, InPlaceError, Shape, ShapeError
from .op import TABLE, Op

if TYPE_CHECKING:
    from .matrix import Matrix
    from .tensor import Tensor


class Watch(Protocol):
    """Who is told what the tensors of a thread are used for, before it happens: a trace."""

    def meet(self, operands: Sequence[Any]) -> None:
        """These will be read or written; those that are no tensors do not matter."""

    def host(self, kind: type[Matrix], data: Any) -> type[Matrix]:
        """Host data are about to become a matrix of a class: of which class instead?"""


class _Mode(threading.local):
    recording = True
    watch: Watch | None = None


class _Clock:
    now = 0  # counts in-place writes: a node is stale if one of its inputs was written after it was recorded
    structure = 0  # counts attributes set on modules and optimisers: what was found out about them may have changed


MODE = _Mode()
CLOCK = _Clock()


class no_grad(ContextDecorator):  # noqa: N801  the field's name, used like a function
    """Record nothing inside a `with` block or a decorated function, in this thread."""

    _recording = False

    def __init__(self) -> None:
        self._before: list[bool] = []  # one for each block that this object has open

    def __enter__(self) -> None:
        self._before.append(MODE.recording)
        MODE.recording = self._recording

    def __exit__(self, *_: object) -> None:
        MODE.recording = self._before.pop()

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

    def __init__(self, create_graph: bool, needed: set[int] | None) -> None:
        self.create_graph = create_graph
        self.needed = needed  # ids of the tensors that matter, None: all
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
        gradient = tensor.run_hooks(self.kept(tensor, gradient))
        self.shared.add(id(tensor))  # a hook may keep what it is given, and what it returns
        self.owned.discard(id(tensor))
        return gradient

    def kept(self, tensor: Tensor, gradient: Any) -> Any:
        """A gradient that outlives the pass, or that a hook may write to: a copy, if others refer to its memory."""
        if id(tensor) in self.shared and id(tensor) not in self.owned:
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
        if tensor.value.written > node.moment:
            raise _overwritten(op, "the result", "returned")
        y: Any = tensor
        operands: Sequence[Any] = inputs
        if not self.create_graph:
            y = tensor.value
            operands = [x.value for x in inputs]
        for position, x in enumerate(inputs):
            if x.value.written > node.moment:
                raise _overwritten(op, f"input {position}", "used")
            if not x.requires_grad or (self.needed is not None and id(x) not in self.needed):
                continue
            rule = op.rule(position)
            gradient = None if rule is None else rule(g, y, *operands, **params)
            if gradient is None:
                continue
            if type(gradient) is not type(g) or gradient.dtype != x.dtype:
                raise _unusable(op, position, gradient)
            if gradient.shape != x.shape:
                gradient = _unbroadcast(op, gradient, x.shape)
            elif gradient is g:
                self.shared.add(id(x))
            self.add(x, gradient)


def _overwritten(op: Op, what: str, verb: str) -> InPlaceError:
    return InPlaceError(
        f"{what} of {op.name} was overwritten after {op.name} {verb} it, so its gradient would be wrong: "
        "run backward() before the write, or write to a copy"
    )


def _unusable(op: Op, position: int, gradient: Any) -> GradientError:
    found = getattr(gradient, "dtype", type(gradient).__name__)
    return GradientError(
        f"the gradient rule of {op.name} for input {position} returned {found}: it must return a value of the input's "
        "kind and dtype, or None where the gradient is zero"
    )


def propagate(
    root: Tensor, seed: Any, *, retain_graph: bool, create_graph: bool, wanted: frozenset[int] | None = None
) -> dict[int, Any]:
    """Carry a gradient from the root back through the graph.

    The seed and all gradients are matrices, or with `create_graph` tensors that record. Gradients of the tensors whose
    ids are `wanted` are returned, and only what leads to them is run; if that is None, the gradients of leaves
    accumulate in `.grad`, all at the end: a pass that fails changes none.
    """
    backward = _Pass(create_graph, None if wanted is None else _leading_to(root, wanted))
    backward.shared.add(id(root))
    backward.add(root, seed)
    found: list[tuple[Tensor, Any]] = []
    while backward.queue:
        tensor = heappop(backward.queue)[1]  # and with it the last reference that the engine holds
        g = backward.take(tensor)
        if tensor.retains_grad if wanted is None else id(tensor) in wanted:
            found.append((tensor, backward.kept(tensor, g)))
        backward.run_rules(tensor, g)
        if not retain_graph:
            tensor.node.inputs = None  # type: ignore[union-attr]
    found += [
        (leaf, backward.kept(leaf, backward.take(leaf)))
        for leaf in backward.leaves
        if wanted is None or id(leaf) in wanted
    ]
    if wanted is None:
        for tensor, g in found:
            tensor.accumulate_grad(g)
    return {id(tensor): g for tensor, g in found}


def _leading_to(root: Tensor, wanted: frozenset[int]) -> set[int]:
    """The ids of the tensors between the root and those wanted, which are among them."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [root]
    while stack:
        tensor = stack.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            order.append(tensor)
            stack += [x for x in (tensor.node.inputs or () if tensor.node else ()) if x.requires_grad]
    order.sort(key=lambda tensor: tensor.node.order if tensor.node else 0)  # inputs before what they lead to
    leading = set(wanted)
    for tensor in order:
        if tensor.node and any(id(x) in leading for x in tensor.node.inputs or () if x.requires_grad):
            leading.add(id(tensor))
    return leading


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

    if isinstance(inputs, Tensor) or not all(isinstance(x, Tensor) for x in inputs):
        raise GradientError("grad() takes a list of tensors: grad(y, [x])")
    if allow_unused and not output.requires_grad:
        return [x.new_full(*x.shape, 0.0) for x in inputs]
    seed = output.seed_gradient(gradient)
    wanted = frozenset(id(x) for x in inputs)
    keep = create_graph if retain_graph is None else retain_graph
    with enable_grad() if create_graph else no_grad():
        start = seed if create_graph else seed.value
        found = propagate(output, start, retain_graph=keep, create_graph=create_graph, wanted=wanted)
    for position, x in enumerate(inputs):
        if id(x) not in found:
            if allow_unused:
                found[id(x)] = x.new_full(*x.shape, 0.0)
                continue
            raise GradientError(f"the output does not depend on input {position}, or that does not require a gradient")
    return [g if isinstance(g, Tensor) else Tensor.of(g) for g in (found[id(x)] for x in inputs)]
