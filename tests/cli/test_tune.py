"""`pycrograd tune`: which backend is asked, with which program, and how what it found is shown."""

import json
import signal
from dataclasses import replace

import pytest

from pycrograd_core.capture.program import Program
from pycrograd_core.cli import tune as command
from pycrograd_core.plugins import Tuned, candidates
from pycrograd_core.plugins import backends as registered

FOUND = [
    Tuned("4×4 product", "tile=8", before=3e-3, after=1.5e-3, rulers={"ruler": 6e-3}),
    Tuned("2×2 product", "tile=4", before=1e-3, after=1e-3, kept=False),
]


@pytest.fixture
def tunable(monkeypatch, backend):
    """Makes one of the installed backends tunable, and no other. Keeps what it is asked."""
    asked = []

    def tune(program, device, seconds, notice):
        asked.append((program, device, seconds))
        notice("searching")
        return FOUND

    able = {}
    for name, candidate in candidates().items():
        spec = candidate.spec and replace(candidate.spec, tune=tune if name == backend else None)
        able[name] = replace(candidate, spec=spec)
    monkeypatch.setattr("pycrograd_core.plugins.candidates", lambda: able)
    return asked


@pytest.fixture
def backend():
    from places import BACKENDS

    return next(iter(BACKENDS))


def test_what_was_found(cli, here, tunable):
    ended = cli("tune", "tiny.yaml", "--seconds", "2.5")
    assert ended.code == 0
    assert "searching" in ended.err
    heading, first, second = ended.out.splitlines()
    assert heading.split() == ["what", "before", "after", "speed-up", "vs", "ruler", "parameters"]
    assert first.split() == ["4×4", "product", "3,000", "µs", "1,500", "µs", "2.00×", "4.00×", "tile=8"]
    assert second.split() == ["2×2", "product", "1,000", "µs", "1,000", "µs", "1.00×", "–", "as", "before"]
    ((program, device, seconds),) = tunable
    assert isinstance(program, Program)
    assert any(instruction.op.name == "linear" for instruction in program.instructions)
    assert (device, seconds) == (None, 2.5)


def test_as_json(cli, here, tunable, backend):
    ended = cli("tune", "tiny.yaml", "--backend", backend, "--json")
    assert (ended.code, ended.err) == (0, "")
    first, second = json.loads(ended.out)
    assert first == {
        "what": "4×4 product", "chosen": "tile=8", "before": 3e-3, "after": 1.5e-3, "rulers": {"ruler": 6e-3},
        "kept": True,
    }  # fmt: skip
    assert not second["kept"]
    assert tunable[0][2] == command.SECONDS


def test_a_backend_that_cannot_be_tuned(cli, here, tunable, backend):
    other = next(name for name, each in registered.candidates().items() if name != backend and each.spec)
    ended = cli("tune", "tiny.yaml", "--backend", other)
    assert ended.code != 0
    assert f"the backend '{other}' cannot be tuned; those that can: {backend}" in ended.err


def test_a_backend_that_is_not_there(cli, here, tunable):
    ended = cli("tune", "tiny.yaml", "--backend", "nonsense")
    assert ended.code != 0
    assert "there is no backend 'nonsense' installed" in ended.err


def test_ctrl_c_keeps_what_was_found(cli, here, tunable, monkeypatch, backend):
    def tune(program, device, seconds, notice):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return FOUND[:1]

    able = candidates()
    spec = replace(able[backend].spec, tune=tune)
    monkeypatch.setattr("pycrograd_core.plugins.candidates", lambda: {backend: replace(able[backend], spec=spec)})
    before = signal.getsignal(signal.SIGINT)
    ended = cli("tune", "tiny.yaml", "--backend", backend)
    assert ended.code == 130
    assert "4×4 product" in ended.out
    assert signal.getsignal(signal.SIGINT) is before
