"""Row-local regions: what a backend can run as one sweep over blocks of rows, with no row waiting for another."""

from __future__ import annotations

from dataclasses import dataclass, field

from pycrograd_core import ops

from ..program import Instruction, Program, Step, Value, flat
from .order import Group, Order

OVER_ROWS = {ops.sum, ops.mean, ops.max, ops.min}
LOSSES = {ops.cross_entropy, ops.count_correct, ops.mean_squared_error, ops.max_margin, ops.count_same_sign}


def row_local_regions(program: Program) -> Program:
    """The program with "rows" regions, which hold regions of the other kinds and single instructions.

    A region works on n rows, n > 1: no value made inside has another number above 1. A backend may rely on this:

    - Every value made inside has n rows, but for reductions. Row i of it needs, of what its instruction's
      `rows_from` names, row i alone: these inputs have n rows, and are made inside or outside.
    - All else that an instruction reads (weights, biases, 1×1 numbers) it may need whole, and that is made outside.
    - A reduction is a `sum`, `mean`, `max` or `min` over axis 0 or all, or a loss or count (LOSSES): one result for all
      rows together, of values of n rows. It is read outside the region alone. So a "cross_entropy" region inside may
      end with the loss, while the gradient with respect to the logits goes on.
    - At least two steps, and one that is not elementwise.

    Products with transpose_a are outside, and so are regions of the kind "update".
    """
    order = Order(program)
    for step in program.body:
        found = None if getattr(step, "kind", "") == "update" else _locality(step)
        if found is None:
            order.add(step)
            continue
        group = _joined(order, step, found)
        if group is None and not found.only_reduces:
            group = Group(found.rows)
        order.add(step, group)

    def worthwhile(body: list[Step]) -> bool:
        return len(body) > 1 and any(not each.op.elementwise and each.output.shape[0] > 1 for each in flat(body))

    return order.finish("rows", worthwhile)


@dataclass(slots=True)
class _Locality:
    """How a step depends on the rows of what it reads."""

    rows: int
    local: dict[Value, None] = field(default_factory=dict)  # in row i of what it makes it needs row i of these
    whole: dict[Value, None] = field(default_factory=dict)  # it may need all of these
    only_reduces: bool = True


def _locality(step: Step) -> _Locality | None:
    """None for a step that is not row-local."""
    found: _Locality | None = None
    inside: set[Value] = set()
    for each in flat((step,)):
        if not each.inputs:
            return None
        local = each.op.rows_from(each.inputs, each.params)  # type: ignore[arg-type]
        reduces = local is None and _reduces(each)
        if local is None and not reduces:
            return None
        rows = each.inputs[0].shape[0] if reduces else each.output.shape[0]
        if found is None:
            found = _Locality(rows)
        if rows != found.rows or rows < 2:
            return None
        for position, value in enumerate(each.inputs):
            if reduces or position in local:  # type: ignore[operator]
                if value.shape[0] != rows:
                    return None
                if value not in inside:
                    found.local[value] = None
            elif value in inside:
                return None
            else:
                found.whole[value] = None
        inside.add(each.output)
        found.only_reduces = found.only_reduces and reduces
    return found


def _reduces(instruction: Instruction) -> bool:
    return instruction.op in LOSSES or (instruction.op in OVER_ROWS and instruction.params.get("axis") != 1)


def _joined(order: Order, step: Step, found: _Locality) -> Group | None:
    """The group that a step joins, after all others that it connects with have been merged into it if they can be."""
    apart = [order.group(value) for value in found.whole]
    candidates: list[Group] = []
    for value in found.local:
        group = order.group(value)
        if group is not None and group.tag == found.rows and group not in candidates and group not in apart:
            candidates.append(group)
    choices = [
        (target, [group for group in candidates if group is not target and order.mergeable(group, target)])
        for target in candidates
    ]
    choices.sort(key=lambda choice: (-len(choice[1]), -len(choice[0].members)))
    for target, others in choices:
        if order.admits(target, step, others):
            for group in others:
                target = order.merge(group, target)
            return target
    return None
