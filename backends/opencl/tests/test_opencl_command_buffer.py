"""Loops whose steps are recorded once, against the same loops enqueued launch by launch."""

from dataclasses import replace

import numpy as np
import pyopencl as cl
import pytest

from opencl_styles import styled
from pycrograd_core import capture, nn, use_backend
from pycrograd_core.errors import BackendError
from pycrograd_opencl.compiled import command_buffer
from pycrograd_opencl.compiled.command_buffer import CommandBuffer, usable
from pycrograd_opencl.compiled.run import Run
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.runtime import runtime_of
from twins import Setting, assert_alike

STYLES = ("launches", "kernels of their own")
ADD = "__kernel void add(__global int* x, int n) { x[0] += n; } __kernel void twice(__global int* x) { x[0] *= 2; }"


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) if name == "launches" else name for name in STYLES])
def device(request, monkeypatch, pocl):
    """A device for which a step is many launches, all of them worth recording from the fourth step on."""
    monkeypatch.setattr("pycrograd_opencl.compiled.run.LAUNCHES", 2)
    monkeypatch.setattr("pycrograd_opencl.compiled.run.STEPS", 4)
    return styled(monkeypatch, pocl, request.param)


@pytest.fixture
def replayed(monkeypatch):
    """The steps of each loop that was recorded."""
    found = []
    replay = Run._replay

    def counted(self, steps):
        found.append(steps)
        replay(self, steps)

    monkeypatch.setattr(Run, "_replay", counted)
    return found


def layers():
    return [nn.Dropout(0.3), nn.Linear(8, 5), nn.Tanh()]


def trained(device, loops):
    """A network after some loops, and the losses of each."""
    generator = np.random.default_rng(1)
    with use_backend(matrix_on(device)) as matrix:
        setting = Setting(matrix, "float32", "momentum", layers)
        step = capture(setting.step)
        rows = [generator.integers(0, 12, (steps, 5)) for steps in loops]
        return setting, [step.scan(setting.x, setting.labels, rows=order).numpy() for order in rows]


def test_a_recorded_loop_computes_what_its_launches_do(device, replayed):
    """Of new rows and outputs each time, of two lengths, between loops too short to record."""
    loops = (6, 9, 2, 6, 1, 9)
    recorded, losses = trained(device, loops)
    assert replayed == [6, 9, 6, 9]
    launched, expected = trained(replace(device, command_buffer=False), loops)
    assert len(replayed) == 4
    for found, wanted in zip(losses, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert_alike(recorded, launched, rtol=0)


def test_few_launches_are_not_recorded(device, replayed, monkeypatch):
    monkeypatch.setattr("pycrograd_opencl.compiled.run.LAUNCHES", 1000)
    trained(device, (6,))
    assert not replayed


def test_launches_follow_each_other_in_the_order_of_recording(pocl):
    runtime = runtime_of(pocl)
    add, twice = (runtime.kernel(ADD, name) for name in ("add", "twice"))
    x = runtime.buffer(4)
    cl.enqueue_copy(runtime.queue, x, np.int32([1]))
    add.set_args(x, np.int32(3))
    twice.set_args(x)
    assert usable(pocl)
    with CommandBuffer(runtime.queue) as step:
        for kernel in (add, twice, add):
            step.record(kernel, (1,), (1,))
        step.finalize()
        step.enqueue(2)
        step.enqueue()
    found = np.empty(1, np.int32)
    cl.enqueue_copy(runtime.queue, found, x)
    expected = 1
    for _ in range(3):
        expected = (expected + 3) * 2 + 3
    assert found == [expected]


def test_an_error_of_the_extension_names_the_function(pocl):
    with (
        CommandBuffer(runtime_of(pocl).queue) as step,
        pytest.raises(cl.Error, match="clEnqueueCommandBufferKHR failed: INVALID_OPERATION"),
    ):
        step.enqueue()


def test_an_error_of_a_recorded_loop_is_raised(device, monkeypatch):
    monkeypatch.setattr(CommandBuffer, "finalize", lambda self: None)
    with pytest.raises(cl.Error, match="clEnqueueCommandBufferKHR failed: INVALID_OPERATION"):
        trained(device, (6,))


def test_a_driver_without_a_function_that_it_must_have(pocl, monkeypatch):
    monkeypatch.setitem(command_buffer._SIGNATURES, "clCommandDanceKHR", ())
    with pytest.raises(BackendError, match="lists cl_khr_command_buffer and has no clCommandDanceKHR"):
        command_buffer._functions.__wrapped__(pocl.handle.platform.int_ptr)


def test_a_device_that_waits_for_a_buffer_before_it_takes_it_again_records_nothing(pocl, monkeypatch):
    monkeypatch.setattr(command_buffer, "CAN_BE_PENDING", 1 << 40)
    assert not usable(pocl)
    assert not usable(replace(pocl, command_buffer=False))
