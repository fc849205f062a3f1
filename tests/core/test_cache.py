"""Where backends keep what they could make again, and how they are told to keep nothing."""

from pathlib import Path

import pytest

from pycrograd_core.cache import CACHE_VARIABLE, cache_folder, no_cache


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({CACHE_VARIABLE: "/kept", "XDG_CACHE_HOME": "/cache"}, "/kept/fast"),
        ({CACHE_VARIABLE: "~/kept"}, "/home/me/kept/fast"),
        ({CACHE_VARIABLE: "", "XDG_CACHE_HOME": "/cache"}, "/cache/pycrograd/fast"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/pycrograd/fast"),
        ({CACHE_VARIABLE: "off"}, None),
        ({CACHE_VARIABLE: "OFF"}, None),
    ],
)
def test_a_backend_has_a_folder_of_its_own(monkeypatch, variables, expected):
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert cache_folder("fast") == (expected and Path(expected))
    with no_cache():
        assert cache_folder("fast") is None
    assert cache_folder("fast") == (expected and Path(expected))
