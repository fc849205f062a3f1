"""The kit as a test class, in a pytest of its own, as an author of a backend has it."""

import os
import subprocess
import sys

import pytest
from check_backends import faulty
from distributions import install

WRONG = "def exp(self, *, out=None):\n            return super().log(out=out)"
MODULE = """
from pycrograd_core.conformance import BackendConformance


class TestMine(BackendConformance):
    backend = "mine"
"""


@pytest.fixture
def pytest_of_mine(tmp_path):
    """Runs pytest on a test class of the backend `mine`."""

    def run(*options, body="", expected=None):
        environment = os.environ | {"PYTHONPATH": install(tmp_path, {"mine": faulty("mine", body)})}
        (tmp_path / "test_mine.py").write_text(MODULE)
        if expected is not None:
            (tmp_path / "expected_failures.toml").write_text(expected)
        command = [sys.executable, "-m", "pytest", "--strict-markers", "-p", "no:cacheprovider", *options]
        environment.pop("PYTEST_ADDOPTS", None)
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
def test_every_check_is_a_test(pytest_of_mine):
    done = pytest_of_mine("-q", "--collect-only")
    names = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(names) > 500
    assert "test_mine.py::TestMine::test_conformance[kernels/matmul float32]" in names
    fast = pytest_of_mine("-q", "--collect-only", "-m", "not conformance_slow").stdout.splitlines()
    assert {name.partition("[")[2].partition("/")[0] for name in set(names) - set(fast)} == {"growth"}


@pytest.mark.slow
def test_a_class_that_names_no_backend_is_told_so(pytest_of_mine, tmp_path):
    folder = tmp_path / "nameless"
    folder.mkdir()
    (folder / "test_nameless.py").write_text(MODULE.replace("    backend =", "    other ="))
    done = pytest_of_mine("nameless")
    assert "TestMine must name an installed backend" in done.stdout + done.stderr


@pytest.mark.slow
def test_what_it_is_not_asked_is_no_test(pytest_of_mine):
    done = pytest_of_mine("-q", "--collect-only", body="capabilities = frozenset()")
    assert "[kernels/exp float32]" in done.stdout
    assert "determinism/" not in done.stdout
    assert "float64" not in done.stdout


@pytest.mark.slow
def test_a_right_backend_passes(pytest_of_mine):
    assert pytest_of_mine("-k", "kernels and (exp or add)").returncode == 0


def test_a_failure_is_shown_by_its_message(pytest_of_mine):
    done = pytest_of_mine("-k", "kernels/exp", body=WRONG)
    assert done.returncode == 1
    assert "exp(" in done.stdout
    assert "measure.py" not in done.stdout, "what the kit did is of no interest"
    assert "it should be" in done.stdout


def test_expected_and_stale_failures(pytest_of_mine):
    reasons = (
        '[expected_failures]\n"kernels/exp float*" = "it takes the logarithm"\n"kernels/log float32" = "long mended"\n'
    )
    done = pytest_of_mine(
        "-k", "kernels/exp or kernels/log", "-rx", body=WRONG, expected=reasons + '"none" = "misspelt"\n'
    )
    assert "it takes the logarithm" in done.stdout
    assert "XFAIL test_mine.py::TestMine::test_conformance[kernels/exp float32]" in done.stdout
    assert "StaleExpectation: kernels/log float32 passes, though " in done.stdout
    assert "expects it to fail: long mended" in done.stdout
    assert "expected_failures.toml: 'none' is the name of no check" in done.stdout


@pytest.mark.slow
def test_where_pycrograd_is_installed_pytest_loads_nothing_heavy(tmp_path):
    (tmp_path / "test_other.py").write_text("import sys\n\ndef test_other():\n    assert 'numpy' not in sys.modules\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
