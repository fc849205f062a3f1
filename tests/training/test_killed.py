"""A run that is killed, whatever it was doing, can be resumed and ends as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("some", [6, pytest.param(0, marks=pytest.mark.slow)], ids=["some", "each"])
def test_a_run_killed_at_any_moment_ends_the_same(here, some):
    program = Path(__file__).with_name("killed.py")
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, program, str(some)], cwd=here, env=one_thread, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["events"] > 40
    assert len(results["killed"]) == (some or results["events"])
    assert not results["whole"]["hidden"]
    for event, outcome in results["killed"].items():
        assert outcome == results["whole"], event
