"""Writes the package of a new backend: templates, with its names in them.

A template is a file in `templates/` whose name ends in `.template`, and `string.Template` fills it in; a folder
`module` becomes the package's module. A package in one language is made of whole folders of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template
from tempfile import TemporaryDirectory

from pycrograd_core import __version__
from pycrograd_core.errors import BackendError, OptionError, PycrogradError
from pycrograd_core.matrix import CONTRACT
from pycrograd_core.registry import nearest

from .names import Names, checked

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"


@dataclass(frozen=True)
class Language:
    """What a package in this language is made of: folders of templates, and any one of these tools to build it."""

    title: str
    folders: tuple[str, ...]
    tools: tuple[str, ...] = ()
    missing: str = ""

    def check_tools(self) -> None:
        """Raise BackendError if this machine cannot build the package."""
        if self.tools and not any(map(shutil.which, self.tools)):
            raise BackendError(f"there is no {' or '.join(self.tools)} on the PATH: {self.missing}")


LANGUAGES = {
    "python": Language("Python", ("package", "python")),
    "c": Language(
        "C",
        ("package", "compiled", "c"),
        tools=("cc", "gcc", "clang"),
        missing="install a C compiler (apt install gcc, dnf install gcc, xcode-select --install)",
    ),
    "rust": Language(
        "Rust",
        ("package", "compiled", "rust"),
        tools=("cargo",),
        missing="install Rust from https://rustup.rs (or apt install cargo, brew install rust)",
    ),
}


def write(name: str, language: str = "python", folder: Path | None = None) -> tuple[Path, list[str]]:
    """Write the package of a backend called `name` into a folder (the current one). Returns its own, and its files.

    Raises OptionError for a name or a language that cannot be, or if the package's folder exists; BackendError if what
    compiles it is missing; PycrogradError if it cannot be written.
    """
    if language not in LANGUAGES:
        raise OptionError(f"there is no template in {language!r}; {nearest(language, LANGUAGES)}")
    names = checked(name)
    LANGUAGES[language].check_tools()
    target = (folder or Path()) / names.distribution
    if target.exists() or target.is_symlink():
        raise OptionError(f"{target} exists already: remove it, or choose another folder with --out")
    files = rendered(names, LANGUAGES[language])
    try:
        _write_all(files, target)
    except OSError as failure:
        raise PycrogradError(f"cannot write {target}: {failure.strerror or failure}") from failure
    return target, sorted(files)


def _write_all(files: Mapping[str, str], target: Path) -> None:
    """Write files into a folder that is there once all of them are: half a package would be in the way of the next."""
    if not target.parent.exists():
        target.parent.mkdir(parents=True)
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        unfinished = Path(scratch) / target.name
        for path, text in files.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(text, "utf-8")
        unfinished.rename(target)


def rendered(names: Names, language: Language) -> dict[str, str]:
    """The package's files: paths inside it, with `/`, and contents."""
    words = {
        "name": names.name,
        "distribution": names.distribution,
        "module": names.module,
        "title": names.title,
        "language": language.title,
        "contract": str(CONTRACT),
        "core": f"pycrograd>={__version__}",  # it refuses another contract by itself
    }
    return {
        _path(template.relative_to(root).as_posix(), names): Template(template.read_text("utf-8")).substitute(words)
        for root in (TEMPLATES / each for each in language.folders)
        for template in sorted(root.rglob(f"*{SUFFIX}"))
    }


def _path(template: str, names: Names) -> str:
    parts = PurePosixPath(template.removesuffix(SUFFIX)).parts
    return "/".join(names.module if part == "module" else part for part in parts)
