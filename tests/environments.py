"""Scratch environments: what a stranger has after installing this project and a package of their own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INHERITED = ("PYTEST_", "COV_", "PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYCROGRAD_")


class Environment:
    """A virtual environment with the core and some of the tree's backends, and what else is installed into it."""

    def __init__(self, folder, backends=("numpy",)):
        self.folder = folder
        self.python = folder / "env" / "bin" / "python"
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith(INHERITED)}
        self.variables["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        self.variables["VIRTUAL_ENV"] = str(folder / "env")
        self.check("uv", "venv", "--quiet", "--python", sys.executable, folder / "env")
        trees = [ROOT, *(ROOT / "backends" / name for name in backends)]
        self.install(*(part for tree in trees for part in ("--editable", tree)))

    def install(self, *what):
        """Install folders, requirements or wheels. A folder is built anew, whatever uv keeps of it."""
        projects = [Path(each, "pyproject.toml") for each in what if Path(each).is_dir()]
        names = [tomllib.loads(project.read_text("utf-8"))["project"]["name"] for project in projects]
        fresh = [part for name in names for part in ("--reinstall-package", name)]
        self.check("uv", "pip", "install", "--quiet", *fresh, *what)

    def run(self, *command, cwd=None, **variables):
        """Run a command in the environment."""
        words = [str(part) for part in command]
        return subprocess.run(
            words, cwd=cwd or self.folder, env=self.variables | variables, capture_output=True, text=True, check=False
        )

    def check(self, *command, **options):
        """Run a command that must succeed. Returns what it printed on stdout."""
        done = self.run(*command, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def environment(tmp_path):
    """A scratch environment with the core and the NumPy backend."""
    return Environment(tmp_path)


@pytest.fixture(scope="module")
def shared_environment(tmp_path_factory):
    """A scratch environment that the tests of a module share."""
    return Environment(tmp_path_factory.mktemp("environment"))
