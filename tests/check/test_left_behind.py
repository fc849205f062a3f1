"""Nothing is left behind: what a check began ends with it, and a process ends with whoever asks it."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from check_backends import faulty
from distributions import install

from pycrograd_core.conformance.supervisor import Supervisor
from pycrograd_core.plugins import get_backend

fcntl = pytest.importorskip("fcntl")

EXP = "def exp(self, *, out=None):\n            import subprocess, sys, time; {}; time.sleep(1000)"
# a lock, which is held until all are gone that have the file open
LOCK = "import fcntl, sys; sys.lock = open({!r}, 'a'); fcntl.flock(sys.lock, fcntl.LOCK_EX)"
BEGIN = "subprocess.Popen(['sleep', '1000'], pass_fds=[sys.lock.fileno()])"
ONLY = ("--only", "kernels/exp float32")
CHECK = "import sys; from pycrograd_core.cli import main; sys.argv[0] = 'pycrograd'; main()"
ASKS = """
import signal
from functools import partial
from pycrograd_core.conformance.supervisor import Supervisor
from pycrograd_core.plugins import get_backend

if __name__ == "__main__":
    asked = Supervisor(partial(get_backend, "mine"), seconds=2)
    results = asked.run(check for check in asked.introduction.checks if check.id == "kernels/exp float32")
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def sign(tmp_path):
    """A file that the backend makes when it has come so far."""
    return tmp_path / "sign"


@pytest.fixture
def begun(tmp_path):
    """Begins a program that has the backend `mine`."""

    def begin(body, *words, loading="", more=None):
        folder = install(tmp_path, {"mine": faulty("mine", body, loading)})
        if more is not None:
            (tmp_path / "asks.py").write_text(f"{ASKS}    {more}\n")
            words = (tmp_path / "asks.py",)
        environment = os.environ | {"PYTHONPATH": folder}
        return subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True)

    return begin


def make(sign):
    return f"open({str(sign)!r}, 'w').close()"


def becomes(true, seconds):
    """Whether it becomes true in so many seconds."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def released(lock):
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_what_a_check_began_ends_with_it(lock, stranger, check):
    stranger(EXP.format(f"{LOCK.format(str(lock))}; {BEGIN}"))
    (result,) = check(*ONLY, "--json", "--timeout", "1").report["checks"]
    assert result["outcome"] == "timed out"
    assert becomes(lambda: released(lock), 5)


def test_ctrl_c_ends_all(lock, sign, begun):
    body = EXP.format(f"{LOCK.format(str(lock))}; {BEGIN}; {make(sign)}")
    with begun(body, "-c", CHECK, "check", "mine", *ONLY) as program:
        assert becomes(sign.exists, 60)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 130
        assert "Traceback" not in program.stderr.read()
    assert becomes(lambda: released(lock), 5)


@pytest.mark.slow
@pytest.mark.parametrize("does", ["is idle", "hangs"])
def test_a_process_whose_parent_is_gone_ends(does, lock, sign, begun):
    more = "next(results)" if does == "hangs" else f"{make(sign)}; signal.pause()"
    with begun(EXP.format(make(sign)), loading=LOCK.format(str(lock)), more=more) as parent:
        assert becomes(sign.exists, 60)
        assert not released(lock)
        parent.kill()
        assert becomes(lambda: released(lock), 10)
        assert "Traceback" not in parent.stderr.read()


def test_a_process_that_nobody_ended_does_not_keep_the_program(begun):
    with begun("", more="next(results)") as program:
        assert program.wait(60) == 0, program.stderr.read()


@pytest.mark.slow
def test_leaving_while_a_check_is_asked(sign, stranger):
    """What is asked then, and what was to be asked after it, is not run, and no process begins anew."""
    stranger(EXP.format(make(sign)))
    with Supervisor(partial(get_backend, "mine")) as asked:
        names = {check.id: check for check in asked.introduction.checks}
        hanging = [check for name, check in names.items() if name.startswith("kernels/exp ")]
        results = asked.run([names["kernels/log float32"], *hanging])
        assert next(results).outcome == "passed"
        assert becomes(sign.exists, 60)
    sign.unlink()
    assert [result.outcome for result in results] == ["not run"] * len(hanging)
    assert not sign.exists()
