"""A Program as Python source: a function for each kind of fused loop, and the step as calls of them.

A step of many instructions is divided into parts, functions of a few hundred calls, as Python compiles a very long one
slowly. They hand values on in a dictionary.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from math import dist
from struct import pack
from typing import TYPE_CHECKING, Any

from pycrograd_core.capture.program import Constant, Instruction, Program, Region, Step, Value, flat
from pycrograd_core.matrix import FORMATS
from pycrograd_core.op import INDEX_DTYPE

from . import product as products
from .classified import OPS, classified, of_one_batch
from .expressions import FUNCTIONS
from .fused import FusedLoop
from .inner_products import norms
from .kernels import greatest
from .loops import PRODUCTS, Loop, as_loop

if TYPE_CHECKING:
    from pycrograd_core.matrix import Matrix

    from .product import Values

LENGTH = 250  # calls in a part
PACKED = 1 << 17  # elements that are the arguments of one call


def lines(values: Sequence[float], rows: int, cols: int, axis: int | None) -> Iterator[Sequence[float]]:
    """What a reduction over `axis` reduces, of rows × cols elements."""
    if axis is None:
        return iter([values])
    if axis == 0:
        return (values[j::cols] for j in range(cols))
    return (values[i * cols : (i + 1) * cols] for i in range(rows))


def packed(code: str, numbers: Iterable[float]) -> Values:
    """An array of numbers: by way of bytes, four times as fast as element by element."""
    given = numbers if isinstance(numbers, list) else list(numbers)
    return array(code, pack(f"{len(given)}{code}", *given) if len(given) <= PACKED else given)


NAMESPACE: dict[str, Any] = {
    **FUNCTIONS,
    "chain": chain,
    "classified": classified,
    "dist": dist,
    "lines": lines,
    "max_": greatest,
    "norms": norms,
    "packed": packed,
    "product": products.product,
    "repeat": repeat,
    "sum_": sum,
    "sumprod": getattr(products, "sumprod", None),
    "TROUBLE": (ArithmeticError, ValueError),
}


class ByKernels:
    """Instructions run one after another by the kernels, from arrays to arrays. `calls` counts how often they were."""

    def __init__(self, matrix: type[Matrix], piece: Piece) -> None:
        self.matrix: Any = matrix
        self.inputs = piece.inputs
        self.outputs = piece.outputs
        self.body = [(matrix.kernels[each.op], each.inputs, dict(each.params), each.output) for each in piece.body]
        self.calls = 0

    def __call__(self, *arrays: Values) -> Any:
        """The outputs' arrays; the one array if there is one output."""
        self.calls += 1
        known = {
            value: self.matrix(value.shape, value.dtype, data) for value, data in zip(self.inputs, arrays, strict=True)
        }
        for kernel, inputs, params, output in self.body:
            known[output] = kernel(*[known[value] for value in inputs], **params)
        made = [known[value].data for value in self.outputs]
        return made[0] if len(made) == 1 else made


@dataclass(frozen=True, eq=False)
class Piece:
    """What one statement of the step computes: a loop, the losses of a batch, or an instruction by its kernel."""

    body: tuple[Instruction, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    fused: Loop | dict[str, Instruction] | None


def pieces(body: Iterable[Step]) -> Iterator[Piece]:
    """The program in pieces. A region that is no loop is taken apart."""
    for step in body:
        if isinstance(step, Region):
            inner = tuple(flat(step.body))
            fused = as_loop(inner, step.outputs) or of_one_batch(inner)
            if fused is not None and step.outputs:
                yield Piece(inner, step.inputs, step.outputs, fused)
            else:
                yield from pieces(step.body)
        else:
            alone = as_loop([step], step.outputs) if step.op.name in PRODUCTS else None
            yield Piece((step,), tuple(dict.fromkeys(step.inputs)), step.outputs, alone)


@dataclass(eq=False)
class StepSource:
    """The source under construction."""

    program: Program
    functions: dict[str, str] = field(default_factory=dict)  # source, without the name -> name
    kernels: dict[Any, str] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=lambda: dict(NAMESPACE))
    exceptional: list[ByKernels] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = self.program.names()
        self.literals = {
            value: repr(array(FORMATS[value.dtype], [constant.content])[0])
            for value, constant in self.program.constants.items()
            if value.shape == (1, 1) and not isinstance(constant.content, bytes) and value.dtype != INDEX_DTYPE
        }
        for value, constant in self.program.constants.items():
            self.namespace[self.names[value]] = constant_array(constant, value)
        body = list(pieces(self.program.body))
        self.last = {value: position for position, piece in enumerate(body) for value in piece.inputs}
        self.kept = {*self.program.inputs, *self.program.results}
        starts = range(0, len(body), LENGTH)
        self.parts = [self.part(number, start, body[start : start + LENGTH]) for number, start in enumerate(starts)]
        calls = [f"    part{number}(values)" for number in range(len(starts))] or ["    pass"]
        self.text = "\n\n".join([*self.functions_written(), *self.parts, "\n".join(["def step(values):", *calls, ""])])

    def functions_written(self) -> list[str]:
        """The sources of the loops, each once."""
        return [text.replace("def loop(", f"def {name}(", 1) for text, name in self.functions.items()]

    def function(self) -> Callable[[dict[str, Values]], None]:
        """The step: it reads what the program takes from a dictionary of arrays, and adds its results there."""
        exec(compile(self.text, f"<{len(self.parts)} parts of a captured step>", "exec"), self.namespace)  # noqa: S102
        step: Callable[[dict[str, Values]], None] = self.namespace["step"]
        return step

    # Parts ---------------------------------------------------------------------------------------------------------

    def part(self, number: int, start: int, body: Sequence[Piece]) -> str:
        """A function of some pieces."""
        made = dict.fromkeys(value for piece in body for value in piece.outputs)
        end = start + len(body)
        taken = dict.fromkeys(value for piece in body for value in piece.inputs if value not in made)
        statements = [self.taken(value, end) for value in taken if value not in self.program.constants]
        forms: dict[Value, set[str]] = {}
        for position, piece in enumerate(body, start):
            statements += self.statements(position, piece, forms)
            touched = dict.fromkeys((*piece.inputs, *piece.outputs))
            dying = [value for value in touched if self.last.get(value, position) == position]
            gone = [self.names[v] for v in dying if v not in self.kept]
            gone += [f"{self.names[v]}_{form}" for v in dying for form in sorted(forms.pop(v, ()))]
            if gone:
                statements.append(f"del {', '.join(gone)}")
        for value in made:
            if value in self.kept or self.last.get(value, -1) >= end:
                statements.append(f'values["{self.names[value]}"] = {self.names[value]}')
        return "\n    ".join([f"def part{number}(values):", *statements]) + "\n"

    def taken(self, value: Value, end: int) -> str:
        """A value from an earlier part, which keeps it no longer than it is needed."""
        name = self.names[value]
        if value in self.kept or self.last[value] >= end:
            return f'{name} = values["{name}"]'
        return f'{name} = values.pop("{name}")'

    def statements(self, position: int, piece: Piece, forms: dict[Value, set[str]]) -> Iterator[str]:
        """What makes the outputs of a piece."""
        results = ", ".join(self.names[value] for value in piece.outputs)
        given = ", ".join(self.names[value] for value in piece.inputs)
        if piece.fused is None:
            yield f"{results} = {self.kernel(piece)}({given})"
            return
        careful = f"careful{position}"
        self.namespace[careful] = ByKernels(self.program.matrix, piece)
        self.exceptional.append(self.namespace[careful])
        if isinstance(piece.fused, Loop):
            loop = FusedLoop(piece.fused, self.literals)
            results = ", ".join(self.names[value] for value in piece.fused.outputs)
            called = self.loop_function(loop)
            operands = []
            for value, form in loop.parameters:
                yield from self.formed(value, form, forms)
                operands.append(self.form(value, form))
            call = f"{results} = {called}({', '.join(operands)})"
        else:
            logits, labels = next(iter(piece.fused.values())).inputs[-2:]
            yield from self.formed(logits, "rows", forms)
            call = self.classification(piece, piece.fused, logits, labels)
        yield from ("try:", f"    {call}", "except TROUBLE:", f"    {results} = {careful}({given})")

    def classification(self, piece: Piece, named: dict[str, Instruction], logits: Value, labels: Value) -> str:
        """The call that makes the outputs of a `cross_entropy` region."""
        wanted = [named[op].output if op in named else None for op in OPS]
        targets = ", ".join(self.names[value] if value in piece.outputs else "_" for value in wanted)
        gradient = named.get("cross_entropy_gradient")
        g = self.form(gradient.inputs[0], "number") if gradient else "None"
        return f'{targets} = classified("{logits.dtype}", {self.form(logits, "rows")}, {self.names[labels]}, {g})'

    # Operands ------------------------------------------------------------------------------------------------------

    def form(self, value: Value, form: str) -> str:
        """How an operand is written where it is wanted in a form."""
        name = self.names[value]
        if form == "number":
            return self.literals.get(value, f"{name}[0]")
        return name if form == "flat" else f"{name}_{form}"

    def formed(self, value: Value, form: str, forms: dict[Value, set[str]]) -> Iterator[str]:
        """What makes that form of an operand, if no statement before did."""
        name, made = self.names[value], forms.setdefault(value, set())
        if form not in ("rows", "cols") or form in made:
            return
        if "rows" not in made:
            yield f"{name}_rows = list(zip(*[iter({name})] * {value.shape[1]}))"
        if form == "cols":
            yield f"{name}_cols = list(zip(*{name}_rows))"
        made |= {"rows", form}

    # Functions -----------------------------------------------------------------------------------------------------

    def loop_function(self, loop: FusedLoop) -> str:
        """The name of a loop's function; equal ones are one."""
        text = loop.source("loop")
        if text not in self.functions:
            ops = Counter(instruction.op.name for instruction in loop.loop.instructions)
            self.functions[text] = "_".join([*list(ops)[:3], str(len(self.functions))])
        return self.functions[text]

    def kernel(self, piece: Piece) -> str:
        """The name of an instruction's kernel; those of equal operands and parameters are one."""
        (instruction,) = piece.body
        places = tuple(piece.inputs.index(value) for value in instruction.inputs)
        shapes = tuple((value.shape, value.dtype) for value in piece.inputs)
        key = (instruction.op, repr(sorted(instruction.params.items())), places, shapes)
        if key not in self.kernels:
            name = self.kernels[key] = f"{instruction.op.name}_kernel{len(self.kernels)}"
            self.namespace[name] = ByKernels(self.program.matrix, piece)
        return self.kernels[key]


def constant_array(constant: Constant, value: Value) -> Values:
    """The elements of a constant."""
    code = FORMATS[value.dtype]
    if isinstance(constant.content, bytes):
        return array(code, constant.content)
    number = int(constant.content) if value.dtype == INDEX_DTYPE else constant.content
    return array(code, [number]) * value.size
