"""`pycrograd new-backend`: the package of a new backend, which works as it is written and is there to be edited."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def new_backend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called, as in --backend NAME.")],
    language: Annotated[
        str, typer.Option("--language", metavar="python|c|rust", help="What its kernels are to be written in.")
    ] = "python",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder to write pycrograd-NAME/ to [this one].")
    ] = None,
) -> None:
    """Write the package of a new backend: it installs, trains, and passes `pycrograd check` as it is.

    Every kernel of the contract is in it, most of them as a call of a slow one: they are to be replaced, one by one.
    """
    from pycrograd_core.errors import OptionError
    from pycrograd_core.scaffold import write

    try:
        package, files = write(name, language, out)
    except OptionError as mistake:
        raise typer.BadParameter(str(mistake)) from mistake
    typer.echo(f"wrote {package}/")
    for file in files:
        typer.echo(f"  {file}")
    install, *use = _commands(name, package)
    typer.echo("\nto install, check and train it, from a clone of Pycrograd with uv:")
    for command in (f"uv {install}", *(f"uv run {command}" for command in use)):
        typer.echo(f"  {command}")
    typer.echo("\nor with pip:")
    for command in (install, *use):
        typer.echo(f"  {command}")
    typer.echo(f"\nhow to go on: {package / 'README.md'}")


def _commands(name: str, package: Path) -> tuple[str, str, str]:
    """What installs the package, checks the backend and trains on it, from this folder."""
    from .seed_commands import shipped

    config = shipped("digits")
    if config.is_relative_to(Path.cwd()):
        config = config.relative_to(Path.cwd())
    folder = str(package) if package.is_absolute() else f"./{package}"
    return (
        shlex.join(["pip", "install", "-e", folder]),
        f"pycrograd check {name}",
        shlex.join(["pycrograd", "run", str(config), "--backend", name]),
    )
