"""Wheels built from the tree work outside it."""

import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheels_install_and_train_outside_the_tree(tmp_path):
    wheels = tmp_path / "wheels"
    run("uv", "build", "--quiet", "--wheel", "--all-packages", "--out-dir", wheels, cwd=ROOT)
    built = sorted(wheels.glob("*.whl"))
    expected = ["pycrograd", *(f"pycrograd_{folder.name}" for folder in sorted((ROOT / "backends").iterdir()))]
    assert [wheel.name.partition("-")[0] for wheel in built] == expected
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    run("uv", "pip", "install", "--quiet", "--python", python, *built, cwd=tmp_path)
    program = "from pycrograd_core import Tensor; t = Tensor([[2.0]], requires_grad=True); (t * t).backward()"
    run(python, "-c", program, cwd=tmp_path)
    pycrograd = tmp_path / "env" / "bin" / "pycrograd"
    assert "usable" in run(pycrograd, "backends", cwd=tmp_path)
    assert "pycrograd_mine/matrix.py" in run(pycrograd, "new-backend", "mine", cwd=tmp_path)
    run(pycrograd, "train_mlp", "--epochs", "1", cwd=tmp_path)
    assert (tmp_path / "runs" / "moons" / "summary.json").exists()
