"""`pycrograd doctor`: every backend with its findings, each with the line that mends it, and a code that says if all is
well."""

import json
from types import SimpleNamespace

import pytest

from places import BACKENDS
from pycrograd_core.errors import PluginError
from pycrograd_core.matrix import CONTRACT
from pycrograd_core.plugins import BackendSpec, Finding, Probe, backends, candidates, examination, get_backend, hookimpl
from pycrograd_core.plugins.examination import examined
from pycrograd_core.plugins.loader import Plugins

WORKING = get_backend(BACKENDS[0])
WELL = Probe(version="1.0", devices=("a card",))


def backend(name, probe=WELL, diagnose=None):
    """A plugin with one backend, whose kernels are those of one that works."""
    spec = BackendSpec(
        name=name,
        contract=CONTRACT,
        summary="For tests.",
        load=lambda device: type("Copy", (WORKING,), {"__slots__": ()}),
        probe=lambda: probe,
        diagnose=diagnose,
    )
    return SimpleNamespace(pycrograd_register_backends=hookimpl(lambda: [spec]))


@pytest.fixture
def install(monkeypatch):
    """Puts plugins in place of those of this environment: modules, or errors that are raised on import.

    They are looked at in this process, since another would find those of the environment.
    """

    def installed(*, blocked=(), **found):
        def load(what):
            if isinstance(what, BaseException):
                raise what
            return what

        entries = [
            SimpleNamespace(
                name=name,
                dist=SimpleNamespace(metadata={"Name": f"pycrograd-{name}", "Version": "2.3"}),
                load=lambda what=what: load(what),
            )
            for name, what in found.items()
        ]
        plugins = Plugins(entries, frozenset(blocked))
        monkeypatch.setattr(backends, "installed", lambda: plugins)
        monkeypatch.setattr(
            examination, "examine", lambda found, seconds, closely: [examined(c, closely) for c in found]
        )
        candidates.cache_clear()
        backends._loaded.cache_clear()

    yield installed
    monkeypatch.undo()
    candidates.cache_clear()
    backends._loaded.cache_clear()


def test_every_backend_is_shown_with_what_it_finds(install, cli):
    findings = [
        Finding("loader", ok=True, detail="libloader.so"),
        Finding("card 0", ok=False, detail="crashed:\nline one\nline two", mend="reboot [now]"),
    ]
    install(plain=backend("plain"), thorough=backend("thorough", diagnose=lambda: findings))
    ended = cli("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "plain: usable (pycrograd-plain 2.3)",
        "  ✓ devices: a card",
        "thorough: usable (pycrograd-thorough 2.3)",
        "  ✓ loader: libloader.so",
        "  ✗ card 0: crashed:",
        "      line one",
        "      line two",
        "    → reboot [now]",
    ]


def test_doctor_as_json(install, cli):
    finding = Finding("card 0", ok=False, detail="no driver", mend="install one")
    install(a=backend("a", diagnose=lambda: (finding,)), b=ImportError("libx.so"))
    ended = cli("doctor", "--json")
    assert (ended.code, ended.err) == (1, "")
    a, b = json.loads(ended.out)
    assert a == {
        "name": "a",
        "status": "usable",
        "distribution": "pycrograd-a",
        "version": "2.3",
        "findings": [{"what": "card 0", "ok": False, "detail": "no driver", "mend": "install one", "essential": False}],
    }
    assert (b["name"], b["status"], b["findings"][0]["ok"]) == ("b", "broken", False)


@pytest.mark.parametrize(
    ("failure", "mend"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch.cuda"), "pip install torch"),
        (ModuleNotFoundError("No module named 'pycrograd_a.x'", name="pycrograd_a.x"), "--force-reinstall pycrograd-a"),
        (OSError("libx.so: cannot open"), "PYCROGRAD_BLOCK_PLUGINS=a"),
        (PluginError("registered twice"), "pip uninstall pycrograd-a"),
    ],
)
def test_a_broken_plugin_has_its_mending_line_and_hides_no_other(install, cli, failure, mend):
    install(a=failure, b=backend("b"))
    ended = cli("doctor")
    assert ended.code == 1
    assert f"✗ plugin: {type(failure).__name__}: {failure}" in ended.out
    assert mend in ended.out
    assert "b: usable" in ended.out


def test_a_backend_without_a_device_is_a_failure(install, cli):
    install(a=backend("a", Probe(reason="no driver")), b=backend("b"))
    ended = cli("doctor")
    assert ended.code == 1
    assert "a: unusable (pycrograd-a 2.3)\n  ✗ devices: no driver\n    → pip install --upgrade pycrograd-a" in ended.out


def test_what_is_essential_and_not_well_is_a_failure(install, cli):
    install(a=backend("a", diagnose=lambda: [Finding("chosen", ok=False, detail="no such card", essential=True)]))
    ended = cli("doctor")
    assert ended.code == 1
    assert "a: usable" in ended.out


def test_a_diagnosis_that_raises_is_a_finding(install, cli):
    def diagnose():
        raise RuntimeError("cannot read /proc")

    install(a=backend("a", diagnose=diagnose))
    ended = cli("doctor")
    assert ended.code == 0
    assert "✗ diagnosis: RuntimeError: cannot read /proc" in ended.out


def test_a_blocked_plugin_is_no_failure(install, cli):
    install(a=backend("a"), b=backend("b"), blocked=["b"])
    ended = cli("doctor")
    assert ended.code == 0
    assert "take b out of PYCROGRAD_BLOCK_PLUGINS" in ended.out


def test_without_any_backend_one_is_to_be_installed(install, cli):
    install()
    ended = cli("doctor")
    assert ended.code == 1
    assert "no backend is installed" in ended.out
