"""The backends among the examples, installed as by a stranger: they hold the contract, and train as others do."""

import difflib
import json
import re
import shutil
from pathlib import Path

import pytest

from pycrograd_core.scaffold.names import Names
from pycrograd_core.scaffold.package import LANGUAGES, rendered

ROOT = Path(__file__).parents[2]
ARRAY_API, C_KERNELS = ROOT / "examples" / "array_api", ROOT / "examples" / "c_kernels"
PLACES = {  # a backend and its device
    "numpy": ("array-api", "numpy"),
    "strict": ("array-api", "strict"),
    "jax": ("array-api", "jax"),
    "c": ("c-kernels", "cpu"),
}
LEFT_BY_BUILDS = shutil.ignore_patterns("build", "*.egg-info", "_kernels*", "__pycache__", "runs")


# Each has less than 200 lines of its own ---------------------------------------------------------------------------


def lines(example):
    """Each source file of an example, but for its tests, line by line."""
    files = [path for suffix in ("*.py", "*.c") for path in (example / f"pycrograd_{example.name}").glob(suffix)]
    files += example.glob("*.py")
    return {path.relative_to(example).as_posix(): path.read_text("utf-8").splitlines() for path in files}


def test_the_array_api_takes_less_than_200_lines():
    found = lines(ARRAY_API)
    assert len(found) == 3
    assert sum(map(len, found.values())) < 200


def test_c_takes_less_than_200_lines_beside_those_of_the_template():
    template = rendered(Names("c-kernels"), LANGUAGES["c"])
    found = lines(C_KERNELS)
    assert found.keys() == {path for path in template if path.endswith((".py", ".c")) and "tests" not in path}
    own = {path: written(template[path].splitlines(), file) for path, file in found.items()}
    assert {path for path, count in own.items() if count} == {
        f"pycrograd_c_kernels/{name}" for name in ("kernels.c", "kernels_build.py", "matrix.py")
    }
    assert sum(own.values()) < 200


def written(before, after):
    """How many lines were added or changed."""
    changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(stop - start for kind, _, _, start, stop in changes if kind != "equal")


# In an environment of their own ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(shared_environment):
    """The environment with both in it. What is installed are copies: building one writes into its folder."""
    array_api, c_kernels = (
        shutil.copytree(example, shared_environment.folder / example.name, ignore=LEFT_BY_BUILDS)
        for example in (ARRAY_API, C_KERNELS)
    )
    what = (f"{array_api}[jax,strict]", c_kernels)
    shared_environment.check("uv", "pip", "install", "--quiet", *what, CFLAGS="-Wall -Wextra -Werror")
    return shared_environment


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_it_trains_as_the_default_backend_does(installed, place, tmp_path):
    backend, device = PLACES[place]
    run = ("pycrograd", "run", ROOT / "configs" / "digits.yaml", "--epochs", "2", "--json", "--out")
    found = json.loads(installed.check(*run, tmp_path / "it", "--backend", backend, "--device", device))
    expected = json.loads(installed.check(*run, tmp_path / "default"))
    assert found["backend"] == backend != expected["backend"]
    assert found["device"].startswith(device)
    for part in ("train", "validation"):
        assert found[part]["loss"] == pytest.approx(expected[part]["loss"], rel=1e-5)
        assert found[part]["accuracy"] == expected[part]["accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("example", [ARRAY_API, C_KERNELS], ids=lambda path: path.name)
def test_what_the_readme_shows(installed, example):
    """All its commands, the whole check among them, but that uv installs."""
    shown = re.findall(r"^```\n(.*?)^```$", (example / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "pycrograd check" in shown[0]
    for block in shown:
        script = block.replace("pip install", "uv pip install").replace("../..", str(ROOT))
        installed.check("bash", "-e", "-o", "pipefail", "-c", script, cwd=installed.folder / example.name)
    summary = json.loads((installed.folder / example.name / "runs" / "digits" / "summary.json").read_text())
    assert summary["validation"]["accuracy"] > 0.95


# What only the array API has: devices of many libraries ------------------------------------------------------------

# JAX compiles each kernel for each shape. It is not asked the tiers of a thousand shapes, which take it ten minutes.
FEW_SHAPES = ("signatures", "host", "values", "training", "capture", "determinism", "threads")


@pytest.mark.slow
@pytest.mark.parametrize(("device", "tiers"), [("strict", ()), ("jax", FEW_SHAPES)], ids=["strict", "jax"])
def test_another_namespace_passes_the_check(installed, device, tiers):
    asked = [part for tier in tiers for part in ("--tier", tier)]
    report = json.loads(installed.check("pycrograd", "check", "array-api", "--device", device, *asked, "--json"))
    assert report["verdict"] == ("partial" if tiers else "passed")
    assert report["device"].startswith(device)
    assert sum(tier["expected_failures"] for tier in report["tiers"]) == 0


NOTHING_HEAVY = """
import sys
from pycrograd_array_api.plugin import probe

print(*probe().devices)
assert not {"array_api_compat", "array_api_strict", "jax"} & sys.modules.keys()
"""
ONE_CLASS = """
from pycrograd_core.plugins import get_backend

assert get_backend("array-api") is get_backend("array-api", "numpy") is get_backend("array-api", "numpy:cpu")
assert get_backend("array-api", "strict") is not get_backend("array-api", "strict:device1")
"""
CAPABILITIES = """
import sys
from pycrograd_core.plugins import get_backend

print(*sorted(get_backend("array-api", sys.argv[1]).capabilities))
"""
APART = """
import sys
from math import inf, nan
from pycrograd_core import Tensor, ops, use_backend

with use_backend("array-api", sys.argv[1]):
    x = Tensor([[-0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    sums = ops.add_rows(x, Tensor([2, 1, 2], dtype="int32"), Tensor([[inf, nan], [1.0, -inf], [1.0, 1.0]]))
    print(sums.tolist())
"""
WAITS = """
from pycrograd_core.plugins import get_backend

matrix = get_backend("array-api", "jax")
x = y = matrix.full(1500, 1500, 0.001, "float32")
for _ in range(8):
    y = y.matmul(x)
matrix.synchronize()
assert y.array.is_ready()
"""


def python(environment, script, *arguments, **variables):
    return environment.check(environment.python, "-c", script, *arguments, **variables).strip()


@pytest.mark.slow
def test_listing_imports_no_array_library(installed):
    assert python(installed, NOTHING_HEAVY) == "numpy jax strict"


@pytest.mark.slow
def test_a_device_has_one_class(installed):
    python(installed, ONE_CLASS)


@pytest.mark.slow
def test_float64_is_where_the_library_says(installed):
    for device, variables, expected in (
        ("numpy", {}, "deterministic float64"),
        ("jax", {}, "deterministic"),
        ("jax", {"JAX_ENABLE_X64": "1"}, "deterministic float64"),
        ("strict", {}, "deterministic float64"),
        ("strict:no_float64", {}, ""),
    ):
        assert python(installed, CAPABILITIES, device, **variables) == expected


@pytest.mark.slow
@pytest.mark.parametrize("device", ["numpy", "strict", "jax"])
def test_what_is_added_to_a_row_does_not_reach_another(installed, device):
    assert python(installed, APART, device) == "[[-0.0, 1.0], [3.0, -inf], [inf, nan]]"


@pytest.mark.slow
def test_synchronize_waits(installed):
    python(installed, WAITS)


@pytest.mark.slow
def test_a_device_that_is_not_there(installed):
    for device, reason in (
        ("tpu", "the backend 'array-api' has no device 'tpu'; Known: numpy, torch, jax, cupy, strict"),
        ("torch", "the device 'torch' is not installed: pip install 'pycrograd-array-api[torch]'"),
        ("jax:tpu", "the device 'jax' has no 'tpu'; Known: cpu:0"),
    ):
        done = installed.run("pycrograd", "check", "array-api", "--device", device)
        assert done.returncode != 0
        assert reason in done.stderr
