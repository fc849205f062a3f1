"""`pycrograd graph`: a training step, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .run import Backend, ConfigPath

SUFFIXES = (".svg", ".dot")


def _drawing(path: Path) -> Path:
    if path.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{path}: the name must end in {' or '.join(SUFFIXES)}")
    return path


def graph(
    config: ConfigPath,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE", callback=_drawing, help="What to write: NAME.svg or NAME.dot."),
    ],
    backend: Backend = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Draw the step as it was traced, before the passes.")] = False,
) -> None:
    """Draw a training step as it is run: a box for each kernel, with its ops, its inputs and what it writes.

    A .svg file opens in any browser. A .dot file is for Graphviz. Trains nothing, and draws no weights.
    """
    from pycrograd_core.capture.drawing.dot import dot
    from pycrograd_core.capture.drawing.graph import graph as drawn
    from pycrograd_core.capture.drawing.svg import svg
    from pycrograd_core.capture.passes import optimise
    from pycrograd_core.errors import PycrogradError
    from pycrograd_core.training.inspection import training_step

    from .run import given, load

    checked = load(config, [*(settings or []), *given({"--backend": ("backend", backend)})])
    step = training_step(checked)
    program = step.program if raw else optimise(step.program)
    names = step.names(program)
    how = "as it was traced" if raw else f"for {program.matrix.backend}"
    title = f"{checked.name}: a training step on {step.batch.rows} rows, {how}"
    text = dot(program, names, title) if out.suffix == ".dot" else svg(drawn(program, names, title))
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise PycrogradError(f"cannot write {out}: {error.strerror or error}") from error
