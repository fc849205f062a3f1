"""A table in a CSV file: numeric features, and one column of labels or of values to predict."""

from __future__ import annotations

import re
from array import array
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

from annotated_types import Len

from pycrograd_core.errors import DataError
from pycrograd_core.registry import nearest

from .dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

_LARGEST = (2 - 2**-23) * 2.0**127  # of the float32 numbers
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")  # longer ones are names rather than numbers


def csv_file(
    path: str,
    label: str | None = None,
    task: Literal["classification", "regression"] = "classification",
    delimiter: Annotated[str, Len(1, 1)] = ",",
    header: bool = True,
) -> Dataset:
    """The table in the UTF-8 file `path`: n rows, d features, and the target in the column `label` (default: the last).

    For classification the labels may be any text; they are numbered in sorted order, by value if all are integers, and
    kept in `label_names`. For regression the targets are n × 1. With `header=False` the columns are called "1", "2", ….
    Blank lines and white space around a cell are skipped. Quoting is that of RFC 4180.

    Raises DataError, with the file and line, for anything that is not such a table. Nothing is guessed: a cell that is
    empty, or not a finite number where one is needed, is an error.
    """
    file = Path(path).expanduser()
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(f"{file}: {delimiter!r} cannot be the delimiter")
    try:
        with file.open("rb") as lines:
            return _read_table(file, _rows(file, lines, delimiter), label, task, header)
    except FileNotFoundError as error:
        raise DataError(f"{file}: there is no such file (the current folder is {Path.cwd()})") from error
    except IsADirectoryError as error:
        raise DataError(f"{file}: this is a folder, not a CSV file") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _read_table(
    file: Path, rows: Iterator[tuple[int, list[str]]], label: str | None, task: str, header: bool
) -> Dataset:
    import numpy as np

    first = next(rows, None)
    if first is None:
        raise DataError(f"{file}: the file is empty")
    first_line, cells = first
    columns = _column_names(f"{file}:{first_line}", cells) if header else [str(n + 1) for n in range(len(cells))]
    target = _target(f"{file}:{first_line}", columns, label)

    features, values, labels = array("f"), array("f"), list[str]()
    for line, row in rows if header else chain([first], rows):
        place = f"{file}:{line}"
        if len(row) != len(columns):
            raise DataError(f"{place}: {len(row)} cells, but line {first_line} has {len(columns)}")
        for position, (column, text) in enumerate(zip(columns, row, strict=True)):
            if not text:
                raise DataError(f"{place}: column {column!r}: the value is missing (an empty cell)")
            if position != target:
                features.append(_number(place, column, text))
            elif task == "regression":
                values.append(_number(place, column, text))
            else:
                labels.append(text)
    if not features:
        raise DataError(f"{file}: a header, but no rows after it")

    matrix = np.frombuffer(features, np.float32).reshape(-1, len(columns) - 1)
    names = tuple(columns[:target] + columns[target + 1 :])
    if task == "regression":
        return Dataset(file.name, matrix, np.frombuffer(values, np.float32).reshape(-1, 1), None, names)
    targets, label_names = _numbered(labels)
    return Dataset(file.name, matrix, targets, len(label_names), names, label_names)


def _rows(file: Path, lines: BinaryIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line in the file."""
    import csv

    reader = csv.reader(_decoded(file, lines), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: {error}") from error


def _decoded(file: Path, lines: BinaryIO) -> Iterator[str]:
    """The text line by line, so that a byte which is not UTF-8 has a line number. Skips a byte-order mark."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"0x{line[error.start]:02x}"
            raise DataError(f"{file}:{number}: not UTF-8 text (byte {byte}); save the file as UTF-8") from error


def _column_names(place: str, columns: list[str]) -> list[str]:
    for position, column in enumerate(columns):
        if not column:
            raise DataError(f"{place}: column {position + 1} has no name")
        if column in columns[:position]:
            raise DataError(f"{place}: two columns are named {column!r}")
    return columns


def _target(place: str, columns: list[str], label: str | None) -> int:
    """The position of the column to predict."""
    if len(columns) < 2:
        raise DataError(f"{place}: {columns[0]!r} is the only column; features and a label need two at least")
    if label is None:
        return len(columns) - 1
    if label not in columns:
        raise DataError(f"{place}: there is no label column {label!r}; {nearest(label, columns)}")
    return columns.index(label)


def _number(place: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{place}: column {column!r}: {text!r} is not a number") from None
    if "_" in text:  # Python's own notation, 1_000, not that of data files
        raise DataError(f"{place}: column {column!r}: {text!r} is not a number")
    if not abs(value) <= _LARGEST:
        raise DataError(f"{place}: column {column!r}: {text!r} is not a finite float32 number")
    return value


def _numbered(labels: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """The labels as 0 … k-1, and the names of the k classes."""
    import numpy as np

    if all(_INTEGER.fullmatch(label) for label in labels):
        labels = [str(int(label)) for label in labels]  # 01 and 1 are one class
        names = sorted(set(labels), key=int)
    else:
        names = sorted(set(labels))
    codes = {name: code for code, name in enumerate(names)}
    return np.array([codes[label] for label in labels], np.int32), tuple(names)
