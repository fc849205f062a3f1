"""Every error that a user's mistake can cause, each with what to do about it.

Each class also derives from the built-in exception that a Python programmer would expect (`ValueError` for a wrong
shape, `TypeError` for a wrong dtype), so ordinary handlers keep working.
"""

from __future__ import annotations

from collections.abc import Sequence

Shape = tuple[int, int]


class PycrogradError(Exception):
    """Base class: `except PycrogradError` catches everything that this package raises on purpose."""


class ShapeError(PycrogradError, ValueError):
    """Operands whose shapes do not fit the op. Names the op, the shapes and, inside a model, the layer."""

    def __init__(self, op: str, shapes: Sequence[Shape], reason: str) -> None:
        self.op = op
        self.shapes = tuple(shapes)
        self.reason = reason
        self.layer: str | None = None
        super().__init__(op, self.shapes, reason)

    def __str__(self) -> str:
        operands = ", ".join(f"{rows}×{cols}" for rows, cols in self.shapes)
        where = f" (in layer {self.layer})" if self.layer else ""
        return f"{self.op}({operands}): {self.reason}{where}"


class DtypeError(PycrogradError, TypeError):
    """Operands of different or unsuitable dtypes. Nothing is converted silently."""


class BackendMismatchError(PycrogradError, TypeError):
    """Operands that live on different backends or devices. Nothing is moved silently."""


class BackendError(PycrogradError, RuntimeError):
    """A backend that is unknown, cannot be used on this machine, or breaks the contract."""


class PluginError(PycrogradError, RuntimeError):
    """A plugin that cannot be loaded, or two plugins that register one name."""


class IndexRangeError(PycrogradError, IndexError):
    """A row index or a label outside the range it selects from."""


class GradientError(PycrogradError, RuntimeError):
    """A gradient that is not defined: an op without a rule, a tensor that does not require one."""


class GraphFreedError(GradientError):
    """A second backward pass through a graph whose saved values were freed by the first."""


class InPlaceError(PycrogradError, RuntimeError):
    """A write to a value that a gradient still needs."""


class CaptureError(PycrogradError, RuntimeError):
    """A step that cannot be captured, because a replay would differ from running it. Says what to write instead."""


class DataError(PycrogradError, ValueError):
    """A data set that cannot be found, read or trained on. Names the file and the row where there is one."""


class ConfigError(PycrogradError, ValueError):
    """A mistake in a configuration, with its place: `file:line:column: what was expected`."""

    def __init__(
        self, message: str, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        super().__init__(message, file, line, column)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" if place else self.message


class OptionError(PycrogradError, ValueError):
    """An argument outside its limits: a negative size, a rate above 1, a name that is none of the choices."""


class TrainingError(PycrogradError, RuntimeError):
    """A run that cannot go on: a loss or a parameter that is not a finite number."""


class CheckpointError(PycrogradError, RuntimeError):
    """A checkpoint that cannot be written, read, or that belongs to another model."""


class GradcheckError(PycrogradError, AssertionError):
    """An analytic gradient that differs from the numerical one. Names the input, the element and both values."""


class ConformanceError(PycrogradError, AssertionError):
    """A backend that breaks the contract. Names the case, the element, what was found and what it should be."""
