"""The commands and their options."""

from __future__ import annotations

import typer

from . import backends, check, doctor, graph, inspect, new_backend, run, seed_commands, tune

app = typer.Typer(
    name="pycrograd",
    help="Automatic differentiation and small neural networks, in which the backend is a plugin.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from pycrograd_core import __version__

        typer.echo(f"pycrograd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Automatic differentiation and small neural networks, in which the backend is a plugin."""


app.command("run")(run.run)
app.command("backends")(backends.backends)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("new-backend")(new_backend.new_backend)
app.command("inspect")(inspect.inspect)
app.command("graph")(graph.graph)
app.command("tune")(tune.tune)
app.command("train_mlp")(seed_commands.train_mlp)
app.command("train_digits")(seed_commands.train_digits)
app.command("train_mnist")(seed_commands.train_mnist)
app.command("run_digits_benchmark")(seed_commands.run_digits_benchmark)
