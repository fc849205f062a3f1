"""A Program: one captured step as data, for passes to improve and a backend to run.

It is in single-assignment form: an instruction makes a new value and changes none, so a pass never asks what was
overwritten when. What the step writes in place is in `updates`: the value that a state (or an argument) holds when the
step is done. Whether that value is computed in the state's own memory is decided at the end, by the planner.
After the jaxprs of JAX and the tapes of MLX's compile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import Shape
from pycrograd_core.op import INDEX_DTYPE, Op

if TYPE_CHECKING:
    from pycrograd_core.matrix import Matrix

WIDTHS = {"float32": 4, "float64": 8, "int32": 4}  # bytes of an element


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """A matrix that a program takes or makes: two values are the same if they are one object."""

    shape: Shape
    dtype: str

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.shape[0] * self.shape[1]

    @property
    def bytes(self) -> int:
        """What the elements take."""
        return self.size * WIDTHS[self.dtype]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that every replay shares: `content` is the number that fills it, or its elements as row-major bytes."""

    content: float | bytes

    @property
    def bits(self) -> str | bytes:
        """What tells constants apart: -0.0 is not 0.0, and a nan is itself."""
        return self.content if isinstance(self.content, bytes) else self.content.hex()

    def made(self, matrix: type[Matrix], like: Value) -> Matrix:
        """The constant as a matrix of a backend, in the shape and dtype of the value that it is."""
        if isinstance(self.content, bytes):
            return matrix.from_host(self.content, *like.shape, like.dtype)
        return matrix.full(*like.shape, self.content if like.dtype != INDEX_DTYPE else int(self.content), like.dtype)


@dataclass(frozen=True, eq=False, slots=True)
class Instruction:
    """`output` = `op(*inputs, **params)`."""

    op: Op
    inputs: tuple[Value, ...]
    params: Mapping[str, Any]
    output: Value

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The one output, as regions have them."""
        return (self.output,)

    @property
    def flops(self) -> int:
        """Floating-point operations, a multiply-add as two."""
        if self.op.flops is not None:
            return self.op.flops(*self.inputs, **self.params)
        return self.output.size


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """Instructions that a backend may run in one piece. Run one after the other they compute the same.

    `kind` says why they belong together (see `passes`). `inputs` are the values that come from outside, `outputs` those
    that are used outside; all others need never exist in memory.
    """

    kind: str
    body: tuple[Step, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def flops(self) -> int:
        """Floating-point operations of the body."""
        return sum(step.flops for step in self.body)


Step = Instruction | Region


@dataclass(frozen=True, eq=False)
class Program:
    """One step of `matrix`'s backend.

    `arguments` are given at each call, `states` are matrices that live on between calls (parameters, what an optimiser
    remembers, its rate), `feeds` are values that the host makes anew for each step by calling a function (dropout's
    masks), `constants` never change. `updates` says what the states and arguments that are written hold afterwards.

    A program with `stacked` arguments is a loop of many steps: these arguments come as the values of all steps, one
    below the other, and so do the outputs go; states carry over from step to step.
    """

    matrix: type[Matrix]
    arguments: tuple[Value, ...]
    body: tuple[Step, ...]
    outputs: tuple[Value, ...]
    states: Mapping[Value, Matrix] = field(default_factory=dict)
    feeds: Mapping[Value, Callable[[int, int], Any]] = field(default_factory=dict)
    constants: Mapping[Value, Constant] = field(default_factory=dict)
    updates: Mapping[Value, Value] = field(default_factory=dict)
    stacked: frozenset[Value] = frozenset()

    @property
    def inputs(self) -> tuple[Value, ...]:
        """All values that exist before the first instruction."""
        return (*self.arguments, *self.states, *self.feeds, *self.constants)

    @property
    def results(self) -> tuple[Value, ...]:
        """All values that are needed after the last instruction: the outputs, and what is written to states."""
        return (*self.outputs, *self.updates.values())

    @property
    def instructions(self) -> Iterator[Instruction]:
        """All instructions in order, those within regions too."""
        return flat(self.body)

    def with_body(self, body: Iterable[Step], **changes: Any) -> Program:
        """This program with other steps, which make the same results."""
        return replace(self, body=tuple(body), **changes)

    @property
    def flops(self) -> int:
        """Floating-point operations of a step."""
        return sum(step.flops for step in self.body)

    def names(self) -> dict[Value, str]:
        """A short name for each value, by where it comes from: x0 argument, s0 state, f0 feed, c0 constant, v0 made."""
        named: dict[Value, str] = {}
        for letter, values in (
            ("x", self.arguments),
            ("s", self.states),
            ("f", self.feeds),
            ("c", self.constants),
            ("v", [instruction.output for instruction in self.instructions]),
        ):
            for number, value in enumerate(values):
                named[value] = f"{letter}{number}"
        return named

    def signature(self) -> tuple[Any, ...]:
        """What two programs that compute the same from the same states have in common; hashable."""
        names = self.names()

        def described(step: Step) -> tuple[Any, ...]:
            if isinstance(step, Region):
                return (step.kind, tuple(map(described, step.body)), tuple(names[v] for v in step.outputs))
            params = tuple(sorted(step.params.items()))
            return (step.op.name, tuple(names[v] for v in step.inputs), params, step.output.shape, step.output.dtype)

        return (
            self.matrix,
            tuple((v.shape, v.dtype, v in self.stacked) for v in self.arguments),
            tuple((id(matrix), v.shape) for v, matrix in self.states.items()),
            tuple((draw, v.shape, v.dtype) for v, draw in self.feeds.items()),
            tuple((constant.bits, v.shape, v.dtype) for v, constant in self.constants.items()),
            tuple(map(described, self.body)),
            tuple(names[v] for v in self.outputs),
            tuple((names[k], names[v]) for k, v in self.updates.items()),
        )

    def __str__(self) -> str:
        from .show import listing

        return listing(self)


def flat(body: Iterable[Step]) -> Iterator[Instruction]:
    """The instructions of steps, in order."""
    for step in body:
        if isinstance(step, Region):
            yield from flat(step.body)
        else:
            yield step


def region(kind: str, body: Sequence[Step], needed: Callable[[Value], bool]) -> Region:
    """A region of steps; `needed` says which values are used outside it."""
    made = [value for step in body for value in step.outputs]
    inside = set(made)
    inputs = dict.fromkeys(value for step in body for value in step.inputs if value not in inside)
    return Region(kind, tuple(body), tuple(inputs), tuple(value for value in made if needed(value)))


def uses(body: Iterable[Step]) -> dict[Value, list[int]]:
    """For each value, the positions of the steps that read it (once for each time that they do)."""
    found: dict[Value, list[int]] = {}
    for position, step in enumerate(body):
        for value in step.inputs:
            found.setdefault(value, []).append(position)
    return found


def check(program: Program) -> None:
    """Assert that every value is made once and before it is used, and has the shape that its op gives it."""
    known = set(program.inputs)
    assert len(known) == len(program.inputs), "an input appears twice"

    def walk(body: Iterable[Step], known: set[Value]) -> None:
        for step in body:
            for value in step.inputs:
                assert value in known, f"{step} reads a value that is not made yet"
            if isinstance(step, Region):
                inner = set(step.inputs)
                walk(step.body, inner)
                assert set(step.outputs) <= inner, f"{step.kind}: an output is not made inside"
            else:
                assert step.output not in known, "a value is made twice"
                if step.op.shape is not None:
                    assert step.op.result_shape(step.inputs, step.params) == step.output.shape  # type: ignore[arg-type]
            known.update(step.outputs)

    walk(program.body, known)
    assert set(program.results) <= known, "a result is never made"
    for target, value in program.updates.items():
        assert target in program.states or target in program.arguments
        assert (target.shape, target.dtype) == (value.shape, value.dtype)
    assert not math.isnan(program.flops)
