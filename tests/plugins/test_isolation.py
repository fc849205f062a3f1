"""Plugins that are broken in every way, beside the good ones: they are told of, and take no other one down."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from distributions import backend, install

from places import BACKENDS
from pycrograd_core.plugins import candidates
from pycrograd_core.plugins.examination import Status, examine

MOONS = Path(__file__).parents[2] / "configs" / "moons.yaml"
EXITING = """
from pycrograd_core.plugins import hookimpl


@hookimpl
def pycrograd_register_backends():
    raise SystemExit("no card")
"""
BROKEN = {  # the source of a plugin, and the reason that is given for it
    "raises": ("raise RuntimeError('out of order')", "RuntimeError: out of order"),
    "hangs": (backend("hangs", more="import time\nprobe = lambda: time.sleep(1000)\n"), "took more than"),
    "twin": (backend(BACKENDS[0]), f"both register a backend '{BACKENDS[0]}'"),
    "future": (backend("future", contract=(9, 0)), "stranger-future is written for contract 9.0; this core has 1.0"),
    "lacking": (
        backend("lacking", more="from pycrograd_core import Matrix\nload = lambda d: type('Half', (Matrix,), {})\n"),
        "lacks the kernels add, add_rows, argmax,",
    ),
    "half_gone": (None, "ModuleNotFoundError: No module named 'stranger_half_gone'"),
    "crashes": (backend("crashes", more="import os\nprobe = os.abort\n"), "its process was ended by SIGABRT"),
    "ends": (backend("ends", more="import os\nprobe = lambda: os._exit(3)\n"), "its process ended with exit code 3"),
    "exits": (backend("exits", more="import sys\nprobe = lambda: sys.exit(0)\n"), "SystemExit: 0"),
    "registers_nothing": (EXITING, "SystemExit: no card"),
    "says_nothing": (backend("says_nothing", more="probe = lambda: None\n"), "probe() returned None, no Probe"),
}
GOOD = {"good": backend("good"), "chatty": backend("chatty", more="print('hello')\n")}
TOLD_OF = {"twin": BACKENDS[0]}  # under which name, if not its own


@pytest.fixture
def stranger(tmp_path):
    """Installs plugins, and runs Python with them in a process of its own."""

    def run(plugins, *command, **variables):
        folder = install(tmp_path, plugins)
        environment = os.environ | {"PYTHONPATH": folder, "COLUMNS": "200"} | variables
        return subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    return run


PYCROGRAD = ("-c", "from pycrograd_core.cli import main; main()")


@pytest.mark.slow
def test_all_of_them_beside_the_good_ones(stranger):
    """The listing shows each with its reason, waits for the one that hangs as long as it is told, and for no other."""
    plugins = {name: source for name, (source, _) in BROKEN.items()} | GOOD
    done = stranger(plugins, *PYCROGRAD, "backends", "--json", "--timeout", "15")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {"good", "chatty", *BACKENDS} - {BACKENDS[0]} <= {name for name, row in rows.items() if not row["reason"]}
    for name, (_, reason) in BROKEN.items():
        row = rows[TOLD_OF.get(name, name)]
        assert row["status"] == ("unusable" if name in ("says_nothing", "exits") else "broken"), row
        assert reason in row["reason"]
    assert rows["half_gone"]["distribution"] == "?"


@pytest.mark.parametrize("name", ["lacking", "crashes", "ends", "exits", "says_nothing"])
def test_one_that_is_looked_at_in_its_process(name, tmp_path, monkeypatch):
    source, reason = BROKEN[name]
    monkeypatch.syspath_prepend(install(tmp_path, {name: source, "good": GOOD["good"]}))
    found = fresh_candidates(monkeypatch)
    bad, good = examine([found[name], found["good"]], seconds=60)
    assert good.status is Status.USABLE
    assert bad.status is not Status.USABLE
    assert reason in bad.probe.reason


def test_a_name_that_blocks_nothing_is_told_of(stranger):
    done = stranger({"good": GOOD["good"]}, *PYCROGRAD, "backends", PYCROGRAD_BLOCK_PLUGINS="god")
    assert "PYCROGRAD_BLOCK_PLUGINS names no plugin 'god'; did you mean 'good'?" in done.stderr


def fresh_candidates(monkeypatch):
    from pycrograd_core.plugins import backends, loader

    monkeypatch.setattr(backends, "installed", loader.installed.__wrapped__)
    return candidates.__wrapped__()


def test_a_probe_that_hangs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path, {"hangs": BROKEN["hangs"][0]}))
    (seen,) = examine([fresh_candidates(monkeypatch)["hangs"]], seconds=0.01, closely=True)
    assert (seen.status, seen.probe.reason) == (Status.BROKEN, "looking at it took more than 0.01 seconds")
    (finding,) = seen.findings
    assert "PYCROGRAD_BLOCK_PLUGINS=hangs" in finding.mend


def test_what_a_probe_began_ends_with_it(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    lock = tmp_path / "lock"
    probe = f"""
def probe():
    import fcntl, os, subprocess
    with open({str(lock)!r}, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        subprocess.Popen(["sleep", "1000"], pass_fds=[file.fileno()])
        os._exit(3)
"""
    monkeypatch.syspath_prepend(install(tmp_path, {"leaves": backend("leaves", more=probe)}))
    (seen,) = examine([fresh_candidates(monkeypatch)["leaves"]], seconds=60)
    assert seen.probe.reason.endswith("with exit code 3")
    with lock.open("a") as file:
        for _ in range(100):  # what is killed takes a moment to let go
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.05)
    pytest.fail("somebody has the file open still")


def test_a_probe_may_have_processes_of_its_own(tmp_path, monkeypatch):
    more = """
def probe():
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return Probe(version="1.0", devices=("a card",))
"""
    monkeypatch.syspath_prepend(install(tmp_path, {"many": backend("many", more=more)}))
    (seen,) = examine([fresh_candidates(monkeypatch)["many"]], seconds=60)
    assert seen.status is Status.USABLE, seen


@pytest.mark.parametrize("name", ["raises", "future", "half_gone", "lacking"])
def test_asking_for_it_tells_why_and_the_others_work(name, stranger):
    program = f"""
from pycrograd_core import Tensor, get_backend
assert Tensor([[1.0]], backend={BACKENDS[0]!r}).exp().shape == (1, 1)
import sys
sys.argv = ["pycrograd", "check", {name!r}]
from pycrograd_core.cli import main
main()
"""
    done = stranger({name: BROKEN[name][0]}, "-c", program)
    assert done.returncode == 1
    assert BROKEN[name][1].removeprefix("RuntimeError: ").removeprefix("ModuleNotFoundError: ") in done.stderr
    assert f"error: the backend {name!r} " in done.stderr
    if name in ("raises", "half_gone"):
        assert "Traceback (most recent call last)" in done.stderr
    if name == "raises":
        assert "raise RuntimeError('out of order')" in done.stderr


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (backend("leaves", more="import sys\nload = lambda device: sys.exit(0)\n"), "cannot be loaded: SystemExit: 0"),
        (EXITING, "is broken: no card"),
    ],
    ids=["load", "hook"],
)
def test_what_ends_the_program_is_a_reason_like_any_other(source, reason, stranger):
    program = "from pycrograd_core.cli import main; main()"
    program = f"import sys; sys.argv[1:] = ['run', {str(MOONS)!r}, '--backend', 'leaves', '--epochs', '1']; {program}"
    done = stranger({"leaves": source}, "-c", program)
    assert done.returncode == 2
    assert f"error: --backend leaves: the backend 'leaves' {reason}" in done.stderr
    assert "Traceback (most recent call last)" in done.stderr
    assert "sys.exit(0)" in done.stderr or 'raise SystemExit("no card")' in done.stderr


@pytest.mark.parametrize("command", [("--help",), ("run", "--help"), ("check", "--help"), ("--version",)])
def test_help_imports_no_plugin(command, stranger):
    done = stranger({"loud": "raise SystemExit('it was imported')"}, *PYCROGRAD, *command)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_environment_blocks_plugins_by_name(stranger):
    other = candidates()[BACKENDS[-1]].plugin.name
    blocked = f"raises, hangs,{other}"
    plugins = {"raises": "raise AssertionError('it was imported')", "hangs": BROKEN["hangs"][0], **GOOD}
    done = stranger(plugins, *PYCROGRAD, "backends", "--json", PYCROGRAD_BLOCK_PLUGINS=blocked)
    rows = {row["name"]: row["status"] for row in json.loads(done.stdout)}
    assert rows.items() >= {"raises": "blocked", "hangs": "blocked", other: "blocked", "good": "usable"}.items()
