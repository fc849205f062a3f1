"""Backends to be checked, installed as distributions are, and `pycrograd check` to do it."""

import json
import sys
from typing import NamedTuple

import pytest
from check_backends import faulty
from distributions import install

from pycrograd_core.cli import main
from pycrograd_core.plugins import backends, candidates, loader


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Installs a backend called `mine`, with a file of expected failures if one is given."""

    def installed(body="", loading="", expected=None):
        monkeypatch.syspath_prepend(install(tmp_path, {"mine": faulty("mine", body, loading)}))
        if expected is not None:
            (tmp_path / "expected_failures.toml").write_text(expected)
        found = loader.installed.__wrapped__()
        monkeypatch.setattr(backends, "installed", lambda: found)
        candidates.cache_clear()
        backends._loaded.cache_clear()

    yield installed
    monkeypatch.undo()
    sys.modules.pop("stranger_mine", None)
    candidates.cache_clear()
    backends._loaded.cache_clear()


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def report(self):
        return json.loads(self.out)


@pytest.fixture
def check(monkeypatch, capfd):
    """Runs `pycrograd check mine …` to its end."""
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words, backend="mine"):
        monkeypatch.setattr(sys, "argv", ["pycrograd", "check", backend, *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code or 0, *capfd.readouterr())

    return call
