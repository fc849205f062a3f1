"""docs/write-a-backend.md, followed to the letter: from the first line to the certificate, in a scratch environment.

A `console` block is typed command by command, and what it shows is what is printed, but for what `…` stands for; if it
is `console fails`, the last command exits with 1. A block `python FILE` holds parts of a class: each takes the place of
the part of that name in that class in the file, or is added to it. A block `toml FILE` is the file.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "write-a-backend.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@pytest.mark.slow
def test_the_tutorial(environment):
    (environment.folder / "configs").symlink_to(ROOT / "configs")
    page = PAGE.read_text("utf-8")
    steps = BLOCK.findall(page)
    assert len(re.findall("^```", page, re.MULTILINE)) == 2 * len(steps)
    for language, where, body in steps:
        if language == "console":
            typed(environment, body, fails=where == "fails")
        elif language == "python":
            edited(environment.folder / where, body)
        else:
            assert language == "toml"
            (environment.folder / where).write_text(body, "utf-8")


def typed(environment, body, fails):
    commands = COMMAND.findall(body)
    assert "".join(f"$ {command}\n{shown}" for command, shown in commands) == body
    for left, (command, shown) in zip(reversed(range(len(commands))), commands, strict=True):
        done = environment.run("bash", "-c", command)
        printed = done.stdout + done.stderr
        assert done.returncode == (fails and not left), f"$ {command}\n{printed}"
        assert shows(printed, shown), f"$ {command}\n{printed}\nis not what the page shows:\n{shown}"


def shows(printed, shown):
    """Whether a part of what is printed is as shown. How wide white space is does not count."""
    parts = (re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.search(".*?".join(parts), " ".join(printed.split())) is not None


def edited(path, body):
    for owner in ast.parse(body).body:
        for part in owner.body:
            lines = path.read_text("utf-8").splitlines()
            (target,) = [each for each in ast.parse("\n".join(lines)).body if getattr(each, "name", "") == owner.name]
            new = body.splitlines()[span(part)]
            there = [each for each in target.body if name(each) == name(part)]
            if there:
                lines[span(there[0])] = new
            else:
                lines[target.end_lineno : target.end_lineno] = ["", *new]
            path.write_text("\n".join(lines) + "\n", "utf-8")


def name(part):
    """Of a method, or of a name that is assigned to; None for all else."""
    return part.targets[0].id if isinstance(part, ast.Assign) else getattr(part, "name", None)


def span(part):
    """Its lines, with those of its decorators."""
    first = min([part.lineno, *(each.lineno for each in getattr(part, "decorator_list", ()))])
    return slice(first - 1, part.end_lineno)
