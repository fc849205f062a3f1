"""What a backend does to the process that it is checked in is a check that failed, and the next one is asked."""

import time
from multiprocessing.connection import Connection

import pytest

from pycrograd_core.conformance import supervisor
from pycrograd_core.plugins import apart

EXP = (
    "def exp(self, *, out=None):\n            import ctypes, os, sys, time; {}\n            return super().exp(out=out)"
)
THREE = ("--only", "kernels/??? float32", "--jobs", "1", "--json")  # exp, and after it log, add, sum, max

FATAL = {  # what it does, the outcome, what the message says
    "aborts": ("os.abort()", "crashed", "its process was ended by SIGABRT"),
    "reads where nothing is": ("ctypes.string_at(8)", "crashed", "its process was ended by SIGSEGV"),
    "ends the process": ("os._exit(3)", "crashed", "its process ended with exit code 3"),
    "ends the process, and well": ("os._exit(0)", "crashed", "its process ended with exit code 0"),
    "hangs": ("time.sleep(1000)", "timed out", "it took more than 5 seconds"),
    "leaves a process behind": (
        "os.fork() and os.abort(); time.sleep(1000)",
        "crashed",
        "its process was ended by SIGABRT",
    ),
    "closes its pipe": (
        "os.closerange(3, 999); time.sleep(1000)",
        "crashed",
        "its process closed the pipe that it answers through",
    ),
}
LONG = {"hangs", "closes its pipe"}  # are waited for
WRITES_NO_TRACE = {"ends the process", "ends the process, and well", "closes its pipe"}


@pytest.mark.parametrize("fatal", [pytest.param(each, marks=[pytest.mark.slow] * (each in LONG)) for each in FATAL])
def test_a_check_that_takes_the_process_along(fatal, stranger, check, monkeypatch):
    body, outcome, message = FATAL[fatal]
    monkeypatch.setattr(supervisor, "GRACE", 1.0)
    monkeypatch.setattr(apart, "GRACE", 1.0)
    stranger(EXP.format(body))
    ended = check(*THREE, *(("--timeout", "5") if outcome == "timed out" else ()))
    assert ended.code == 1
    results = {result["name"]: result for result in ended.report["checks"]}
    failed = results["exp float32"]
    assert failed["outcome"] == outcome
    assert failed["message"].startswith(message)
    assert failed["seconds"] >= (5 if outcome == "timed out" else 0.001)
    if fatal not in WRITES_NO_TRACE:
        assert "in exp" in failed["message"], "where it was"
    del results["exp float32"]
    assert {name: result["outcome"] for name, result in results.items()} == dict.fromkeys(
        ("log float32", "add float32", "sum float32", "max float32"), "passed"
    )


def test_what_ends_the_program_and_is_an_exception_is_a_failure_like_any_other(stranger, check):
    stranger(EXP.format("sys.exit(3)"))
    ended = check("--only", "kernels/exp float32", "--json")
    (result,) = ended.report["checks"]
    assert (ended.code, result["outcome"]) == (1, "failed")
    assert "SystemExit: 3" in result["message"]
    assert "in exp" in result["message"]


def test_a_backend_that_ends_process_after_process_is_asked_no_more(stranger, check, monkeypatch):
    monkeypatch.setattr(supervisor, "MOST_LOST", 2)
    stranger("def to_host(self):\n            import os; os._exit(5)")
    ended = check(*THREE)
    outcomes = [result["outcome"] for result in ended.report["checks"]]
    assert outcomes[:2] == ["crashed"] * 2
    assert set(outcomes[2:]) == {"not run"}
    assert ended.report["checks"][-1]["reason"] == "2 processes with this backend crashed or hung before this"
    assert (ended.code, ended.report["verdict"]) == (1, "failed")


@pytest.mark.parametrize(
    ("loading", "told"),
    [
        ("raise OSError('no libcard.so')", "error: the backend 'mine' cannot be loaded: OSError: no libcard.so"),
        ("import os; os.abort()", "error: the backend cannot be loaded: its process was ended by SIGABRT"),
        pytest.param(
            "import time; time.sleep(1000)",
            "error: the backend cannot be loaded: it took more than 1 seconds",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_backend_that_cannot_be_loaded(loading, told, stranger, check, monkeypatch):
    if "sleep" in loading:
        monkeypatch.setattr(supervisor, "LOADING", 1.0)
    stranger(loading=loading)
    ended = check()
    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err
    if "raise" in loading:
        assert "in load\n    raise OSError('no libcard.so')" in ended.err, "its traceback"


def test_what_a_backend_prints_is_no_part_of_the_report(stranger, check):
    stranger("def exp(self, *, out=None):\n            print('hello'); return super().exp(out=out)")
    ended = check("--only", "kernels/exp float32", "--json")
    assert (ended.code, ended.report["passed"]) == (0, 1)
    assert "hello" in ended.err


def test_a_backend_may_have_processes_of_its_own(stranger, check):
    stranger(EXP.format("import multiprocessing; p = multiprocessing.Process(target=int); p.start(); p.join()"))
    ended = check("--only", "kernels/exp float32", "--json")
    assert (ended.code, ended.report["passed"]) == (0, 1), ended


def test_what_a_process_says_before_it_ends_is_heard():
    process = apart.Apart(Connection.send, "last words")
    time.sleep(2)  # by then it has ended, as a rule
    assert process.heard(60) == "last words"
    with pytest.raises(apart.EndedError, match="ended with exit code 0"):
        process.heard(60)


@pytest.mark.parametrize(("code", "told"), [(-6, "by SIGABRT"), (-40, "by signal 40"), (3, "with exit code 3")])
def test_how_a_process_ended(code, told):
    """Real-time signals have no name."""
    assert apart.ending(code).endswith(told)
