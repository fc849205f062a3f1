"""Epilogues: what is done to each element of a product while it is still at hand."""

from __future__ import annotations

import math
from bisect import bisect_right

from pycrograd_core.ops import linear, matmul

from ..program import Instruction, Program, Value, uses
from .order import Group, Order

PRODUCTS = {matmul, linear}


def fuse_products(program: Program) -> Program:
    """The program with "product" regions.

    The first step of a region is a `matmul` or a `linear`. Each further one is elementwise, of the product's shape and
    dtype, and reads the result of the one before it; all else that it reads comes from outside the region, and may
    broadcast. The last result is an output, and so is each other that is also read outside: only where that comes
    later than the first use of the next one. If it comes sooner, what follows needs both and is better off together.
    """
    if not any(isinstance(step, Instruction) and step.op in PRODUCTS for step in program.body):
        return program
    order = Order(program)
    readers = uses(program.body)
    for value in program.results:
        readers.setdefault(value, []).append(len(program.body))
    for position, step in enumerate(program.body):
        group: Group | None = None
        if isinstance(step, Instruction):
            if step.op in PRODUCTS:
                group = Group(step.output)
            elif step.op.elementwise:
                group = _continued(order, step, position, readers)
                if group is not None:
                    group.tag = step.output  # the result that the next one must read
        order.add(step, group)
    return order.finish("product")


def _continued(order: Order, step: Instruction, position: int, readers: dict[Value, list[int]]) -> Group | None:
    """The product that a step goes on with: of two the later one."""
    best: Group | None = None
    for value in step.inputs:
        group = order.group(value)
        if group is None or group.closed or group.tag is not value or value.shape != step.output.shape:
            continue
        if value.dtype != step.output.dtype or (best is not None and best.place > group.place):
            continue
        if all(x is value or order.group(x) is not group for x in step.inputs):
            after = bisect_right(readers[value], position)
            again = readers[value][after : after + 1]
            if not again or _first_read(step.output, readers) < again[0]:
                best = group
    return best


def _first_read(value: Value, readers: dict[Value, list[int]]) -> float:
    return readers[value][0] if value in readers else math.inf
