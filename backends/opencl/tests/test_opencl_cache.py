"""Compiled programs on disk: what they are kept by, what becomes of bad ones, and folders that cannot be written."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pyopencl as cl
import pytest

from pycrograd_core.cache import CACHE_VARIABLE, no_cache
from pycrograd_core.errors import BackendError
from pycrograd_opencl import runtime, storage
from pycrograd_opencl.cache import BinaryCache
from pycrograd_opencl.runtime import OPTIONS, Runtime

SOURCE = "__kernel void answer(__global int *y) { y[0] = 42; }"
USE = """
import numpy as np
from pycrograd_opencl import runtime
from pycrograd_opencl.devices import devices
from pycrograd_opencl.matrix import matrix_on

device = next(each for each in devices() if each.platform.startswith("Portable Computing Language"))
matrix = matrix_on(device)
x = matrix.from_host(np.arange(600, dtype=np.float32), 20, 30, "float32")
for step in range(50):
    product = x.matmul(x, transpose_b=True)
    total = np.asarray(product.sum().to_host()).item()
    assert abs(total / (np.arange(600.0).reshape(20, 30).sum(0) ** 2).sum() - 1) < 1e-5, total
runtime.has_src_build_cache = lambda handle: False
for number in range(3):
    runtime.Runtime(device).program("__kernel void f(__global int *y) { y[0] = %d; }" % number)
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """The driver as one that keeps nothing, which PoCL is not."""
    monkeypatch.setattr(runtime, "has_src_build_cache", lambda handle: False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "opencl"


@pytest.fixture
def building(monkeypatch):
    """The sources that are built from here on."""
    built = []
    build = Runtime._built
    monkeypatch.setattr(
        Runtime, "_built", lambda self, source, *more: built.append(source) or build(self, source, *more)
    )
    return built


def answer(there):
    """What the kernel of SOURCE says."""
    import numpy as np

    kernel, y = there.kernel(SOURCE, "answer"), np.zeros(1, np.int32)
    buffer = there.buffer(4)
    kernel.set_args(buffer)
    cl.enqueue_nd_range_kernel(there.queue, kernel, (1,), (1,))
    cl.enqueue_copy(there.queue, y, buffer)
    return y[0]


def test_a_program_is_built_once_for_all_processes(pocl, folder, building):
    first = Runtime(pocl)
    assert (answer(first), answer(first), answer(Runtime(pocl))) == (42, 42, 42)
    assert building == [SOURCE]
    assert len(list(folder.iterdir())) == 1


def test_a_driver_that_keeps_what_it_compiles_is_left_to_it(pocl, folder, monkeypatch):
    monkeypatch.setattr(runtime, "has_src_build_cache", lambda handle: True)
    assert answer(Runtime(pocl)) == 42
    assert not folder.exists()


def test_off(pocl, monkeypatch, tmp_path, building):
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage.folder() is None
    assert (answer(Runtime(pocl)), answer(Runtime(pocl))) == (42, 42)
    assert building == [SOURCE, SOURCE]
    assert not list(tmp_path.rglob("*.bin"))


def test_off_for_a_while(pocl, folder, building):
    there = Runtime(pocl)
    with no_cache():
        assert answer(there) == 42
    assert not folder.exists()
    assert (answer(Runtime(pocl)), answer(Runtime(pocl))) == (42, 42)
    with no_cache():
        assert answer(Runtime(pocl)) == 42
    assert building == [SOURCE] * 3


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert storage.folder() == tmp_path / "pycrograd" / "opencl"


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "of another device"])
def test_a_bad_entry_is_replaced(pocl, folder, building, damage):
    assert answer(Runtime(pocl)) == 42
    (entry,) = folder.iterdir()
    good = entry.read_bytes()
    if damage == "of another device":
        cache = BinaryCache(pocl, "")
        cache.name = lambda source, options: entry.name
        cache.put(SOURCE, (), b"no binary of this driver")
    else:
        entry.write_bytes({"empty": b"", "cut": good[: len(good) // 2], "changed": good[:-1] + b"!"}[damage])
    assert answer(Runtime(pocl)) == 42
    assert building == [SOURCE, SOURCE]
    assert answer(Runtime(pocl)) == 42
    assert building == [SOURCE, SOURCE]


def test_what_the_key_holds(pocl):
    def name(source=SOURCE, options=OPTIONS, version="1", **changes):
        return BinaryCache(replace(pocl, **changes), version).name(source, options)

    others = [
        name(source=SOURCE + " "), name(options=(*OPTIONS, "-DX")), name(version="2"), name(name="another"),
        name(driver="9.9"), name(platform="another"), name(version="OpenCL 9"), name(vendor="another"),
    ]  # fmt: skip
    assert len({name(), *others}) == 1 + len(others)
    assert name(index=7, memory=1) == name()


def test_a_folder_that_cannot_be_written(pocl, monkeypatch, tmp_path, building, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    there = Runtime(pocl)
    assert answer(there) == 42
    there.program(SOURCE + "\n")
    (message,) = caplog.messages
    assert "are not kept" in message
    assert str(tmp_path / "file") in message


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_what_cannot_be_written_leaves_nothing_behind(folder, monkeypatch, step):
    assert storage.write("one", b"whole") is None
    monkeypatch.setattr(Path, step, Mock(side_effect=OSError("no space left")))
    assert str(storage.write("one", b"half")) == "no space left"
    assert list(folder.iterdir()) == [folder / "one"]
    assert storage.read("one") == b"whole"


def test_a_source_that_does_not_build(pocl, folder):
    with pytest.raises(BackendError, match="cannot build") as caught:
        Runtime(pocl).program("__kernel void answer(__global int *y) { y[0] = unheard_of; }")
    assert pocl.label in str(caught.value)
    assert "unheard_of" in str(caught.value)
    assert not folder.exists()


@pytest.mark.slow
def test_processes_that_start_at_once(pocl, folder):
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", USE], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120)[1] for process in running]
    assert [(process.returncode, said) for process, said in zip(running, ended, strict=True)] == [(0, "")] * 3
    assert [path.suffix for path in folder.iterdir()] == [".bin"] * 3
