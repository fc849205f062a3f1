"""Updates that are sums of products and matrices, each added to a state in its own memory by one BLAS call.

`w - rate · xᵀg` is one `gemm` with alpha = -rate and beta = 1: the gradient is never in memory. So with weight decay
(beta = 1 - rate · decay) and with momentum (beta = momentum, into the velocity, then w -= rate · velocity).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from pycrograd_core.capture.program import Instruction, Program, Region, Value, flat
from pycrograd_core.errors import Shape

from .blas import LETTERS, PLAIN, ROW_MAJOR, TRANSPOSED, Blas, blas, pointer
from .emitters import LONG, Piece
from .source import Code

Factor = dict[tuple[Value, ...], float]  # a sum of constants times 1×1 values
Sum = dict[Any, Factor]  # a sum of matrices (or products, which are instructions) times factors


@dataclass(frozen=True)
class Folded:
    """An update region as sums: for each state that is written, in order, what it becomes."""

    sums: tuple[tuple[Value, Value, Sum], ...]  # the state, the value that it becomes, and what that is
    routines: Blas
    scratch: tuple[Piece, ...] = ()

    def suits(self, homes: Mapping[Value, Value]) -> bool:
        """Whether each value is computed in its state's memory."""
        return all(homes.get(value) is target for target, value, _ in self.sums)

    def emit(self, code: Code, *scratch: str) -> None:
        """Add the lines."""
        for target, _, terms in self.sums:
            self._write(code, target, dict(terms))

    def _write(self, code: Code, target: Value, terms: Sum) -> None:
        kept: Factor | None = terms.pop(target, {})
        for key in [key for key in terms if isinstance(key, Instruction)]:
            self._product(code, key, terms.pop(key), target, kept if kept is not None else {(): 1.0})
            kept = None  # the first product scales what was there, the next ones add
        integer, extent = self.routines.integer, self.routines.integer(target.size)
        where = code.pointer(target), integer(1)
        if kept is not None and kept != {(): 1.0}:
            self._call(code, self.routines.scal, extent, self._number(code, kept), *where)
        for value, factor in terms.items():
            source = code.pointer(value), integer(1)
            self._call(code, self.routines.axpy, extent, self._number(code, factor), *source, *where)

    def _product(self, code: Code, step: Instruction, factor: Factor, target: Value, kept: Factor) -> None:
        alpha, beta, integer = self._number(code, factor), self._number(code, kept), self.routines.integer
        if step.op.name == "sum":
            x, axis = step.inputs[0], step.params["axis"]
            extent = x.shape[axis]
            ones = code.names.table[code.filled((extent, 1), x.dtype)]
            flag = TRANSPOSED if axis == 0 else PLAIN
            given = [integer(x.shape[0]), integer(x.shape[1]), alpha, code.pointer(x), integer(x.shape[1])]
            vector = [pointer(ones), integer(1), beta, code.pointer(target), integer(1)]
            self._call(code, self.routines.gemv, ROW_MAJOR, flag, *given, *vector)
            return
        (a, b), flags = step.inputs, [step.params.get(name, False) for name in ("transpose_a", "transpose_b")]
        inner = a.shape[0] if flags[0] else a.shape[1]
        extents = [integer(extent) for extent in (*target.shape, inner)]
        rows = [(code.pointer(value), integer(value.shape[1])) for value in (a, b, target)]
        marks = [TRANSPOSED if flag else PLAIN for flag in flags]
        self._call(code, self.routines.gemm, ROW_MAJOR, *marks, *extents, alpha, *rows[0], *rows[1], beta, *rows[2])

    def _number(self, code: Code, factor: Factor) -> Any:
        return code.number(factor, self.routines.number)

    def _call(self, code: Code, routine: Callable[..., None], *arguments: Any) -> None:
        code.say(f"{code.names.shared(routine, id(routine))}(*{code.names.bind(arguments)})")


def folded(region: Region, program: Program) -> Folded | None:
    """An update region as sums, if it is nothing else and NumPy's BLAS can be reached."""
    targets = {value: target for target, value in program.updates.items()}
    kinds = {(value.shape, value.dtype) for value in region.outputs}
    if len(kinds) != 1 or not all(value in targets for value in region.outputs):
        return None
    shape, dtype = next(iter(kinds))
    routines = blas(dtype) if dtype in LETTERS else None
    if routines is None or 0 in shape or shape == (1, 1):
        return None
    known: dict[Value, Sum] = {}
    written: dict[Value, tuple[Value, Sum]] = {}
    for step in flat(region.body):
        terms = _terms(step, known, shape, dtype, program)
        if terms is None:
            return None
        known[step.output] = terms
        if step.output in region.outputs:
            target = targets[step.output]
            if not _possible(target, terms, written):
                return None
            written[target] = (step.output, terms)
            known[step.output] = {step.output: {(): 1.0}}  # from here on it is there to be read
    return Folded(tuple((target, value, terms) for target, (value, terms) in written.items()), routines)


def _possible(target: Value, terms: Sum, written: Container[Value]) -> bool:
    """Whether a sum can be added up in the memory of its target, with what was written before already gone."""
    products = [key for key in terms if isinstance(key, Instruction)]
    read = [value for key in products for value in key.inputs] + [key for key in terms if isinstance(key, Value)]
    if any(value in written for value in read) or any(target in product.inputs for product in products):
        return False
    return target in terms or bool(products)


def _terms(step: Instruction, known: Mapping[Value, Sum], shape: Shape, dtype: str, program: Program) -> Sum | None:
    """What an instruction makes as a sum, or None."""
    if any((value.shape, value.dtype) != (shape, dtype) for value in (step.output,)):
        return None
    if step.op.name in ("matmul", "sum"):
        inside = any(value in known or value.dtype != dtype or 0 in value.shape for value in step.inputs)
        long = step.op.name == "sum" and step.inputs[0].shape[step.params["axis"]] > LONG
        return None if inside or long else {step: {(): 1.0}}

    def matrix(value: Value) -> Sum | None:
        if value in known:
            return known[value]
        return {value: {(): 1.0}} if (value.shape, value.dtype) == (shape, dtype) else None

    def number(value: Value) -> Factor | None:
        if value in known or value.shape != (1, 1):
            return None
        constant = program.constants.get(value)
        if constant is not None and isinstance(constant.content, float):
            return {(): constant.content}
        return {(value,): 1.0}

    return RULES[step.op.name](step, matrix, number) if step.op.name in RULES else None


def _add(*parts: tuple[Sum | None, Factor]) -> Sum | None:
    """The sum of sums times factors."""
    result: Sum = {}
    for terms, factor in parts:
        if terms is None:
            return None
        for key, before in terms.items():
            into = result.setdefault(key, {})
            for values, number in _times(before, factor).items():
                into[values] = into.get(values, 0.0) + number
    return result


def _times(a: Factor, b: Factor) -> Factor:
    result: Factor = {}
    for left, x in a.items():
        for right, y in b.items():
            key = tuple(sorted(left + right, key=id))
            result[key] = result.get(key, 0.0) + x * y
    return result


Matrices = Callable[[Value], Sum | None]
Numbers = Callable[[Value], Factor | None]
ONE: Factor = {(): 1.0}
MINUS: Factor = {(): -1.0}


def _sgd_update(step: Instruction, matrix: Matrices, number: Numbers) -> Sum | None:
    w, g, rate = step.inputs
    factor = number(rate)
    return None if factor is None else _add((matrix(w), ONE), (matrix(g), _times(factor, MINUS)))


def _accumulate(step: Instruction, matrix: Matrices, number: Numbers) -> Sum | None:
    old, new = step.inputs
    return _add((matrix(old), {(): step.params["decay"]}), (matrix(new), {(): step.params["weight"]}))


def _multiply(step: Instruction, matrix: Matrices, number: Numbers) -> Sum | None:
    for terms, factor in (step.inputs, step.inputs[::-1]):
        found, times = matrix(terms), number(factor)
        if found is not None and times is not None:
            return _add((found, times))
    return None


RULES: dict[str, Callable[[Instruction, Matrices, Numbers], Sum | None]] = {
    "sgd_update": _sgd_update,
    "accumulate": _accumulate,
    "multiply": _multiply,
    "add": lambda step, matrix, number: _add(*((matrix(value), ONE) for value in step.inputs)),
    "subtract": lambda step, matrix, number: _add((matrix(step.inputs[0]), ONE), (matrix(step.inputs[1]), MINUS)),
    "negative": lambda step, matrix, number: _add((matrix(step.inputs[0]), MINUS)),
}
