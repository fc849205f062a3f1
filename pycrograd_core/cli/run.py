"""`pycrograd run`: train what a configuration describes."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import INTERRUPTED

if TYPE_CHECKING:
    from types import FrameType

    from pycrograd_core.config import Option, TrainConfig
    from pycrograd_core.training import Trainer

_SEEDS = 2**63 - 1

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/digits.yaml.")]
Backend = Annotated[str | None, typer.Option("--backend", metavar="B", help="The backend: see `pycrograd backends`.")]
Device = Annotated[str | None, typer.Option("--device", metavar="D", help="The backend's device.")]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="How many epochs to train.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, and nothing else.")]


def run(
    config: ConfigPath,
    backend: Backend = None,
    device: Device = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, max=_SEEDS, help="Of every random number.")
    ] = None,
    epochs: Epochs = None,
    samples: Annotated[int | None, typer.Option("--samples", metavar="N", min=1, help="How many rows to use.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value. May be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run's folder [runs/NAME].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    as_json: Json = False,
    no_capture: Annotated[
        bool, typer.Option("--no-capture", help="Run every step op by op, as it is written.")
    ] = False,
) -> None:
    """Train what a configuration describes.

    Writes the run's folder: config.yaml, metrics.jsonl, summary.json, model.safetensors, checkpoints/. Ctrl-C stops
    between two steps with a checkpoint saved; --resume goes on from there.
    """
    options = given({
        "--backend": ("backend", backend),
        "--device": ("device", device),
        "--seed": ("seed", seed),
        "--epochs": ("training.epochs", epochs),
        "--samples": ("data.samples", samples),
    })  # fmt: skip
    train(load(config, [*(settings or []), *options]), out=out, resume=resume, as_json=as_json, captured=not no_capture)


def given(options: Mapping[str, tuple[str, str | int | None]]) -> list[Option]:
    """Of these options, each with the path that it stands for and its value, those that have a value."""
    from pycrograd_core.config import Option

    return [Option(f"{name} {value}", path, value) for name, (path, value) in options.items() if value is not None]


def load(path: Path, overrides: Sequence[str | Option]) -> TrainConfig:
    """The checked configuration."""
    from pycrograd_core.config import load_config
    from pycrograd_core.training import registries

    return load_config(path, registries(), overrides)


def train(
    config: TrainConfig, *, out: Path | None = None, resume: bool = False, as_json: bool = False, captured: bool = True
) -> dict[str, Any]:
    """Train with a progress display, unless the output is JSON. Returns the summary.

    The first Ctrl-C (or SIGTERM) stops the run between two batches, with a checkpoint; a second one stops it at once.
    """
    import json

    from pycrograd_core.errors import CaptureError, CheckpointError, PluginError
    from pycrograd_core.training import Interrupted, TrainingRun

    from .progress import display

    progress = display(quiet=as_json)
    with _signals(progress.notice) as stop:
        training = TrainingRun(config, out=out, resume=resume, callbacks=[progress], captured=captured)
        stop.trainer = training.trainer
        try:
            with progress:
                summary = training.execute()
        except Interrupted:
            progress.say(f"interrupted; to go on: {resumption(training.folder.path)}")
            raise typer.Exit(INTERRUPTED) from None
        except KeyboardInterrupt:
            progress.say(f"stopped at once; to go on from the last checkpoint: {resumption(training.folder.path)}")
            raise typer.Exit(INTERRUPTED) from None
        except CaptureError as error:
            raise CaptureError(f"{error}; or let it run as it is written, with --no-capture") from error
        except (CheckpointError, PluginError) as error:
            if not (training.folder.path / "config.yaml").exists():
                raise
            advice = f"{error}; once that is mended: {resumption(training.folder.path)}"
            raise type(error)(advice) from error.__cause__ or error
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        progress.summarise(summary, training.folder.path)
    return summary


def resumption(folder: Path) -> str:
    """The command that goes on with the run in a folder."""
    return shlex.join(["pycrograd", "run", str(folder / "config.yaml"), "--out", str(folder), "--resume"])


class _Stop:
    """What a signal does: ask the trainer to stop. Where there is none yet, or it was asked before, stop at once."""

    def __init__(self, notice: bytes) -> None:
        self.notice = notice
        self.trainer: Trainer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.trainer is None or self.trainer.stop_requested:
            raise KeyboardInterrupt
        self.trainer.stop_requested = True
        with suppress(OSError):
            os.write(2, self.notice)  # not through sys.stderr, in the middle of whose own writing a signal may come


@contextmanager
def _signals(notice: bytes) -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM ask for a stop inside a `with` block, unless the process was started to ignore them."""
    stop = _Stop(notice)
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
