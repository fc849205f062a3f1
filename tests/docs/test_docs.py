"""All that the README and docs/ show is executed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pycrograd_core import ops
from pycrograd_core.config import parse_config
from pycrograd_core.op import undefine
from pycrograd_core.training import registries

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = ROOT / "docs" / "write-a-backend.md"  # whose blocks make sense one after the other: see test_tutorial.py
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [body for found, body in BLOCK.findall(page.read_text("utf-8")) if found == language]


def having(language, slow=()):
    """The pages with such blocks; those named are slow."""
    pages = [page for page in PAGES if page != TUTORIAL and blocks(page, language)]
    return [pytest.param(page, id=page.name, marks=[pytest.mark.slow] * (page.stem in slow)) for page in pages]


@pytest.fixture
def table():
    """The op table, as it was before the test."""
    before = set(ops.TABLE)
    yield
    for name in set(ops.TABLE) - before:
        undefine(name)


@pytest.mark.parametrize("page", having("python"))
def test_python(page, table):
    names = {}
    for body in blocks(page, "python"):
        exec(compile(body, page.name, "exec"), names)


@pytest.mark.parametrize("page", having("yaml"))
def test_yaml(page):
    training = (
        "kind: train\nname: x\nmodel: [linear: 3]\nloss: cross_entropy\noptimiser: sgd\n"
        "training: {epochs: 1, batch_size: 1}\n"
    )
    for body in blocks(page, "yaml"):
        parse_config(body if "kind:" in body else training + body, page.name, registries())


@pytest.mark.parametrize("page", having("console", slow=("configuration", "conformance")))
def test_console(page, tmp_path):
    """Each `$ pycrograd …` runs; an output that the page shows is part of what it prints."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for body in blocks(page, "console"):
        for command, shown in re.findall(r"^\$ (pycrograd .*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, env=os.environ | {"PATH": scripts}, capture_output=True, text=True
            )
            expected = 2 if shown.startswith("error:") else 0
            assert done.returncode == expected, done.stderr
            for line in shown.splitlines():
                assert line.rstrip("…") in done.stdout + done.stderr


def test_the_reference_is_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in [*PAGES, ROOT / "CONTRIBUTING.md"]])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
