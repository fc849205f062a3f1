"""Tensor: a value, its gradient, and the node of the graph that computed it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from .autograd import CLOCK, MODE, Node, enable_grad, no_grad, propagate
from .errors import (
    BackendMismatchError,
    DtypeError,
    GradientError,
    InPlaceError,
    ShapeError,
)
from .host import host_array
from .matrix import Matrix
from .methods import Methods
from .op import INDEX_DTYPE, Op
from .plugins import default_backend, get_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

Hook = Callable[["Tensor"], "Tensor | None"]
_new = object.__new__
_lock = threading.Lock()  # for what threads that share a tensor may do to it at once
_hook_keys = count()


class Tensor(Methods):
    """A rows × cols value that remembers how it was computed.

    `data` may be a number, nested lists, a NumPy array, anything with the buffer protocol, or a tensor (copied).
    `dtype` is float32, float64, or int32 for labels and row numbers, whose flat sequences become a column.
    `backend` and `device` default to those of `use_backend`.
    """

    __slots__ = ("__weakref__", "grad", "hooks", "node", "requires_grad", "retains_grad", "shape", "value")

    rank = 1

    value: Matrix
    grad: Tensor | None
    node: Node | None
    hooks: dict[int, Hook] | None
    requires_grad: bool
    retains_grad: bool

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        *,
        backend: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        if requires_grad and dtype == INDEX_DTYPE:
            raise GradientError("int32 tensors are labels and row numbers: they have no gradient")
        if backend is None and device is None:
            kind = default_backend()
        else:
            kind = get_backend(backend or default_backend().backend, device)
        self.value = _uploaded(kind, data, dtype)
        self.shape = self.value.shape
        self.requires_grad = requires_grad
        self.grad = self.node = self.hooks = None
        self.retains_grad = False

    @staticmethod
    def of(value: Matrix, requires_grad: bool = False) -> Tensor:
        """A tensor around an existing matrix, which it shares."""
        tensor = _new(Tensor)
        tensor.value = value
        tensor.shape = value.shape
        tensor.requires_grad = requires_grad
        tensor.grad = tensor.node = tensor.hooks = None
        tensor.retains_grad = False
        return tensor

    @staticmethod
    def owning(array: NDArray[Any], requires_grad: bool = False) -> Tensor:
        """A tensor of a float32 array, rows × cols, that the caller gives up: it may become the tensor's memory.

        It saves a copy of what is large, such as initial weights. The backend is that of `use_backend`.
        """
        kind = default_backend()
        if MODE.watch is not None:
            kind = MODE.watch.host(kind, array)
        rows, cols = array.shape
        return Tensor.of(kind.from_owned(host_array(array, "float32"), rows, cols, "float32"), requires_grad)

    # Recording -----------------------------------------------------------------------------------------------------

    @staticmethod
    def evaluate(op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Tensor:
        """Run an op on the inputs' values and, where a gradient may be asked for, record a node."""
        if MODE.watch is not None:
            MODE.watch.meet(inputs)
        values, tracked = [], False
        for x in inputs:
            if not isinstance(x, Tensor):
                return Tensor.evaluate(op, _lifted(op, inputs), params)
            values.append(x.value)
            tracked = tracked or x.requires_grad
        if not (tracked and MODE.recording and op.differentiable):
            return Tensor.of(Matrix.evaluate(op, values, params))
        if op.gradients is None:
            if op.shape is not None:
                op.result_shape(inputs, params)
            return op.decomposition(*inputs, **params)  # type: ignore[misc]
        if len(op.gradients) < len(inputs):
            op.check_rules(inputs)
        y = Tensor.of(Matrix.evaluate(op, values, params), True)
        y.node = Node(op, inputs, params)
        return y

    # Gradients -----------------------------------------------------------------------------------------------------

    def backward(self, gradient: Any = None, *, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf that it depends on and that requires one.

        `gradient`, a tensor or host data, weights the elements of a tensor that is not 1×1. The graph is freed unless
        `retain_graph`. With `create_graph` the gradients can be differentiated again.
        """
        seed = self.seed_gradient(gradient)
        keep = create_graph if retain_graph is None else retain_graph
        with enable_grad() if create_graph else no_grad():
            start = seed if create_graph else seed.value
            propagate(self, start, retain_graph=keep, create_graph=create_graph)

    def seed_gradient(self, gradient: Any) -> Tensor:
        """What a backward pass starts from: the given gradient, or for a 1×1 the number 1."""
        if not self.requires_grad:
            raise GradientError(
                "this tensor does not depend on any that requires a gradient: "
                "create the leaves with requires_grad=True, and outside no_grad()"
            )
        if gradient is None:
            if self.shape != (1, 1):
                raise GradientError(
                    f"backward() of a {self.rows}×{self.cols} tensor needs a gradient of that shape: "
                    "reduce it with .sum() or .mean(), or pass one"
                )
            return self.new_full(1, 1, 1.0)
        seed = gradient if isinstance(gradient, Tensor) else self.like(gradient)
        self._met(seed)
        if seed.shape != self.shape:
            raise ShapeError("backward", [self.shape, seed.shape], "the gradient must have the tensor's shape")
        if type(seed.value) is not type(self.value):
            raise BackendMismatchError(f"backward: a gradient on {seed.backend} of a tensor on {self.backend}")
        if seed.dtype != self.dtype:
            raise DtypeError(f"backward: a gradient in {seed.dtype} of a tensor in {self.dtype}; convert one")
        return seed

    def accumulate_grad(self, g: Any) -> None:
        """Add a gradient to `.grad`. A new value is made, so that whoever holds the old one keeps it."""
        gradient = g if isinstance(g, Tensor) else Tensor.of(g)
        with _lock:
            self.grad = gradient if self.grad is None else self.grad + gradient

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in `.grad`, though it is not a leaf."""
        self.retains_grad = True

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(gradient)` when this tensor's gradient is known; a tensor that it returns replaces the gradient.

        Returns a function that removes the hook.
        """
        if not self.requires_grad:
            raise GradientError("a hook on a tensor that does not require a gradient would never be called")
        with _lock:
            hooks = self.hooks = self.hooks or {}
            key = next(_hook_keys)
            hooks[key] = hook

        def remove() -> None:
            hooks.pop(key, None)

        return remove

    def run_hooks(self, g: Any) -> Any:
        """The gradient after every hook, in the order of their registration."""
        gradient = g if isinstance(g, Tensor) else Tensor.of(g)
        for hook in list((self.hooks or {}).values()):
            replacement = hook(gradient)
            if replacement is None:
                continue
            if not isinstance(replacement, Tensor) or replacement.shape != self.shape:
                raise GradientError(f"a gradient hook must return None or a {self.rows}×{self.cols} tensor")
            if type(replacement.value) is not type(self.value) or replacement.dtype != self.dtype:
                raise GradientError("a gradient hook must return a tensor of the gradient's backend and dtype")
            gradient = replacement
        return gradient if isinstance(g, Tensor) else gradient.value

    def detach(self) -> Tensor:
        """The same value, shared, with no history."""
        return Tensor.of(self._met().value)

    @property
    def is_leaf(self) -> bool:
        """Whether a user made this tensor, rather than an op that recorded it."""
        return self.node is None

    # Writing -------------------------------------------------------------------------------------------------------

    def assign(self, source: Any) -> None:
        """Overwrite the values in place: for leaves, outside the graph. The shape, dtype and device stay.

        Raises InPlaceError on a tensor that was computed, or on one that requires a gradient outside `no_grad()`.
        """
        self._check_writable()
        if not isinstance(source, Tensor):
            source = self.like(source)
        self._met(source)
        if source.shape != self.shape:
            raise ShapeError("assign", [self.shape, source.shape], "the new value must have the old one's shape")
        if source.dtype != self.dtype:
            raise DtypeError(f"assign: {self.dtype} and {source.dtype} do not mix; convert one")
        if type(source.value) is not type(self.value):
            raise BackendMismatchError("assign: the new value must have the old one's backend and device")
        self.value.assign(source.value)
        self.value.limits = source.value.limits
        self._mark_written()

    def update(self, op: Op, *others: Tensor, **params: Any) -> None:
        """Overwrite this leaf with `op(self, *others)`, in place where the backend can: what optimisers do."""
        self._check_writable()
        self._met(*others).value.update(op, (self.value, *[x.value for x in others]), params)
        self._mark_written()

    def _met(self, *others: Tensor) -> Tensor:
        """This tensor, after whoever watches this thread was told that it and others are used."""
        if MODE.watch is not None:
            MODE.watch.meet((self, *others))
        return self

    def _check_writable(self) -> None:
        if self.node is not None:
            raise InPlaceError("only leaves can be assigned to: this tensor was computed, and gradients need its value")
        if self.requires_grad and MODE.recording:
            raise InPlaceError("this tensor requires a gradient: assign to it inside no_grad()")

    def _mark_written(self) -> None:
        CLOCK.now += 1
        self.value.written = CLOCK.now

    def __setitem__(self, key: Any, value: Any) -> None:
        raise InPlaceError(
            "tensors are not written to element by element: select with ops.where, join with ops.concat, "
            "or assign() a whole leaf"
        )

    # Host ----------------------------------------------------------------------------------------------------------

    def numpy(self) -> NDArray[Any]:
        """A copy of the values as a NumPy array, rows × cols."""
        return self.host().copy()

    def host(self) -> NDArray[Any]:
        """The values as a read-only array, rows × cols: of this very memory, where the backend keeps it on the host."""
        import numpy as np

        values: NDArray[Any] = np.frombuffer(self._met().value.to_host(), self.dtype).reshape(self.shape)
        values.flags.writeable = False
        return values

    def tolist(self) -> list[list[float]]:
        """The values as nested lists."""
        return self.host().tolist()

    def item(self) -> float:
        """The number in a 1×1 tensor. Waits for the device."""
        if self.shape != (1, 1):
            raise ShapeError("item", [self.shape], "only a 1×1 tensor is one number; use .numpy() or reduce it first")
        return self.host().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        if copy is False:
            raise ValueError("the values of a tensor are copied: np.asarray(tensor, copy=False) cannot be had")
        return np.asarray(self.numpy(), dtype)

    def to_dlpack(self) -> Any:
        """A read-only DLPack capsule that shares this tensor's memory, where the backend keeps it on the host."""
        return self.__dlpack__(max_version=(1, 0))  # the first version that can say read-only

    def __dlpack__(self, **options: Any) -> Any:
        if "host_memory" not in self.value.capabilities:
            raise BackendMismatchError(f"the backend {self.backend!r} keeps its values elsewhere: use .numpy()")
        return self.host().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU

    def to(self, *, backend: str | None = None, device: str | None = None, dtype: str | None = None) -> Tensor:
        """A copy on another backend or device, or in another dtype. Refuses a tensor with history: detach() first."""
        if self.node is not None:
            raise GradientError("moving a computed tensor would cut the graph: detach() it first, or move the leaves")
        kind = type(self.value) if backend is None and device is None else get_backend(backend or self.backend, device)
        with no_grad():
            return Tensor.of(_uploaded(kind, self.host(), dtype or self.dtype), self.requires_grad)

    def like(self, data: Any) -> Tensor:
        """Host data as a tensor on this one's backend and device, and in its dtype."""
        return Tensor.of(_uploaded(type(self._met().value), data, self.dtype))

    def like_drawn(self, draw: Callable[[int, int], Any], rows: int, cols: int) -> Tensor:
        """What `draw(rows, cols)` returns, as `like` does; a captured step draws again each time that it is replayed.

        A bound method is the same function each time that the step names it; a lambda inside the step is not.
        """
        return Tensor.of(type(self._met().value).from_feed(draw, rows, cols, self.dtype))

    def like_indices(self, data: Any) -> Tensor:
        """Row numbers or labels as an int32 tensor on this one's backend and device."""
        return Tensor.of(_uploaded(type(self._met().value), data, INDEX_DTYPE))

    def new_full(self, rows: int, cols: int, value: float) -> Tensor:
        """A tensor of this dtype and device, filled with one number."""
        return Tensor.of(self._met().value.new_full(rows, cols, value))

    # Description ---------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> str:  # type: ignore[override]
        """float32, float64 or int32."""
        return self.value.dtype

    @property
    def backend(self) -> str:
        """The name of the backend that holds the values."""
        return self.value.backend

    @property
    def device(self) -> str:
        """The name of the device that holds the values."""
        return self.value.device

    def __repr__(self) -> str:
        import numpy as np

        body = np.array2string(self.host(), separator=", ", threshold=60, precision=4, prefix="Tensor(")
        notes = [f"{self.rows}×{self.cols}", self.backend]
        if self.dtype != "float32":
            notes.append(self.dtype)
        if self.node is not None:
            notes.append(f"from {self.node.op.name}")
        elif self.requires_grad:
            notes.append("requires_grad")
        return f"Tensor({body}, {', '.join(notes)})"

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Tensor]:
        return (self[row] for row in range(self.rows))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())


def _uploaded(kind: type[Matrix], data: Any, dtype: str) -> Matrix:
    """Host data as a matrix of a class; the range of indices is noted, so that no op has to read them back."""
    if MODE.watch is not None:
        kind = MODE.watch.host(kind, data)
    array = host_array(data, dtype)
    rows, cols = array.shape
    value = kind.from_host(array, rows, cols, dtype)
    if dtype == INDEX_DTYPE and array.size:
        value.limits = (int(array.min()), int(array.max()))
    return value


def _lifted(op: Op, inputs: Sequence[Any]) -> list[Tensor]:
    """The inputs of an op as tensors: numbers and host data go where the tensors among them live."""
    first: Any = None
    for x in inputs:
        if isinstance(x, Tensor) and (first is None or first.dtype == INDEX_DTYPE):
            first = x
    kind, dtype = type(first.value), first.dtype
    lifted = []
    for position, x in enumerate(inputs):
        if isinstance(x, Tensor):
            lifted.append(x)
        elif isinstance(x, Matrix):
            lifted.append(Tensor.of(x))
        elif position in op.indices:
            lifted.append(Tensor.of(_uploaded(kind, x, INDEX_DTYPE)))
        elif type(x) is float or type(x) is int:
            lifted.append(Tensor.of(kind.number(x, "float32" if dtype == INDEX_DTYPE else dtype)))
        else:
            lifted.append(Tensor.of(_uploaded(kind, x, dtype)))
    return lifted
