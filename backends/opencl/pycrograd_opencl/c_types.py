"""Types of OpenCL C, and what is written in the same way for a number and for a vector of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from struct import Struct

SCALARS = {"float32": "float", "float64": "double", "int32": "int"}  # dtype -> type of an element
WORDS = {"float32": "uint", "float64": "ulong"}  # dtype -> type of its bits

_SINGLE = Struct("f")


@dataclass(frozen=True)
class CType:
    """A type of OpenCL C: `lanes` numbers of type `scalar`. As text it is its name: `float`, `double4`."""

    scalar: str
    lanes: int = 1

    @classmethod
    def of(cls, dtype: str, lanes: int = 1) -> CType:
        """The type of so many elements of a dtype."""
        return cls(SCALARS[dtype], lanes)

    def __str__(self) -> str:
        return self.scalar if self.lanes == 1 else f"{self.scalar}{self.lanes}"

    def number(self, value: float) -> str:
        """A number, rounded to this type, as a literal of exactly that value in every lane."""
        literal = _literal(value, self.scalar)
        return literal if self.lanes == 1 else f"({self})({literal})"

    def splat(self, value: str) -> str:
        """A scalar's value in every lane."""
        return f"({value})" if self.lanes == 1 else f"(({self})({value}))"

    def load(self, address: str) -> str:
        """What is at an address, aligned as its elements are."""
        return f"*({address})" if self.lanes == 1 else f"vload{self.lanes}(0, {address})"

    def store(self, value: str, address: str) -> str:
        """The statement that writes a value there."""
        return f"*({address}) = {value};" if self.lanes == 1 else f"vstore{self.lanes}({value}, 0, {address});"

    def component(self, value: str, lane: int) -> str:
        """One number of a vector."""
        return value if self.lanes == 1 else f"{value}.s{lane:x}"


def preamble(ctype: CType) -> str:
    """What stands at the head of a source that uses `ctype`."""
    return "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" if ctype.scalar == "double" else ""


def _literal(value: float, scalar: str) -> str:
    if scalar == "int":
        return str(int(value)) if value >= 0 else f"({int(value)})"
    rounded = _single(value) if scalar == "float" else float(value)
    if math.isnan(rounded):
        return f"(({scalar})NAN)"
    if math.isinf(rounded):
        return f"(({scalar}){'-' if rounded < 0 else ''}INFINITY)"
    literal = rounded.hex() + ("f" if scalar == "float" else "")
    return f"({literal})" if literal.startswith("-") else literal


def _single(value: float) -> float:
    """The number as float32 holds it, infinite beyond its range."""
    try:
        rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded
