"""Launches that are recorded once and enqueued as one: the extension cl_khr_command_buffer.

pyopencl does not wrap it. Its functions are those of version 0.9.0 of its specification, which later ones left as they
are: `clCommandNDRangeKernelKHR` takes the queue, which must be NULL, and a list of properties.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyopencl as cl
from pyopencl import _cl
from pyopencl._cl import _ErrorRecord

from pycrograd_core.errors import BackendError

if TYPE_CHECKING:
    from ..devices import Device

# cl_ext.h
CAPABILITIES = 0x12A9  # CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR
CAN_BE_PENDING = 1 << 2  # CL_COMMAND_BUFFER_CAPABILITY_SIMULTANEOUS_USE_KHR
FLAGS = 0x1293  # CL_COMMAND_BUFFER_FLAGS_KHR
WHILE_PENDING = 1 << 0  # CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR

_SIGNATURES: dict[str, tuple[Any, ...]] = {  # what each returns, and its parameters
    "clCreateCommandBufferKHR": (c_void_p, c_uint, c_void_p, c_void_p, c_void_p),
    "clCommandNDRangeKernelKHR": (
        *(c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_uint, c_void_p, c_void_p, c_void_p),
        *(c_uint, c_void_p, c_void_p, c_void_p),
    ),
    "clFinalizeCommandBufferKHR": (c_int, c_void_p),
    "clEnqueueCommandBufferKHR": (c_int, c_uint, c_void_p, c_void_p, c_uint, c_void_p, c_void_p),
    "clReleaseCommandBufferKHR": (c_int, c_void_p),
}


def usable(device: Device) -> bool:
    """Whether a device has command buffers that may be enqueued again before they are done."""
    if not device.command_buffer:
        return False
    capabilities = c_uint64()
    code = _loader().clGetDeviceInfo(c_void_p(device.handle.int_ptr), CAPABILITIES, 8, ctypes.byref(capabilities), None)
    _check("clGetDeviceInfo(CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR)", code)
    return bool(capabilities.value & CAN_BE_PENDING)


class CommandBuffer:
    """Launches in the order of recording, each after the one before, for one in-order queue.

    A kernel's arguments must stay as they are from the recording to the last `enqueue`: PoCL 3.1 reads them then, where
    others keep those of the recording. Leaving a `with` statement releases it; what is enqueued is done nevertheless.
    """

    def __init__(self, queue: cl.CommandQueue) -> None:
        self._functions = _functions(queue.device.platform.int_ptr)
        self._last: c_uint | None = None  # the sync point of the last launch
        code = c_int()
        create = self._functions["clCreateCommandBufferKHR"]
        properties = (c_uint64 * 3)(FLAGS, WHILE_PENDING, 0)
        handle = create(1, (c_void_p * 1)(queue.int_ptr), properties, ctypes.byref(code))
        _check("clCreateCommandBufferKHR", code.value)
        self._handle = c_void_p(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._call("clReleaseCommandBufferKHR")

    def record(self, kernel: cl.Kernel, size: Sequence[int], group: Sequence[int]) -> None:
        """A launch of a kernel, with the arguments that it has now."""
        sizes, point = c_size_t * len(size), c_uint()
        launched = (c_void_p(kernel.int_ptr), len(size), None, sizes(*size), sizes(*group))
        after = (0, None) if self._last is None else (1, ctypes.byref(self._last))
        self._call("clCommandNDRangeKernelKHR", None, None, *launched, *after, ctypes.byref(point), None)
        self._last = point

    def finalize(self) -> None:
        """After the last launch, before the buffer is enqueued."""
        self._call("clFinalizeCommandBufferKHR")

    def enqueue(self, times: int = 1) -> None:
        """All that was recorded, this many times in turn."""
        enqueue, handle = self._functions["clEnqueueCommandBufferKHR"], self._handle
        for _ in range(times):
            code = enqueue(0, None, handle, 0, None, None)
            if code:
                _check("clEnqueueCommandBufferKHR", code)

    def _call(self, name: str, *arguments: Any) -> None:
        _check(name, self._functions[name](self._handle, *arguments))


def _check(name: str, code: int) -> None:
    """Raise an error of pyopencl's, as for its own functions."""
    if code:
        raise cl.Error(_ErrorRecord(name, code, ""))


@lru_cache(1)
def _loader() -> ctypes.CDLL:
    """The OpenCL loader that pyopencl uses, by way of pyopencl's own library, which is linked with it."""
    return ctypes.CDLL(_cl.__file__)


@lru_cache
def _functions(platform: int) -> dict[str, Callable[..., Any]]:
    """The functions of the extension, of a platform."""
    find = _loader().clGetExtensionFunctionAddressForPlatform
    find.restype = c_void_p
    found: dict[str, Callable[..., Any]] = {}
    for name, signature in _SIGNATURES.items():
        address = find(c_void_p(platform), name.encode())
        if not address:
            raise BackendError(f"an OpenCL driver lists cl_khr_command_buffer and has no {name}: update it")
        found[name] = ctypes.CFUNCTYPE(*signature)(address)
    return found
