"""Elementwise fusion: connected ops of one shape in one pass over memory, with what is summed of them at the end."""

from __future__ import annotations

from pycrograd_core import ops

from ..program import Instruction, Program, Value
from .order import Group, Order

REDUCTIONS = {ops.sum, ops.mean, ops.max, ops.min}
LONGEST = 128  # instructions: a longer one takes long to compile, and has more inputs than a kernel may


def fuse_elementwise(program: Program) -> Program:
    """The program with "elementwise" regions.

    All steps of a region are instructions: elementwise ones whose results have one shape and dtype (what they read may
    broadcast), each connected to the others, and reductions of these results: `sum`, `mean`, `max` or `min`, over an
    axis or all. What a reduction makes is read outside the region alone.
    """
    order = Order(program)
    reduced: set[Value] = set()
    for step in program.body:
        group: Group | None = None
        if isinstance(step, Instruction):
            if step.op.elementwise:
                group = _joined(order, step, reduced)
            elif step.op in REDUCTIONS and step.inputs[0] not in reduced:
                group = order.group(step.inputs[0])
                if group is not None and (group.closed or len(group.members) >= LONGEST):
                    group = None
                if group is not None:
                    reduced.add(step.output)
        order.add(step, group)
    return order.finish("elementwise")


def _joined(order: Order, step: Instruction, reduced: set[Value]) -> Group:
    """The group of an elementwise step: those of what it reads become one."""
    tag = (step.output.shape, step.output.dtype)
    joined: list[Group] = []
    beyond: list[Group] = []  # it reads what they reduce, so it comes after them
    for value in step.inputs:
        group = order.group(value)
        if group is None or group.closed or group.tag != tag:
            continue
        if value in reduced:
            beyond.append(group)
        elif group not in joined:
            joined.append(group)
    result: Group | None = None
    for group in joined:
        if group in beyond:
            continue
        if result is None:
            result = group if len(group.members) < LONGEST else None
        elif len(result.members) + len(group.members) < LONGEST:
            result = order.merge(group, result)
    return result or Group(tag)
