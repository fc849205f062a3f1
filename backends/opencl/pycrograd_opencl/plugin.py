"""What `pycrograd` finds through the entry point. Importing this imports no pyopencl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.plugins import BackendSpec, Finding, Probe, Tuned, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycrograd_core.capture.program import Program

    from .matrix import OpenCLMatrix


def load(device: str | None) -> type[OpenCLMatrix]:
    """The matrix class of a device: its number, or a part of its name, vendor or platform; None for the best one."""
    from .devices import choose
    from .matrix import matrix_on

    return matrix_on(choose(device))


def probe() -> Probe:
    """The devices that pass the smoke test, the best first, and why others do not."""
    import pyopencl as cl

    from . import smoke
    from .devices import devices, listing, ranked

    version = f"pyopencl {cl.VERSION_TEXT}"
    usable, reasons = [], []
    for device in ranked(devices()):
        trouble = smoke.trouble(device)
        if trouble is None:
            usable.append(f"{device.index}: {device.label} ({device.kind})")
        else:
            reasons.append(f"{device.label} {trouble}")
    return Probe(version=version, devices=tuple(usable), reason="; ".join([*reasons, *map(str, listing().troubles)]))


def diagnose() -> list[Finding]:
    """The loader, its drivers, the variables that matter, and every device."""
    from .diagnosis import findings

    return findings()


def tune(program: Program, device: str | None, seconds: float, notice: Callable[[str], None]) -> list[Tuned]:
    """Parameters of the kernels of a program's products, found by trying them."""
    from .tuning.report import tune

    return tune(program, device, seconds, notice)


@hookimpl
def pycrograd_register_backends() -> list[BackendSpec]:
    """The one backend of this distribution."""
    return [
        BackendSpec(
            name="opencl",
            contract=(1, 0),
            summary="OpenCL kernels, on NVIDIA, AMD and Intel GPUs and on CPUs",
            load=load,
            probe=probe,
            priority=20,
            diagnose=diagnose,
            tune=tune,
        )
    ]
