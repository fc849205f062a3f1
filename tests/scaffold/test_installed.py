"""The package of a new backend in a scratch environment: it works as it is, and what is wrong in it is found."""

import json
import shlex

import pytest

from pycrograd_core.scaffold import LANGUAGES

STRICT = {"CFLAGS": "-Wall -Wextra -Werror", "RUSTFLAGS": "-D warnings", "CARGO_NET_OFFLINE": "true"}
MUTATIONS = {  # a file, what to replace in it, and the kernel that is then wrong
    "python": ("{module}/matrix.py", "super().maximum(other", "super().add(other", "maximum"),
    "c": ("{module}/kernels.c", "at(a, i, j) + at(b, i, j)", "at(a, i, j) - at(b, i, j)", "add"),
    "rust": ("src/lib.rs", "|x, y| x + y", "|x, y| x - y", "add"),
}


def written(environment, name, language):
    """The folder of a new package, and the commands that it is said to be used with."""
    said = environment.check("pycrograd", "new-backend", name, "--language", language)
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("  uv ")]
    return environment.folder / f"pycrograd-{name}", commands


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_installs_passes_the_check_and_trains(shared_environment, language):
    name = f"new-{language}"
    folder, (install, check, run) = written(shared_environment, name, language)
    shared_environment.check(*install, **STRICT)
    shared_environment.check(*check)
    summary = json.loads(shared_environment.check(*run, "--epochs", "1", "--json"))
    assert summary["backend"] == name
    assert summary["validation"]["accuracy"] > 0.8
    shared_environment.install("pytest")
    assert " passed" in shared_environment.check("pytest", folder, "-k", "signatures")


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_kernel_fails_the_check(shared_environment, language):
    name = f"wrong-{language}"
    folder, (install, check, _) = written(shared_environment, name, language)
    file, right, wrong, kernel = MUTATIONS[language]
    path = folder / file.format(module=folder.name.replace("-", "_"))
    text = path.read_text("utf-8")
    assert right in text
    shared_environment.check(*install)
    only = [*check, "--only", f"kernels/{kernel} *"]
    shared_environment.check(*only)
    path.write_text(text.replace(right, wrong), "utf-8")
    shared_environment.check(*install)
    done = shared_environment.run(*only)
    assert done.returncode == 1
    assert f"kernels/{kernel} float32" in done.stdout
