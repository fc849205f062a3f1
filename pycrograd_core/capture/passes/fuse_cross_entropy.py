"""Softmax cross-entropy, its gradient and the count of correct rows in one piece: they share the exponentials."""

from __future__ import annotations

from pycrograd_core.ops import count_correct, cross_entropy, cross_entropy_gradient

from ..program import Instruction, Program, Value
from .order import Group, Order

OPS = {cross_entropy, cross_entropy_gradient, count_correct}


def fuse_cross_entropy(program: Program) -> Program:
    """The program with "cross_entropy" regions.

    A region holds two or more of `cross_entropy`, `cross_entropy_gradient` and `count_correct`, each as often as it
    comes, all of the same logits and labels, in any order. The gradient's first input, 1×1, comes from outside or is
    the loss of the same region.
    """
    if not any(isinstance(step, Instruction) and step.op in OPS for step in program.body):
        return program
    order = Order(program)
    groups: dict[tuple[Value, Value], Group] = {}
    for step in program.body:
        if not isinstance(step, Instruction) or step.op not in OPS:
            order.add(step)
            continue
        logits, labels = step.inputs[-2:]
        group = groups.get((logits, labels))
        if group is None or not order.admits(group, step):
            group = groups[logits, labels] = Group(None)
        order.add(step, group)
    return order.finish("cross_entropy")
