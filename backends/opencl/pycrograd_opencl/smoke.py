"""The smoke test: a kernel built and run in a process of its own, since a broken driver may crash or hang.

`python -m pycrograd_opencl.smoke INDEX LABEL` is that process. It exits with 0, or with 1 and the reason on stdout.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from . import build_logs, isolated, storage
from .build_logs import Trouble

if TYPE_CHECKING:
    from .devices import Device

FAILURE_STANDS = 600.0  # seconds: a driver can be mended without a change of its version
SOURCE = """
__kernel void smoke(__global const float* x, __global float* y) {
    const int i = get_global_id(0);
    y[i] = 3.0f * x[i] + %d.0f;
}
"""


@dataclass(frozen=True)
class Verdict:
    """What came of a test, and when."""

    trouble: Trouble | None
    time: float

    def stands(self) -> bool:
        """Whether it need not be tried again. A failure is, after a while."""
        return self.trouble is None or 0 <= time.time() - self.time < FAILURE_STANDS


_verdicts: dict[str, Verdict] = {}


def trouble(device: Device, fresh: bool = False) -> Trouble | None:
    """Why a device is unusable; None if it passes. Remembered in the process and on disk, but for a `fresh` test."""
    key = _key(device)
    verdict = None if fresh else _verdicts.get(key) or _stored(key)
    if verdict is None:
        verdict = Verdict(attempt(device), time.time())
        _store(key, verdict)
    _verdicts[key] = verdict
    return verdict.trouble


def attempt(device: Device, patience: float = isolated.PATIENCE) -> Trouble | None:
    """Why a device fails the test, run now; None if it passes."""
    ended = isolated.run("smoke", str(device.index), device.label, patience=patience)
    if ended.how is None:
        return None
    found = build_logs.trouble(f"{ended.how} in the smoke test", ended.said)
    return (
        found
        if found.mend
        else replace(found, mend=f"update the driver of {device.platform}, or choose another device")
    )


# What is remembered ------------------------------------------------------------------------------------------------


def _key(device: Device) -> str:
    """A name for all that a verdict depends on, as far as it can be seen."""
    from importlib.metadata import version

    own, binding = version("pycrograd-opencl"), version("pyopencl")
    machine = platform.node(), platform.release()  # a home may be shared by machines
    parts = (device.index, device.label, device.version, own, binding, *machine)
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _stored(key: str) -> Verdict | None:
    """The verdict of another process, if it can be read and still stands."""
    data = storage.read(f"smoke/{key}.json")
    if data is None:
        return None
    try:
        entry = json.loads(data)
        said = entry["trouble"]
        verdict = Verdict(None if said is None else Trouble(said["what"], said["mend"]), float(entry["time"]))
    except (ValueError, TypeError, KeyError):  # not what this version writes: the test is run, and written over it
        return None
    return verdict if verdict.stands() else None


def _store(key: str, verdict: Verdict) -> None:
    storage.write(f"smoke/{key}.json", json.dumps(asdict(verdict)).encode())


# The process -------------------------------------------------------------------------------------------------------


def run(device: Device) -> str | None:
    """Build and run the kernel on a device, here. Gives what is wrong; a driver that fails raises."""
    import numpy as np
    import pyopencl as cl

    number = os.getpid() % 10007  # a source never seen before, or a driver's cache would answer for its compiler
    context = cl.Context([device.handle])
    queue = cl.CommandQueue(context)
    kernel = cl.Kernel(cl.Program(context, SOURCE % number).build(["-cl-std=CL1.2"]), "smoke")
    x = np.arange(1000, dtype=np.float32)
    y = np.zeros_like(x)
    flags = cl.mem_flags
    source = cl.Buffer(context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=x)
    target = cl.Buffer(context, flags.WRITE_ONLY, y.nbytes)
    kernel(queue, x.shape, None, source, target)
    cl.enqueue_copy(queue, y, target)
    wrong = np.flatnonzero(y != 3 * x + number)
    if not wrong.size:
        return None
    first = wrong[0]
    return f"{wrong.size} of {x.size} results are wrong: {y[first]} instead of {3 * x[first] + number}"


def main(index: int, label: str) -> None:
    """Test the device of a listing. Exits with 1 if it fails."""
    import pyopencl as cl

    from .devices import devices

    listed = [device for device in devices() if device.label == label]
    if not listed:
        sys.exit(_say(f"a new process does not list the device {label}"))
    device = next((device for device in listed if device.index == index), listed[0])
    try:
        wrong = run(device)
    except (cl.Error, MemoryError) as error:
        sys.exit(_say(str(error)))
    if wrong:
        sys.exit(_say(wrong))


def _say(reason: str) -> int:
    print(reason)  # noqa: T201
    return 1


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
