"""Distributions whose entry points nobody can read are told of, and take no plugin down."""

import pytest
from distributions import backend, install

from pycrograd_core.plugins import candidates, installed, loader
from pycrograd_core.plugins.backends import get_backend

UNREADABLE = {
    "not UTF-8": (b"[pycrograd]\n\xff\xfe = x\n", "codec can't decode byte"),
    "not name = value": (b"[pycrograd]\nnothing\n", "its entry_points.txt cannot be read: "),
}


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Installs plugins and changes one's entry points; what is found then."""

    def find(entries):
        folder = install(tmp_path, {"bad": backend("bad"), "good": backend("good")})
        (tmp_path / "stranger_bad-1.0.dist-info" / "entry_points.txt").write_bytes(entries)
        monkeypatch.syspath_prepend(folder)
        installed.cache_clear()
        candidates.cache_clear()
        return candidates()

    yield find
    monkeypatch.undo()
    installed.cache_clear()
    candidates.cache_clear()


@pytest.mark.parametrize("kind", UNREADABLE)
def test_entry_points_that_cannot_be_read(found, kind):
    entries, reason = UNREADABLE[kind]
    seen = found(entries)
    assert reason in str(seen["stranger-bad"].failure)
    assert seen["good"].failure is None
    with pytest.raises(Exception, match=r"the backend 'stranger-bad' is broken: its entry_points\.txt"):
        get_backend("stranger-bad")


@pytest.mark.parametrize("value", ["not a:module::x", "-"])
def test_an_entry_point_that_names_no_module(found, value):
    seen = found(f"[pycrograd]\nbad = {value}\n".encode())
    assert str(seen["bad"].failure) == f"its entry point is {value!r}, which names no module"
    assert seen["good"].failure is None
    assert loader.UNKNOWN not in seen["bad"].plugin.distribution
