"""For each op the lines that compute it into memory that is planned: the same as its kernel, with nothing allocated.

An elementwise op may be given an operand as `out`, so no line writes there before all others have read their operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .source import Code, padded

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Instruction

Piece = tuple[tuple[int, ...], str]  # scratch memory: shape and dtype
Emit = Callable[..., None]

LONG = 4096  # elements of a sum: over more, float32 would lose digits in a product with ones
BITS = {"float32": "int32", "float64": "int64"}


@dataclass(frozen=True)
class Emitter:
    """`emit(code, instruction, *scratch)` adds the lines. `scratch` are the arrays' names that it needs meanwhile.

    `ieee`: infinities and nan are ordinary results, of which NumPy should not warn.
    """

    emit: Emit
    scratch: Callable[[Instruction], Sequence[Piece]] = lambda step: ()
    ieee: bool = False

    def __call__(self, code: Code, step: Instruction) -> None:
        """Add the lines for an instruction."""
        code.ieee = code.ieee or self.ieee
        self.emit(code, step, *code.temporaries(self.scratch(step)))


EMITTERS: dict[str, Emitter] = {}


def size_of(pieces: Sequence[Piece]) -> int:
    """The bytes of pieces of scratch memory."""
    return sum(padded(int(np.prod(shape)) * np.dtype(dtype).itemsize) for shape, dtype in pieces)


def emits(name: str, *scratch: str, ieee: bool = False) -> Callable[[Emit], Emit]:
    """Enter a function in the table. `scratch` names what it needs of the result's shape: a dtype, or "same"."""

    def enter(emit: Emit) -> Emit:
        def pieces(step: Instruction) -> list[Piece]:
            return [(step.output.shape, step.output.dtype if dtype == "same" else dtype) for dtype in scratch]

        EMITTERS[name] = Emitter(emit, pieces, ieee)
        return emit

    return enter


# Elementwise ---------------------------------------------------------------------------------------------------------


def _ufunc(function: np.ufunc, keyword: bool = False) -> Emit:
    def emit(code: Code, step: Instruction) -> None:
        out = code.text(step.output)
        operands = [code.operand(value, step.output) for value in step.inputs]
        if keyword:
            code.call(function, *operands, out=out)
        else:
            code.call(function, *operands, out)

    return emit


UFUNCS = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "negative": np.negative, "abs": np.absolute,
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
    "maximum": np.maximum, "minimum": np.minimum, "greater": np.greater, "less": np.less, "equal": np.equal,
    "not_equal": np.not_equal, "greater_equal": np.greater_equal, "less_equal": np.less_equal,
}  # fmt: skip
_IEEE = {"exp", "log", "sqrt", "divide", "power"}
for _name, _function in UFUNCS.items():
    # the third argument of maximum and minimum must be named
    EMITTERS[_name] = Emitter(_ufunc(_function, _name in ("maximum", "minimum")), ieee=_name in _IEEE)


@emits("where", "bool")
def _where(code: Code, step: Instruction, mask: str) -> None:
    condition, a, b = (code.operand(value, step.output) for value in step.inputs)
    out = code.text(step.output)
    code.call(np.not_equal, condition, code.scalar(0, step.output.dtype), mask)
    code.call(np.copyto, out, f"{code.names.shared(np.where)}({mask}, {a}, {b})")


@emits("relu")
def _relu(code: Code, step: Instruction) -> None:
    code.call(np.maximum, code.text(step.inputs[0]), code.scalar(0, step.output.dtype), out=code.text(step.output))


def _relu_gradient(code: Code, step: Instruction, mask: str) -> None:
    """Bits times 0 or 1: a choice as `where` makes it, also of infinities and nan, and many times faster."""
    (g, y), bits = step.inputs, BITS[step.output.dtype]
    code.call(np.greater, code.text(y), code.scalar(0, y.dtype), mask)
    bits_of = f".view({bits!r})"
    code.call(
        np.multiply,
        code.derived(g, lambda array: array.view(bits), bits_of),
        mask,
        code.derived(step.output, lambda array: array.view(bits), bits_of),
    )


EMITTERS["relu_gradient"] = Emitter(_relu_gradient, lambda step: [(step.inputs[1].shape, "bool")])


@emits("sigmoid", ieee=True)
def _sigmoid(code: Code, step: Instruction) -> None:
    out, one = code.text(step.output), code.scalar(1, step.output.dtype)
    code.call(np.negative, code.text(step.inputs[0]), out)
    code.call(np.exp, out, out)
    code.call(np.add, out, one, out)
    code.call(np.divide, one, out, out)


@emits("clip")
def _clip(code: Code, step: Instruction) -> None:
    x, out, dtype = code.text(step.inputs[0]), code.text(step.output), step.output.dtype
    code.call(np.maximum, x, code.scalar(step.params["low"], dtype), out=out)
    code.call(np.minimum, out, code.scalar(step.params["high"], dtype), out=out)


@emits("dropout", "same")
def _dropout(code: Code, step: Instruction, scaled: str) -> None:
    x, keep = (code.operand(value, step.output) for value in step.inputs)
    code.call(np.multiply, keep, code.scalar(1.0 / (1.0 - step.params["rate"]), step.output.dtype), scaled)
    code.call(np.multiply, x, scaled, code.text(step.output))


@emits("accumulate", "same")
def _accumulate(code: Code, step: Instruction, scaled: str) -> None:
    old, new = (code.text(value) for value in step.inputs)
    out, dtype = code.text(step.output), step.output.dtype
    decay, weight = step.params["decay"], step.params["weight"]
    if weight == 1:
        code.call(np.multiply, old, code.scalar(decay, dtype), scaled)
        code.call(np.add, scaled, new, out)
        return
    code.call(np.multiply, new, code.scalar(weight, dtype), scaled)
    if decay != 1:
        code.call(np.multiply, old, code.scalar(decay, dtype), out)
        old = out
    code.call(np.add, old, scaled, out)


@emits("sgd_update", "same")
def _sgd_update(code: Code, step: Instruction, scaled: str) -> None:
    w, g, rate = (code.operand(value, step.output) for value in step.inputs)
    code.call(np.multiply, g, rate, scaled)
    code.call(np.subtract, w, scaled, code.text(step.output))


def _adam_update(code: Code, step: Instruction, change: str, root: str, number: str, epsilon: str) -> None:
    """W - (rate · √sv / sm) · m / (√v + ε √sv), where sm and sv are the shares: five passes instead of seven."""
    w, mean, square, rate, mean_share, square_share = (code.text(value) for value in step.inputs)
    code.call(np.sqrt, square_share, number)
    code.call(np.multiply, number, code.scalar(step.params["epsilon"], step.output.dtype), epsilon)
    code.call(np.divide, number, mean_share, number)
    code.call(np.multiply, number, rate, number)
    code.call(np.sqrt, square, root)
    code.call(np.add, root, f"{epsilon}[0, 0]", root)
    code.call(np.divide, mean, root, change)
    code.call(np.multiply, change, f"{number}[0, 0]", change)
    code.call(np.subtract, w, change, code.text(step.output))


def _adam_scratch(step: Instruction) -> list[Piece]:
    return [(shape, step.output.dtype) for shape in (step.output.shape, step.output.shape, (1, 1), (1, 1))]


EMITTERS["adam_update"] = Emitter(_adam_update, _adam_scratch, ieee=True)

# Products and reductions ---------------------------------------------------------------------------------------------


@emits("matmul")
def _matmul(code: Code, step: Instruction) -> None:
    operands = [
        code.transposed(value) if step.params.get(flag) else code.text(value)
        for value, flag in zip(step.inputs, ("transpose_a", "transpose_b"), strict=True)
    ]
    code.call(np.dot, *operands, code.text(step.output))


@emits("linear")
def _linear(code: Code, step: Instruction) -> None:
    x, weight, bias = (code.text(value) for value in step.inputs)
    y = code.text(step.output)
    code.call(np.dot, x, weight, y)
    code.call(np.add, y, bias, y)


@emits("sum")
def _sum(code: Code, step: Instruction) -> None:
    x, axis = step.inputs[0], step.params.get("axis")
    total(code, code.text(x), x.shape, x.dtype, axis, code.text(step.output))


def total(code: Code, x: str, shape: tuple[int, int], dtype: str, axis: int | None, out: str) -> None:
    """The sums along an axis, as the eager kernels make them."""
    if axis is None:
        code.call(np.add.reduce, x, "None", "None", out, "True")
    elif shape[axis] > LONG:
        long = f"{code.names.shared(np.add.reduce)}({x}, {axis}, 'float64', None, True)"
        code.call(np.copyto, out, long, '"same_kind"')
    elif axis == 0:
        code.call(np.dot, code.filled((1, shape[0]), dtype), x, out)
    else:
        code.call(np.dot, x, code.filled((shape[1], 1), dtype), out)


@emits("max")
def _max(code: Code, step: Instruction) -> None:
    axis = str(step.params.get("axis"))
    code.call(np.maximum.reduce, code.text(step.inputs[0]), axis, "None", code.text(step.output), "True")


@emits("argmax")
def _argmax(code: Code, step: Instruction) -> None:
    found = f"{code.text(step.inputs[0])}.argmax({step.params.get('axis')}, keepdims=True)"
    code.call(np.copyto, code.text(step.output), found, '"same_kind"')


def _softmax(code: Code, step: Instruction, shifted: str, rest: str) -> None:
    x, axis, out = step.inputs[0], step.params.get("axis", 1), code.text(step.output)
    _shift(code, step, axis, shifted, rest)
    code.call(np.exp, shifted, out)
    total(code, out, x.shape, x.dtype, axis, rest)
    code.call(np.divide, out, rest, out)


def _log_softmax(code: Code, step: Instruction, exponentials: str, rest: str) -> None:
    x, axis, out = step.inputs[0], step.params.get("axis", 1), code.text(step.output)
    _shift(code, step, axis, out, rest)
    code.call(np.exp, out, exponentials)
    total(code, exponentials, x.shape, x.dtype, axis, rest)
    code.call(np.log, rest, rest)
    code.call(np.subtract, out, rest, out)


def _shift(code: Code, step: Instruction, axis: int, out: str, greatest: str) -> None:
    """The input less its greatest, so that no exponential overflows."""
    x = code.text(step.inputs[0])
    code.call(np.maximum.reduce, x, str(axis), "None", greatest, "True")
    code.call(np.subtract, x, greatest, out)


def _normalising(step: Instruction) -> list[Piece]:
    """One matrix, and one element for each row or column that is normalised."""
    (rows, cols), dtype = step.output.shape, step.output.dtype
    return [((rows, cols), dtype), ((rows, 1) if step.params.get("axis", 1) == 1 else (1, cols), dtype)]


EMITTERS["softmax"] = Emitter(_softmax, _normalising)
EMITTERS["log_softmax"] = Emitter(_log_softmax, _normalising)

# Layout --------------------------------------------------------------------------------------------------------------


@emits("transpose")
def _transpose(code: Code, step: Instruction) -> None:
    code.call(np.copyto, code.text(step.output), code.transposed(step.inputs[0]))


@emits("reshape")
def _reshape(code: Code, step: Instruction) -> None:
    shape = step.output.shape
    same = code.derived(step.inputs[0], lambda array: array.reshape(shape), f".reshape({shape})")
    code.call(np.copyto, code.text(step.output), same)


@emits("slice")
def _slice(code: Code, step: Instruction) -> None:
    top, bottom, left, right = (step.params[name] for name in ("row_start", "row_stop", "col_start", "col_stop"))
    block = code.derived(
        step.inputs[0], lambda array: array[top:bottom, left:right], f"[{top}:{bottom}, {left}:{right}]"
    )
    code.call(np.copyto, code.text(step.output), block)


@emits("broadcast_to")
def _broadcast_to(code: Code, step: Instruction) -> None:
    code.call(np.copyto, code.text(step.output), code.text(step.inputs[0]))


@emits("concat")
def _concat(code: Code, step: Instruction) -> None:
    parts = "".join(f"{code.text(value)}, " for value in step.inputs)
    code.call(np.concatenate, f"({parts})", str(step.params["axis"]), code.text(step.output))


@emits("take_rows")
def _take_rows(code: Code, step: Instruction) -> None:
    x, indices = step.inputs
    # the indices were checked: with mode="clip" NumPy writes to `out` without a copy
    code.say(f'{code.text(x)}.take({code.flat(indices)}, 0, {code.text(step.output)}, "clip")')


@emits("add_rows")
def _add_rows(code: Code, step: Instruction) -> None:
    x, indices, updates = step.inputs
    code.call(np.copyto, code.text(step.output), code.text(x))
    code.call(np.add.at, code.text(step.output), code.flat(indices), code.text(updates))


@emits("one_hot")
def _one_hot(code: Code, step: Instruction) -> None:
    out, rows = code.text(step.output), code.names.bind(np.arange(step.output.shape[0]))
    code.say(f"{out}.fill(0)")
    code.say(f"{out}[{rows}, {code.flat(step.inputs[0])}] = 1")
