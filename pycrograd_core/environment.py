"""What a result depends on besides its configuration: recorded with every run and certificate."""

from __future__ import annotations

import os
import platform
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pycrograd_core

if TYPE_CHECKING:
    from pycrograd_core.matrix import Matrix
    from pycrograd_core.plugins import Probe
    from pycrograd_core.plugins.backends import Candidate

PROBING = 20.0  # seconds that a backend's probe may take
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment(matrix: type[Matrix]) -> dict[str, Any]:
    """The machine, the versions, the thread settings, and the backend with the packages it says it runs on."""
    from pycrograd_core.plugins import candidates

    candidate = candidates()[matrix.backend]
    probe = _probed(candidate)
    return {
        "pycrograd": pycrograd_core.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "numpy": _version("numpy"),
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "backend": {
            "distribution": candidate.plugin.distribution,
            "version": candidate.plugin.version,
            "runtime": probe.version,
            "devices": list(probe.devices),
            **({"reason": probe.reason} if probe.reason else {}),
        },
    }


def _probed(candidate: Candidate) -> Probe:
    """What the backend's probe finds. One that hangs costs no run and no certificate: its thread is left to itself."""
    from pycrograd_core.plugins import Probe

    found: list[Probe] = []
    thread = threading.Thread(target=lambda: found.append(candidate.probe()), name="probe", daemon=True)
    thread.start()
    thread.join(PROBING)
    return found[0] if found else Probe(reason=f"its probe took more than {PROBING:g} seconds")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name; where the system does not tell, its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  a file of the kernel, not of ours
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
