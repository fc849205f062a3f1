"""Every kernel under Oclgrind, which sees each access to memory: none outside, none too early, no two that race.

Oclgrind simulates a device, thousands of times as slowly as one is. What runs there is `under_oclgrind.py`, part by
part, each in a process of its own.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pycrograd_opencl.gemm.variants import PARAMETERS

HERE = Path(__file__).parent
PATHS = [str(HERE.parents[2] / "tests" / name) for name in ("core", "capture")]
# Without optimisation: passes of the compiler bring in what Oclgrind does not know, and take away what it should see.
OPTIONS = ["--build-options", "-cl-opt-disable", "--data-races", "--uniform-writes", "--uninitialized"]
EXPECTED = re.compile(r"case .*|\d+ warnings? generated\.|\s*")  # on stderr; whatever else stands there is an error
STYLES = ("vectors", "groups")
PARTS = [
    *(f"products {number} {dtype}" for number in range(len(PARAMETERS)) for dtype in ("float32", "float64")),
    "chosen vectors",
    *(f"chosen groups {vendor}" for vendor in ("Oclgrind", "NVIDIA", "AMD", "Intel")),
    *(
        f"eager {style} {which} {dtype}"
        for style in STYLES
        for which in ("elementwise", "others")
        for dtype in ("float32", "float64")
    ),
    *(
        f"{part} {style} {network}"
        for part in ("steps", "large_steps")
        for style in STYLES
        for network in ("usual sgd float32", "dropout adam float32", "tanh momentum float64", "wide nesterov float32")
    ),
]

pytestmark = pytest.mark.slow


def under_oclgrind(part):
    """What a part says that it should not, once it has run to its end."""
    simulator = shutil.which("oclgrind")
    assert simulator, "Oclgrind is not installed: `.ci/run` does that, or `apt-get install oclgrind`"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(PATHS), "PYCROGRAD_CACHE": "off"}
    command = [simulator, *OPTIONS, sys.executable, str(HERE / "under_oclgrind.py"), *part.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "case " in done.stderr
    lines = done.stderr.splitlines()
    return "\n".join(line for line in lines if not EXPECTED.fullmatch(line))


@pytest.mark.parametrize("part", PARTS)
def test_clean(part):
    said = under_oclgrind(part)
    assert not said, said


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("overrun", "Invalid write of size 4 at global memory"),
        ("race", "Write-write data race at global memory"),
        ("local_race", "Read-write data race at local memory"),
        ("uninitialised", "Uninitialized value written to global memory"),
    ],
)
def test_what_is_wrong_is_found(fault, message):
    assert message in under_oclgrind(f"fault {fault}")


def test_what_is_right_is_not():
    assert not under_oclgrind("fault none")


def test_what_is_read_too_early_spoils_the_result():
    with pytest.raises(AssertionError, match="nan"):
        under_oclgrind("unwritten")
