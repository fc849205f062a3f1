"""How each step of a program is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from pycrograd_core.capture.plan import Plan
from pycrograd_core.capture.program import Instruction, Program, Region, Step, Value, flat
from pycrograd_core.op import INDEX_DTYPE

from ..expressions import ELEMENTWISE
from .code import Code
from .homes import parameters
from .places import Place
from .row_ops import LOSSES, OVER_ROWS, PRODUCTS, rows_of, sweepable, swept
from .rows import dtype_of
from .settings import Settings
from .task import Functions
from .updates import updatable

if TYPE_CHECKING:
    from ..devices import Device

LONG = 1 << 15  # terms of a sum, from which on it is added up part by part: the generator's kernels do not
ALONE = 1024  # elements that one work-item of a GPU reduces


class Way(Enum):
    """What does a step."""

    SWEEP = "row by row, through all of a region"
    UPDATE = "a parameter's gradient, and what becomes of the parameter"
    ELEMENTWISE = "each element on its own"
    SUMMED = "each element on its own, which is a sum"
    PRODUCT = "a kernel of its own, by the generator of products"
    EAGER = "the kernels of eager mode"


class Choice:
    """How each step is done. A region that nothing does in one piece is done step by step."""

    def __init__(self, code: Code, program: Program, device: Device, settings: Settings, grouped: bool) -> None:
        self.code = code
        self.blocked: dict[Value, int] = {}  # the values that sweeps leave in blocks
        self._settings = settings
        self._grouped = grouped
        self._cpu = device.is_cpu
        self._parameters = parameters(device)
        self._units = device.units
        self._updates = program.updates
        self._ways: dict[Step, Way | None] = {}

    def atomic(self, region: Region) -> bool:
        """Whether a region is done in one piece."""
        if len(region.inputs) + len(region.outputs) > self._parameters:
            return False
        if region.kind == "rows" and (self.code.lanes == 1 or self._starved(region)):
            return False  # its rows are too few to share out
        return self.way(region) is not None

    def way(self, step: Step) -> Way | None:
        """What does a step; None for a region that is done step by step."""
        if step not in self._ways:
            found = self._found(step)
            if found is None and not isinstance(step, Region):
                found = Way.EAGER
            self._ways[step] = found
        return self._ways[step]

    def _found(self, step: Step) -> Way | None:
        body = list(flat((step,)))
        if any(value.size == 0 for each in body for value in (*each.inputs, *each.outputs)):
            return None
        if isinstance(step, Region) and step.kind == "update":
            if not updatable(step) or self._reads_whole(step):
                return None
            return Way.UPDATE if self._cpu and not self._is_large(body) else self._summed(body)
        if all(each.op.elementwise and each.op.name in ELEMENTWISE for each in body) and not _mixed(body):
            return Way.ELEMENTWISE
        if not self._cpu and not self._grouped and any(map(_long, body)):
            return None  # a kernel of eager mode has many work-items reduce one sequence
        if self._large(step, body):
            return self._summed(body)
        if len(body) == 1 and body[0].op.name == "matmul" and body[0].params.get("transpose_a"):
            return None if body[0].params.get("transpose_b") else Way.UPDATE
        if not all(map(sweepable, inner(step))) or _mixed(body):
            return None
        return Way.SWEEP if all(map(_row_local, body)) else None

    def _is_large(self, body: Sequence[Instruction]) -> bool:
        return any(step.op.name in PRODUCTS and step.flops > self._settings.large for step in body)

    def _starved(self, step: Step) -> bool:
        """Whether products keep more of the device busy one by one than blocks of rows do, which go through all."""
        blocks = -(-rows_of(inner(step)) // self.code.lanes)
        few = 2 * blocks <= self._units and step.flops > self._settings.busy
        return few or self._is_large(list(flat((step,))))

    def _large(self, step: Step, body: Sequence[Instruction]) -> bool:
        """Whether a product, or on a GPU a sum over rows, is shared out element by element."""
        if isinstance(step, Region) and step.kind != "product":
            return False
        if any(each.op.name not in ELEMENTWISE for each in body[1:]) or _mixed(body):
            return False
        first = body[0]
        if first.op.name in PRODUCTS:
            return not self._cpu or self._starved(step)
        return not self._cpu and first.op.name == "sum" and first.params.get("axis") == 0

    def _summed(self, body: Sequence[Instruction]) -> Way:
        """What sums the elements of a product or of columns, with as many work-items as there are."""
        products = [step for step in body if step.op.name in PRODUCTS]
        if products and not self._grouped and products[0].flops <= 2 * LONG * products[0].output.size:
            return Way.PRODUCT
        return Way.SUMMED if any(step.op.name not in ELEMENTWISE for step in body) else Way.ELEMENTWISE

    def _reads_whole(self, region: Region) -> bool:
        """Whether the gradient is made of what the update overwrites."""
        overwritten = {target for target, value in self._updates.items() if value in region.outputs}
        made_of = (step for step in flat(region.body) if step.op.name not in ELEMENTWISE)
        return any(value in overwritten for step in made_of for value in step.inputs)

    def scratch(self, step: Step) -> int:
        """The bytes that a step needs while it is done."""
        if self.way(step) is not Way.SWEEP:
            return 0
        values = (*step.inputs, *step.outputs)
        outer = {value: Place(value, "arena", block=self.blocked.get(value, 0)) for value in values}
        return swept(replace(self.code, places=outer, functions=Functions()), inner(step), step.outputs, 0).size


def inner(step: Step) -> Sequence[Step]:
    """The steps of a sweep."""
    return step.body if isinstance(step, Region) and step.kind == "rows" else (step,)


def _long(step: Instruction) -> bool:
    """Whether many elements become one."""
    return step.op.name in OVER_ROWS and step.inputs[0].size > ALONE * step.output.size


def _row_local(step: Instruction) -> bool:
    if step.op.name in OVER_ROWS or step.op.name in LOSSES:
        return True
    return step.op.rows_from(step.inputs, step.params) is not None  # type: ignore[arg-type]


def _mixed(body: Sequence[Instruction]) -> bool:
    """Whether floats of two sizes meet, or integers are computed with."""
    floats = {v.dtype for step in body for v in (*step.inputs, step.output) if v.dtype != INDEX_DTYPE}
    computed = {step.output.dtype for step in body if step.op.name in ELEMENTWISE or step.op.name in OVER_ROWS}
    return len(floats) > 1 or INDEX_DTYPE in computed


def left_in_blocks(planned: Plan, chosen: Choice) -> dict[Value, int]:
    """What a sweep may leave in lanes: values that are read by updates alone, as the first operand of their product."""
    readers: dict[Value, list[Step]] = {}
    for step in planned.steps:
        for value in step.inputs:
            readers.setdefault(value, []).append(step)
    written = {value for _, value in planned.copies}
    found = {}
    for step in planned.steps:
        if chosen.way(step) is not Way.SWEEP:
            continue
        rows, block = rows_of(inner(step)), chosen.code.width(dtype_of(inner(step)))
        for value in step.outputs:
            fits = block > 1 and value.shape[0] == rows and rows % block == 0 and value.dtype != INDEX_DTYPE
            if not fits or value not in planned.roots or value in written:
                continue
            after = readers.get(value, ())
            if all(chosen.way(reader) is Way.UPDATE and _first_of_product(reader, value) for reader in after):
                found[value] = block
    return found


def _first_of_product(reader: Step, value: Value) -> bool:
    uses = [(each, position) for each in flat((reader,)) for position, x in enumerate(each.inputs) if x is value]
    return all(each.op.name == "matmul" and position == 0 for each, position in uses)
