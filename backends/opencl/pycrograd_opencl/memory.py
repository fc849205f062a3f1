"""Device memory: a pool that keeps what was freed, and an error that says what is in use when there is no more.

A block goes back to the pool when its matrix dies, perhaps before the kernels that use it have run. All commands of a
device go through one in-order queue, so whatever the block is handed out for next runs after them.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, NoReturn

import pyopencl as cl
from pyopencl.tools import ImmediateAllocator, MemoryPool

from pycrograd_core.errors import BackendError

if TYPE_CHECKING:
    from .devices import Device

_LARGE = 1 << 20  # bytes from which it is worth counting what is in use: an operating system promises more than it has
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_OUT_OF_MEMORY = frozenset({
    cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
    cl.status_code.OUT_OF_RESOURCES,
    cl.status_code.OUT_OF_HOST_MEMORY,
    cl.status_code.INVALID_BUFFER_SIZE,
})  # fmt: skip


class DeviceMemoryError(BackendError, MemoryError):
    """The device has no memory left, or none in one piece of the size asked."""


class _Block(cl.Buffer):
    """A buffer outside the pool, counted as long as it lives."""

    def __init__(self, counted: dict[int, int], context: cl.Context, flags: int, size: int, values: Any = None) -> None:
        if values is None:
            super().__init__(context, flags, size)
        else:
            super().__init__(context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=values)
        self._counted = counted
        counted[id(self)] = size

    def __del__(self) -> None:
        if hasattr(self, "_counted"):  # it was allocated
            self._counted.pop(id(self), None)


class Memory:
    """The memory of one device, as far as this process allocates it."""

    def __init__(self, device: Device, context: cl.Context, queue: cl.CommandQueue) -> None:
        self._device = device
        self._context = context
        self._queue = queue
        # a CPU's memory is asked for at once: PoCL ends the process when it turns out later that there is none
        self._flags = cl.mem_flags.READ_WRITE | (cl.mem_flags.ALLOC_HOST_PTR if device.is_cpu else 0)
        self._pool = MemoryPool(ImmediateAllocator(queue, self._flags))
        self._blocks: dict[int, int] = {}

    def allocate(self, nbytes: int) -> Any:
        """A block of the pool, which goes back to it when nobody holds the block any more."""
        if nbytes >= _LARGE:
            self._check(nbytes)
        try:
            return self._pool.allocate(nbytes or 1)
        except cl.Error as error:
            return self._last_resort(nbytes, error)

    def buffer(self, nbytes: int) -> cl.Buffer:
        """A buffer outside the pool, for what lives long. It can be divided into sub-buffers."""
        if nbytes >= _LARGE:
            self._check(nbytes)
        try:
            return _Block(self._blocks, self._context, self._flags, nbytes or 1)
        except cl.Error as error:
            return self._last_resort(nbytes, error)

    def copied(self, values: Any) -> Any:
        """A copy of a NumPy array, on the device."""
        if self._device.unified and values.size:  # without a command, which would wait for all that are in the queue
            if values.nbytes >= _LARGE:
                self._check(values.nbytes)
            try:
                return _Block(self._blocks, self._context, self._flags, values.nbytes, values)
            except cl.Error:  # perhaps there is memory once the pool gives back what it keeps: that is for `allocate`
                pass
        block = self.allocate(values.nbytes)
        try:
            if values.size:
                cl.enqueue_copy(self._queue, block, values)
        except cl.Error as error:
            self.exhausted(error, values.nbytes)
        return block

    @property
    def in_use(self) -> int:
        """Bytes that this process holds on the device, without what the pool keeps for later."""
        return self._pool.active_bytes + sum(self._blocks.values())

    def exhausted(self, error: cl.Error, nbytes: int | None = None) -> NoReturn:
        """Raise DeviceMemoryError, if that is what this error of the driver means; else raise the error itself."""
        if error.code not in _OUT_OF_MEMORY:
            raise error
        raise self._without(nbytes, f" (OpenCL error {error.code})") from error

    def _check(self, nbytes: int) -> None:
        """Raise DeviceMemoryError if this is more than the device has left."""
        left = self._device.memory - sum(self._blocks.values()) - nbytes
        if self._pool.managed_bytes > left:
            self._pool.free_held()
        if self._pool.active_bytes > left:
            gc.collect()
            if self.in_use + nbytes > self._device.memory:
                raise self._without(nbytes)

    def _without(self, nbytes: int | None, code: str = "") -> DeviceMemoryError:
        device = self._device
        asked = "a kernel's own memory" if nbytes is None else f"{_readable(nbytes)} asked"
        return DeviceMemoryError(
            f"out of memory on {device.label}: {asked}, {_readable(self.in_use)} in use; the device has "
            f"{_readable(device.memory)}, at most {_readable(device.handle.max_mem_alloc_size)} of it in one piece. "
            f"Use a smaller batch or a smaller network{code}"
        )

    def _last_resort(self, nbytes: int, error: cl.Error) -> cl.Buffer:
        """A buffer of exactly this size, once cycles of dead graphs are collected and the pool keeps nothing."""
        if error.code not in _OUT_OF_MEMORY:
            raise error
        gc.collect()
        self._pool.free_held()
        try:
            return _Block(self._blocks, self._context, self._flags, nbytes)
        except cl.Error as again:
            self.exhausted(again, nbytes)


def _readable(nbytes: float) -> str:
    for unit in _UNITS:
        if nbytes < 1024 or unit == _UNITS[-1]:
            break
        nbytes /= 1024
    return f"{nbytes:.4g} {unit}"
