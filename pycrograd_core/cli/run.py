"""`pycrograd run`: train what a configuration describes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from types import FrameType

    from pycrograd_core.config import TrainConfig
    from pycrograd_core.training import TrainingRun

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/digits.yaml.")]
Backend = Annotated[str | None, typer.Option("--backend", metavar="B", help="The backend: see `pycrograd backends`.")]
Device = Annotated[str | None, typer.Option("--device", metavar="D", help="The backend's device.")]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="How many epochs to train.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, and nothing else.")]


def run(
    config: ConfigPath,
    backend: Backend = None,
    device: Device = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Of every random number.")] = None,
    epochs: Epochs = None,
    samples: Annotated[int | None, typer.Option("--samples", metavar="N", min=1, help="How many rows to use.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value. May be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run's folder [runs/NAME].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Train what a configuration describes.

    Writes the run's folder: config.yaml, metrics.jsonl, summary.json, model.safetensors, checkpoints/. Ctrl-C stops
    between two steps with a checkpoint saved; --resume goes on from there.
    """
    shortcuts = {
        "backend": backend, "device": device, "seed": seed, "training.epochs": epochs, "data.samples": samples,
    }  # fmt: skip
    overrides = [*(settings or []), *(f"{path}={value}" for path, value in shortcuts.items() if value is not None)]
    train(load(config, overrides), out=out, resume=resume, as_json=as_json)


def load(path: Path, overrides: list[str]) -> TrainConfig:
    """The checked configuration."""
    from pycrograd_core.config import load_config
    from pycrograd_core.training import registries

    return load_config(path, registries(), overrides)


def train(
    config: TrainConfig, *, out: Path | None = None, resume: bool = False, as_json: bool = False
) -> dict[str, Any]:
    """Train with a progress display, unless the output is JSON. Returns the summary."""
    import json

    from pycrograd_core.training import Interrupted, TrainingRun

    from .progress import display

    observer = display(quiet=as_json)
    training = TrainingRun(config, out=out, resume=resume, observers=[observer])
    with observer, _stopping(training):
        try:
            summary = training.execute()
        except Interrupted:
            observer.interrupted(training.folder.path)
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        observer.summarise(summary, training.folder.path)
    return summary


@contextmanager
def _stopping(training: TrainingRun) -> Iterator[None]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop between two steps; a second one stops at once."""

    def request(number: int, frame: FrameType | None) -> None:
        if training.trainer.stop_requested:
            raise KeyboardInterrupt
        training.trainer.stop_requested = True

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
