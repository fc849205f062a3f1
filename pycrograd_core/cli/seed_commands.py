"""The commands of the project that this one grew out of, each a configuration with its flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .run import Backend, Epochs

if TYPE_CHECKING:
    from pycrograd_core.config import TrainConfig

Length = Annotated[int | None, typer.Option("--length", metavar="N", min=1, help="How many samples to use.")]


def train_mlp(epochs: Epochs = None, length: Length = None, backend: Backend = None) -> None:
    """Train 2-16-16-1 on moons: configs/moons.yaml."""
    _train("moons", epochs, length, backend)


def train_digits(epochs: Epochs = None, length: Length = None, backend: Backend = None) -> None:
    """Train 64-64-32-10 on digits: configs/digits_normal.yaml."""
    _train("digits_normal", epochs, length, backend)


def train_mnist(
    epochs: Epochs = None,
    length: Length = None,
    backend: Backend = None,
    path: Annotated[Path | None, typer.Option("--path", metavar="DIR", help="A folder with the IDX files.")] = None,
) -> None:
    """Train 784-64-32-10 on MNIST: configs/mnist.yaml."""
    _train("mnist", epochs, length, backend, [f"data.path={path}"] if path else [])


def run_digits_benchmark(epochs: Epochs = None, length: Length = None, backend: Backend = None) -> None:
    """Train the normal, the longer and the bigger network on digits, and say how long each took."""
    from pycrograd_core.data import load

    from .run import train

    load("digits", {}, seed=0)  # or the first network would be charged for the import of what makes the data
    seconds = {}
    for name in ("digits_normal", "digits_longer", "digits_bigger"):
        typer.echo(name, err=True)
        summary = train(_config(name, epochs, length, backend, []))
        seconds[name] = summary["seconds"]["total"], summary["seconds"]["step_median"]
    typer.echo(f"{'network':<16}{'total':>10}{'median step':>16}")
    for name, (total, step) in seconds.items():
        typer.echo(f"{name:<16}{total:>8.2f} s{step * 1e3:>13.3f} ms")


def _train(
    name: str, epochs: int | None, length: int | None, backend: str | None, settings: list[str] | None = None
) -> None:
    from .run import train

    train(_config(name, epochs, length, backend, settings or []))


def _config(name: str, epochs: int | None, length: int | None, backend: str | None, settings: list[str]) -> TrainConfig:
    from .run import given, load

    options = given({
        "--epochs": ("training.epochs", epochs),
        "--length": ("data.samples", length),
        "--backend": ("backend", backend),
    })  # fmt: skip
    return load(shipped(name), [*settings, *options])


def shipped(name: str) -> Path:
    """A configuration that comes with the package: in a checkout in configs/, in a wheel beside the code."""
    package = Path(__file__).parents[1]
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir()) / f"{name}.yaml"
