"""Python source under construction: lines of calls on arrays that are bound to names before the code runs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import blas

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Value

Array = NDArray[Any]
CHUNK = 400  # lines of a function: Python takes ever longer to compile a longer one


class Names:
    """What the source can refer to: the global names of the code."""

    def __init__(self) -> None:
        self.table: dict[str, Any] = {}
        self.functions: list[str] = []
        self._shared: dict[Any, str] = {}

    def bind(self, thing: Any) -> str:
        """A new name for a thing. It also keeps the thing alive."""
        name = f"g{len(self.table)}"
        self.table[name] = thing
        return name

    def shared(self, thing: Any, key: Hashable = None) -> str:
        """The one name of a function, or another thing that is used again and again; what has no hash needs a key."""
        key = key or thing
        if key not in self._shared:
            self._shared[key] = self.bind(thing)
        return self._shared[key]

    def function(self, parameters: Sequence[str], lines: Sequence[str]) -> str:
        """Define a function; returns its name."""
        name = f"f{len(self.functions)}"
        body = "\n ".join(lines or ["pass"])
        self.functions.append(f"def {name}({', '.join(parameters)}):\n {body}\n")
        return name

    def run(self, name: str) -> Callable[..., Any]:
        """The function of a name, when all are defined."""
        for source in self.functions:
            exec(compile(source, "<captured step>", "exec"), self.table)  # noqa: S102  a text of ours, none of a user's
        function: Callable[..., Any] = self.table[name]
        return function


@dataclass(frozen=True)
class Place:
    """Where a value is: the text that names its array, and the array itself if it is known before the code runs."""

    text: str
    array: Array | None = None


@dataclass
class Code:
    """The lines of one step. `setup` runs once a call, `prologue` at the start of each step, then `lines`."""

    names: Names
    places: dict[Value, Place]
    arena: Array
    numbers: Mapping[Value, float]  # 1×1 constants
    steady: frozenset[Value] = frozenset()  # inputs that nothing changes during a call
    setup: list[str] = field(default_factory=list)
    prologue: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    scratch: int = 0  # where the scratch memory of the current step begins
    ieee: bool = False  # whether an op is among them that makes infinities and nan as ordinary results
    _read: dict[Any, str] = field(default_factory=dict)

    def say(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    def call(self, function: Any, *arguments: str, out: str = "") -> None:
        """Add a call."""
        keyword = f", out={out}" if out else ""
        self.lines.append(f"{self.names.shared(function)}({', '.join(arguments)}{keyword})")

    def text(self, value: Value) -> str:
        """The array of a value."""
        return self.places[value].text

    def derived(self, value: Value, make: Callable[[Array], Array], text: str) -> str:
        """A view of a value's array: made beforehand if possible, else by the text that follows its name."""
        place = self.places[value]
        return f"{place.text}{text}" if place.array is None else self.names.bind(make(place.array))

    def transposed(self, value: Value) -> str:
        """The transposed view."""
        return self.derived(value, lambda array: array.T, ".T")

    def flat(self, value: Value) -> str:
        """The elements in one dimension."""
        return self.derived(value, lambda array: array.reshape(-1), ".reshape(-1)")

    def operand(self, value: Value, output: Value) -> str:
        """An operand of a ufunc: a 1×1 as a scalar array, which costs NumPy half as much to repeat."""
        if value.size == 1 and output.shape != (1, 1):
            return self.derived(value, lambda array: array.reshape(()), "[0, 0]")
        return self.text(value)

    def scalar(self, number: float, dtype: str) -> str:
        """A number in a dtype, as a scalar array."""
        key = (repr(number), dtype)
        if key not in self._read:
            self._read[key] = self.names.bind(np.array(number, dtype))
        return self._read[key]

    def filled(self, shape: tuple[int, int], dtype: str, content: float = 1.0) -> str:
        """A shared matrix that is filled with one number."""
        key = (shape, dtype, content)
        if key not in self._read:
            self._read[key] = self.names.bind(np.full(shape, content, dtype))
        return self._read[key]

    def temporaries(self, pieces: Iterable[tuple[tuple[int, ...], str]]) -> Iterator[str]:
        """The names of arrays of these shapes and dtypes, one after the other in the current step's scratch memory."""
        start = self.scratch
        for shape, dtype in pieces:
            yield self.names.bind(carved(self.arena, start, shape, dtype))
            start += padded(math.prod(shape) * np.dtype(dtype).itemsize)

    def pointer(self, value: Value) -> Any:
        """A ctypes pointer to a value's elements, which is up to date when the lines run."""
        place = self.places[value]
        if place.array is not None:
            return blas.pointer(place.array)
        key = ("pointer", place.text)
        if key not in self._read:
            held = ctypes.c_void_p()
            self._read[key] = self.names.bind(held)
            lines = self.setup if value in self.steady else self.prologue
            lines.append(f"{self._read[key]}.value = {self.names.shared(blas.address)}({place.text})")
        return self.names.table[self._read[key]]

    def number(self, terms: Mapping[tuple[Value, ...], float], kind: Callable[[float], Any]) -> Any:
        """A ctypes number: the sum of constants times 1×1 values. It is read once a call if nothing changes those."""
        if not any(terms):
            return kind(sum(terms.values()))
        text = " + ".join(
            "*".join([repr(factor), *(f"{self.text(value)}.item()" for value in values)])
            for values, factor in terms.items()
        )
        steady = all(value in self.steady for values in terms for value in values)
        name = self._read.get(("number", text)) if steady else None
        if name is None:
            name = self.names.bind(kind(0.0))
            (self.setup if steady else self.lines).append(f"{name}.value = {text}")
            if steady:
                self._read["number", text] = name
        return self.names.table[name]

    def body(self, parameters: Sequence[str]) -> list[str]:
        """All lines of a step, cut into functions if there are many, which get the parameters that the lines name."""
        if len(self.lines) <= CHUNK:
            return [*self.prologue, *self.lines]
        given = ", ".join(parameters)
        parts = (self.lines[start : start + CHUNK] for start in range(0, len(self.lines), CHUNK))
        # the prologue makes what the parts are given
        return [*self.prologue, *(f"{self.names.function(parameters, part)}({given})" for part in parts)]


def carved(arena: Array, start: int, shape: tuple[int, ...], dtype: str) -> Array:
    """The array that begins at an offset in bytes."""
    stop = start + math.prod(shape) * np.dtype(dtype).itemsize
    return arena[start:stop].view(dtype).reshape(shape)


def padded(size: int) -> int:
    """A size in bytes, up to the next beginning of a cache line."""
    return -(-size // 64) * 64
