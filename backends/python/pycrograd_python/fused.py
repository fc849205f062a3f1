"""A loop as the source of a function, which takes the operands' elements and returns arrays.

The operands come in the form that the loop runs over: `flat`, the array; `rows` or `cols`, a tuple for each row or
column; `number`, the only element. Within the loop, p and q are the vectors of a product, y is an element of it, x1 an
operand, e1 an element of that and t1 a result that is used more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycrograd_core.matrix import FORMATS

from .expressions import CHOICES, COMPARISONS, expression, mentions
from .inner_products import by_distance, summed, written_out

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Instruction, Value

    from .loops import Loop

DEEPEST = 12  # expressions within expressions
ASSIGNED = 6  # results with a name within a comprehension; with more, a loop of statements is as fast
FORM = {None: "flat", 0: "cols", 1: "rows"}  # of what is reduced over an axis

Parameter = tuple["Value", str]


@dataclass(eq=False)
class FusedLoop:
    """The function of one loop: `parameters` are the values it takes, each in a form, `lines` its source."""

    loop: Loop
    literals: Mapping[Value, str]
    parameters: dict[Parameter, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    outer: dict[str, str] = field(default_factory=dict)  # what the loop over rows takes from where
    inner: dict[str, str] = field(default_factory=dict)  # and the loop over the elements of a row, or over all
    assigned: list[tuple[str, str]] = field(default_factory=list)
    written: dict[Value, str] = field(default_factory=dict)  # how an element of each value is written
    depth: Counter[Value] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        loop = self.loop
        self.made = loop.made
        self.code = FORMATS[next(iter(self.made)).dtype]
        self.mentioned = Counter(value for instruction in loop.chain for value in mentions(instruction))
        self.mentioned.update(loop.lists)
        self.nested = False
        for number, head in enumerate(loop.heads):
            line = self.parameter(head.inputs[0], FORM[head.params.get("axis")])
            reduce = f"{head.op.name}_"
            numbers = f"{reduce}({line})" if head.params.get("axis") is None else f"*map({reduce}, {line})"
            self.before.append(f"head{number} = [{numbers}]")
            self.element(head.output, f"head{number}")
        if loop.product is not None:
            self.multiply(loop.product)
        for instruction in loop.chain:
            self.apply(instruction)

    # Operands ------------------------------------------------------------------------------------------------------

    def parameter(self, value: Value, form: str) -> str:
        """The name of an argument of the function."""
        return self.parameters.setdefault((value, form), f"x{len(self.parameters)}")

    def element(self, value: Value, source: str) -> str:
        """The name of an element of `value`, which the innermost loop takes from `source`."""
        name = self.written[value] = f"e{len(self.inner)}"
        self.inner[name] = source
        return name

    def operand(self, value: Value) -> str:
        """How an element of an operand is written; one from outside is taken along by the loops."""
        if value in self.written:
            return self.written[value]
        rows, cols = self.loop.shape
        if value.shape == (1, 1) and self.loop.shape != (1, 1):
            if value not in self.literals:
                self.written[value] = self.parameter(value, "number")
            return self.written.setdefault(value, self.literals.get(value, ""))
        if value.shape == self.loop.shape:
            if not self.nested:
                return self.element(value, self.parameter(value, "flat"))
            row = f"r{len(self.outer)}"
            self.outer[row] = self.parameter(value, "rows")
            return self.element(value, row)
        source = self.parameter(value, "flat")
        if value.shape[0] == 1:
            return self.element(value, source if self.nested else f"chain.from_iterable(repeat({source}, {rows}))")
        if not self.nested:
            return self.element(value, f"chain.from_iterable(map(repeat, {source}, repeat({cols})))")
        name = self.written[value] = f"o{len(self.outer)}"
        self.outer[name] = source
        return name

    # What is computed ----------------------------------------------------------------------------------------------

    def define(self, value: Value, source: str, apart: bool) -> None:
        """Note how an element of `value` is computed: where it is used, or once, under a name."""
        if apart or self.depth[value] >= DEEPEST:
            name = f"t{len(self.assigned)}"
            self.assigned.append((name, source))
            self.depth[value] = 0
            self.written[value] = name
        else:
            self.written[value] = f"({source})"

    def apply(self, instruction: Instruction) -> None:
        """One more operation on each element."""
        operands = [self.operand(value) for value in instruction.inputs]
        if self.code == "f" and instruction.op.name in COMPARISONS:
            operands = [
                f"single({x})" if v in self.made else x for x, v in zip(operands, instruction.inputs, strict=True)
            ]
        self.depth[instruction.output] = 1 + max(self.depth[value] for value in instruction.inputs)
        self.define(instruction.output, expression(instruction, operands), self.mentioned[instruction.output] > 1)

    def multiply(self, product: Instruction) -> None:
        """Make the loop one over the elements of a product, in the fastest way that it may be computed."""
        a, b, *bias = product.inputs
        turned_a, turned_b = product.params.get("transpose_a", False), product.params.get("transpose_b", False)
        (m, n), k = self.loop.shape, a.shape[0 if turned_a else 1]
        distances = by_distance(a.dtype, m, k, n)
        single = not distances and summed(k)
        sums = "" if single or distances else written_out(k, "p", "q", "start" if bias else "")
        if sums is None:
            left, right, *start = [self.parameter(value, "flat") for value in product.inputs]
            given = [left, right, str((m, k, n)), str(turned_a), str(turned_b), *start]
            self.before.append(f"y = product({', '.join(given)})")
            self.element(product.output, "y")
            return
        self.nested = True
        p, q = self.parameter(a, "cols" if turned_a else "rows"), self.parameter(b, "rows" if turned_b else "cols")
        first = self.element(bias[0], self.parameter(bias[0], "flat")) if bias else ""
        apart = self.mentioned[product.output] > 1
        if distances:
            source = self.distances(p, q, lazy=not apart and self.chosen(product.output))
            source = f"{first} + {source}" if bias else source
        elif single:
            self.outer["p"], self.inner["q"] = p, q
            source = f"{first} + sumprod(p, q)" if bias else "sumprod(p, q)"
        else:
            self.outer[_vector("p", k)], self.inner[_vector("q", k)] = p, q
            source = sums.replace("start", first)
        self.define(product.output, source, apart)

    def chosen(self, value: Value) -> bool:
        """Whether the one op that uses a value may not choose it."""
        return any(
            value is instruction.inputs[position]
            for instruction in self.loop.chain
            for position in CHOICES.get(instruction.op.name, ())
        )

    def distances(self, p: str, q: str, lazy: bool) -> str:
        """An element by the distance of p and q. `lazy`: which is to be computed only where it is asked for."""
        self.before.append(f"p_squares, q_norms, q_squares, grids, q_vectors, halves = norms({p}, {q})")
        self.outer |= {"p": p, "p2": "p_squares", "grid": "grids"}
        self.inner |= {"q2": "q_squares", "half": "halves"}
        if lazy:
            self.inner["q"] = "q_vectors"
            return "(p2 + q2 - (d := dist(p, q)) * d + grid - grid) * half"
        self.inner["d"] = "map(dist, repeat(p), q_vectors) if p2 else q_norms"  # rows of zeros are common: dead pixels
        return "(p2 + q2 - d * d + grid - grid) * half"

    # The source ----------------------------------------------------------------------------------------------------

    def source(self, name: str) -> str:
        """The function."""
        lists = {value: f"y{number}" for number, value in enumerate(self.loop.lists)}
        heads = {head.output: f"head{number}" for number, head in enumerate(self.loop.heads)}
        tails = {tail.output: f"tail{number}" for number, tail in enumerate(self.loop.tails)}
        lines = [*self.before, *(self.comprehension(*lists.items()) if self.compact() else self.statements(lists))]
        rows, cols = self.loop.shape
        for tail in self.loop.tails:
            numbers = f"lines({lists[tail.inputs[0]]}, {rows}, {cols}, {tail.params.get('axis')})"
            lines.append(f"{tails[tail.output]} = map({tail.op.name}_, {numbers})")
        names = lists | heads | tails
        lines.append("return " + ", ".join(f"packed('{self.code}', {names[value]})" for value in self.loop.outputs))
        return "\n    ".join([f"def {name}({', '.join(self.parameters.values())}):", *lines]) + "\n"

    def compact(self) -> bool:
        """Whether one comprehension says it all. What it takes its results from cannot hold a `:=`."""
        walrus = any(":=" in source for _, source in self.assigned)
        return len(self.loop.lists) == 1 and len(self.assigned) <= ASSIGNED and not walrus

    def headers(self) -> list[str]:
        """The heads of the loops."""
        if self.nested:
            return [_for(self.outer), _for(self.inner)]
        return [_for(self.inner) if self.inner else f"for _ in range({self.loop.shape[0] * self.loop.shape[1]})"]

    def comprehension(self, item: tuple[Value, str]) -> list[str]:
        """The loop, if one list is all that it makes."""
        value, name = item
        assignments = [f"for {target} in [{source}]" for target, source in self.assigned]
        return [f"{name} = [", *[f"    {line}" for line in (self.written[value], *self.headers(), *assignments)], "]"]

    def statements(self, lists: Mapping[Value, str]) -> list[str]:
        """The loop, if it makes several lists."""
        lines = [f"{name} = []" for name in lists.values()]
        headers = self.headers() if lists else []
        lines += [f"{'    ' * depth}{header}:" for depth, header in enumerate(headers)]
        inside = [f"{target} = {source}" for target, source in self.assigned]
        inside += [f"{name}.append({self.written[value]})" for value, name in lists.items()]
        return lines + ["    " * len(headers) + line for line in inside]


def _vector(name: str, k: int) -> str:
    return f"({', '.join(f'{name}{i}' for i in range(k))},)"


def _for(taken: Mapping[str, str]) -> str:
    """The head of a loop that takes elements side by side."""
    if len(taken) == 1:
        ((target, source),) = taken.items()
        return f"for {target} in {source}"
    return f"for {', '.join(taken)} in zip({', '.join(taken.values())})"
