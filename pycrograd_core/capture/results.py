"""What a step returns: its tensors from the outputs of a program, in the containers that the step put them in."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pycrograd_core.autograd import Node, no_grad
from pycrograd_core.errors import CaptureError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import TABLE, Op
from pycrograd_core.tensor import Tensor

from .misuse import NO_GRAPH
from .symbolic import SymbolicMatrix, forgotten

Make = Callable[[Sequence[Matrix], Sequence[Tensor]], Tensor]  # of (outputs, arguments)
Arrange = Callable[[Sequence[Tensor]], Any]


@dataclass(frozen=True)
class Kept:
    """A tensor that exists apart from the trace, and its position if it is an argument."""

    tensor: Tensor
    position: int | None


@dataclass(frozen=True)
class Template:
    """How to make a step's result. Equal descriptions mean equal results of equal outputs.

    `makes` makes each tensor of it once, `arrange` puts them where they belong. `refers`: it hands out tensors that
    exist apart from the step, or memory of theirs.
    """

    makes: tuple[Make, ...]
    arrange: Arrange
    description: tuple[Any, ...]
    refers: bool

    @property
    def alone(self) -> bool:
        """Whether the result is nothing but the first output."""
        return self.description in ((("output", 0, True), ("tensor", 0)), (("output", 0, False), ("tensor", 0)))

    def build(self, outputs: Sequence[Matrix], arguments: Sequence[Tensor]) -> Any:
        """The result."""
        return self.arrange([make(outputs, arguments) for make in self.makes])


def templated(
    result: Any, kept: Mapping[int, Kept], places: Mapping[int, Matrix], arguments: Sequence[Matrix]
) -> tuple[Template, list[SymbolicMatrix]]:
    """How to build a result, and the symbolic matrices that become outputs of the program, in order.

    `kept` holds by id the tensors that are returned as they are, `places` by the id of a symbolic matrix the memory
    that it stands for: a tensor that shares it (`detach`) still does. `arguments` are the symbols of the arguments.
    """
    building = _Building(kept, places, {id(x): position for position, x in reversed(list(enumerate(arguments)))})
    arrange = building.value(result)
    template = Template(tuple(building.makes), arrange, tuple(building.description), building.refers)
    return template, building.outputs


class _Building:
    def __init__(self, kept: Mapping[int, Kept], places: Mapping[int, Matrix], positions: Mapping[int, int]) -> None:
        self.kept, self.places, self.positions = kept, places, positions
        self.outputs: list[SymbolicMatrix] = []
        self.description: list[Any] = []
        self.refers = False
        self.makes: list[Make] = []
        self._numbers: dict[int, int] = {}

    def value(self, value: Any) -> Arrange:
        """How to arrange any part of a result."""
        if isinstance(value, Tensor):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self.makes)
                self.makes.append(self.tensor(value))
            number = self._numbers[id(value)]
            self.description.append(("tensor", number))
            return operator.itemgetter(number)
        if isinstance(value, (tuple, list)):
            self.description.append((type(value), len(value)))
            parts, container = [self.value(each) for each in value], type(value)
            if hasattr(value, "_fields"):
                return lambda tensors: container(*[part(tensors) for part in parts])
            return lambda tensors: container([part(tensors) for part in parts])
        if isinstance(value, dict):
            self.description.append((dict, tuple(value)))
            items = {key: self.value(each) for key, each in value.items()}
            return lambda tensors: {key: item(tensors) for key, item in items.items()}
        if value is None or isinstance(value, (bool, int, float, str)):
            self.description.append((type(value), repr(value)))
            return lambda tensors: value
        raise CaptureError(
            f"a captured step returns a {type(value).__name__}: return tensors, numbers, text or None, "
            "in tuples, lists and dictionaries"
        )

    def tensor(self, x: Tensor) -> Make:
        """How to make a tensor: it is one that exists, or shares memory with one, or is an output."""
        if id(x) in self.kept:
            position, itself = self.kept[id(x)].position, self.kept[id(x)].tensor
            self.description.append(("kept", id(itself) if position is None else position))
            self.refers = True
            return (lambda outputs, given: itself) if position is None else (lambda outputs, given: given[position])
        if id(x.value) in self.positions:
            shared, self.refers = self.positions[id(x.value)], True
            self.description.append(("shared", shared))
            return lambda outputs, given: Tensor.of(given[shared].value)
        if id(x.value) in self.places:
            memory, self.refers = self.places[id(x.value)], True
            self.description.append(("memory", id(memory)))
            return lambda outputs, given: Tensor.of(memory)
        if not isinstance(x.value, SymbolicMatrix):
            self.description.append(("other", id(x)))
            return lambda outputs, given: x
        number = len(self.outputs)
        self.outputs.append(x.value)
        self.description.append(("output", number, x.requires_grad))
        if x.requires_grad:
            return lambda outputs, given: without_graph(outputs[number])
        return lambda outputs, given: Tensor.of(outputs[number])


def without_graph(value: Matrix) -> Tensor:
    """An output that required a gradient inside the step."""
    tensor = Tensor.of(value, True)
    tensor.node = _no_graph()
    return tensor


def _refuse(*_operands: Any, **_params: Any) -> Any:
    raise CaptureError(NO_GRAPH)


@cache
def _no_graph() -> Node:
    """In place of the graph of an output: a backward pass that comes here raises CaptureError."""
    step = Op("captured step", "What a captured step returned.", None, (_refuse,))
    return Node(step, (Tensor.of(forgotten((1, 1), "float32", NO_GRAPH), True),), {})


def copied(result: Any) -> Any:
    """A step's result with memory of its own, which later steps do not write to."""
    if isinstance(result, Tensor):
        with no_grad():
            return TABLE["reshape"](result, rows=result.rows, cols=result.cols)
    if isinstance(result, (tuple, list)):
        parts = list(map(copied, result))
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return {key: copied(each) for key, each in result.items()} if isinstance(result, dict) else result


def stacked(results: Sequence[Any]) -> Any:
    """The results of several steps as one, each tensor below the one of the step before."""
    first = results[0]
    if isinstance(first, Tensor):
        with no_grad():
            return TABLE["concat"](*results, axis=0)
    if isinstance(first, (tuple, list)):
        parts = [stacked(each) for each in zip(*results, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, dict):
        return {key: stacked([result[key] for result in results]) for key in first}
    return first
