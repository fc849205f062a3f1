"""States side by side in one buffer, where there are more of them than a kernel has room for parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

import pyopencl as cl

from pycrograd_core.capture.program import WIDTHS, Program, Value

if TYPE_CHECKING:
    from ..devices import Device
    from ..matrix import OpenCLMatrix
    from ..runtime import Runtime

POINTER = 8  # bytes of a parameter
OTHERS = 16  # parameters that are no states, or few of them


def parameters(device: Device) -> int:
    """How many buffers a kernel can be given, besides a number or two."""
    bytes_of_all: int = device.handle.max_parameter_size
    return bytes_of_all // POINTER - 2


def states_of(program: Program) -> Mapping[Value, OpenCLMatrix]:
    """The states of a program that this backend compiles: they are its own matrices."""
    return cast("Mapping[Value, OpenCLMatrix]", program.states)


def gather(runtime: Runtime, states: Iterable[OpenCLMatrix]) -> None:
    """Move states into one buffer if they are too many. A matrix that has moved stays where it is, for all programs.

    Those that were compiled before look at `runtime.moves`.
    """
    matrices = list(states)
    handle = runtime.device.handle
    if len(matrices) <= handle.max_parameter_size // POINTER - OTHERS:
        return
    alignment = max(1, handle.mem_base_addr_align // 8)
    offsets, size = [], 0
    moving = [matrix for matrix in matrices if matrix.home is None]
    for matrix in moving:
        offsets.append(size)
        size += -(-max(1, _bytes(matrix)) // alignment) * alignment
    if not moving:
        return
    home = runtime.buffer(size)
    for matrix, offset in zip(moving, offsets, strict=True):
        extent = _bytes(matrix)
        if extent:
            cl.enqueue_copy(runtime.queue, home, matrix.buffer, byte_count=extent, dst_offset=offset)
        matrix.buffer = home.get_sub_region(offset, max(1, extent))
        matrix.home = home, offset
    runtime.moves += 1


def _bytes(matrix: OpenCLMatrix) -> int:
    return matrix.shape[0] * matrix.shape[1] * WIDTHS[matrix.dtype]
