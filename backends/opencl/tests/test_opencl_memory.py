"""Device memory: blocks that are used again, and what is said when there are none."""

import gc
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyopencl as cl
import pytest

from pycrograd_core.errors import BackendError
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.memory import DeviceMemoryError
from pycrograd_opencl.runtime import Runtime

FILL = """
import resource
from pathlib import Path

from pycrograd_opencl.devices import devices
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.memory import DeviceMemoryError

matrix = matrix_on(next(each for each in devices() if each.platform.startswith("Portable Computing Language")))
two, three = matrix.full(1, 1, 2.0, "float32"), matrix.full(1, 1, 3.0, "float32")
assert memoryview(two.add(three).to_host()).cast("B").cast("f")[0] == 5
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), -1))
held = []
try:
    for _ in range(100):
        held.append(matrix.empty(1024, 16384, "float32"))
except DeviceMemoryError as error:
    print(len(held), error)
count = len(held)
del held[:]
held = [matrix.empty(1024, 16384, "float32") for _ in range(count)]
assert memoryview(three.add(three).to_host()).cast("B").cast("f")[0] == 6
"""


class Failed(cl.Error):
    """A driver's error."""

    code = cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE


def test_what_is_freed_is_used_again(pocl):
    runtime = Runtime(pocl)
    block = runtime.allocate(4000)
    assert runtime.memory.in_use == 4000
    place = block.int_ptr
    del block
    gc.collect()
    assert runtime.memory.in_use == 0
    assert runtime.allocate(4000).int_ptr == place


def test_what_is_outside_the_pool_counts_too(pocl):
    runtime = Runtime(pocl)
    arena, copy = runtime.buffer(1 << 20), runtime.memory.copied(np.zeros(1000, np.float32))
    assert runtime.memory.in_use == (1 << 20) + 4000
    part = arena.get_sub_region(4096, 4096)
    del arena, copy, part
    gc.collect()
    assert runtime.memory.in_use == 0


def test_at_least_a_byte(pocl):
    runtime = Runtime(pocl)
    assert runtime.allocate(0) is not None
    assert runtime.buffer(0) is not None
    assert runtime.memory.copied(np.zeros((0, 3), np.float32)) is not None


@pytest.mark.parametrize("kind", ["allocate", "buffer"])
def test_more_than_the_device_has(pocl, kind):
    runtime = Runtime(pocl)
    held = runtime.allocate(3 << 20)
    with pytest.raises(DeviceMemoryError, match=r"out of memory on .*: 2048 TiB asked, 3 MiB in use") as caught:
        getattr(runtime, kind)(1 << 51)
    assert pocl.label in str(caught.value)
    assert isinstance(caught.value, BackendError)
    assert isinstance(caught.value, MemoryError)
    del held


def test_a_matrix_that_is_too_large(pocl):
    with pytest.raises(DeviceMemoryError, match="16 TiB asked"):
        matrix_on(pocl).full(1 << 21, 1 << 21, 0.0, "float32")


def test_as_much_as_goes_in_one_piece(pocl):
    """The pool rounds sizes up: a block of the greatest size has to come from elsewhere."""
    assert Runtime(pocl).allocate(pocl.handle.max_mem_alloc_size).size == pocl.handle.max_mem_alloc_size


def test_no_more_than_the_device_has_in_all(pocl):
    """What an operating system promises without having it is refused before anyone counts on it."""
    runtime = Runtime(replace(pocl, memory=10 << 20))
    held = [runtime.allocate(4 << 20), runtime.buffer(4 << 20)]
    for ask in (runtime.allocate, runtime.buffer, lambda size: runtime.memory.copied(np.zeros(size, np.uint8))):
        with pytest.raises(DeviceMemoryError, match="4 MiB asked, 8 MiB in use; the device has 10 MiB"):
            ask(4 << 20)
    held.pop()
    assert runtime.allocate(4 << 20).size >= 4 << 20


@pytest.mark.parametrize("call", ["enqueue_nd_range_kernel", "enqueue_copy"])
def test_a_driver_that_notices_at_the_launch(pocl, monkeypatch, call):
    matrix = matrix_on(pocl)
    x = matrix.full(2, 3, 1.0, "float32")

    def fail(*_args, **_options):
        raise Failed

    monkeypatch.setattr(cl, call, fail)
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        x.add(x) if call == "enqueue_nd_range_kernel" else x.to_host()


def test_another_error_of_a_driver_stays_what_it_is(pocl, monkeypatch):
    matrix = matrix_on(pocl)
    x = matrix.full(2, 3, 1.0, "float32")
    monkeypatch.setattr(Failed, "code", cl.status_code.INVALID_VALUE)

    def fail(*_args, **_options):
        raise Failed

    monkeypatch.setattr(cl, "enqueue_copy", fail)
    with pytest.raises(Failed):
        x.to_host()


def test_a_device_that_runs_out():
    """A process that gets a gigabyte: matrices of 64 MiB until there are no more, an error, then as many again."""
    done = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    count, message = done.stdout.split(" ", 1)
    assert 8 <= int(count) <= 16
    assert "64 MiB asked" in message
    assert f"{int(count) * 64} MiB in use" in message or "1 GiB in use" in message
