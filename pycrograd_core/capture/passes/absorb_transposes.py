"""Transposes that need not happen: a product can read its operands transposed, and two undo each other."""

from __future__ import annotations

from typing import Any

from pycrograd_core.ops import matmul, reshape, transpose

from ..program import Instruction, Program, Step, Value
from .renaming import renamed, rewritten


def absorb_transposes(program: Program) -> Program:
    """The program whose products read what was transposed for them where it was: matmul(xᵀ, y) is a matmul of x and y.

    xᵀᵀ, and x reshaped to its own shape, are x. Transposes that nobody reads any more are left to `dead_code`.

    The same products are summed. In which order is the kernel's own: a BLAS has another one for a transposed operand
    in some shapes (a single row or column, both operands transposed, xᵀx), so the last bits may differ there.
    """
    names: dict[Value, Value] = {}
    transposed: dict[Value, Value] = {}  # a transpose: what it is the transpose of
    body: list[Step] = []
    absorbed = False
    for old in program.body:
        step = renamed(old, names)
        if isinstance(step, Instruction):
            if step.op is transpose:
                x = step.inputs[0]
                if x in transposed:
                    names[step.output] = transposed[x]
                    continue
                transposed[step.output] = x
            elif step.op is reshape and step.inputs[0].shape == step.output.shape:
                names[step.output] = step.inputs[0]
                continue
            elif step.op is matmul and (step.inputs[0] in transposed or step.inputs[1] in transposed):
                step = _absorbing(step, transposed)
                absorbed = True
        body.append(step)
    return rewritten(program, body, names) if names or absorbed else program


def _absorbing(product: Instruction, transposed: dict[Value, Value]) -> Instruction:
    inputs = []
    params: dict[str, Any] = {}
    for value, name in zip(product.inputs, ("transpose_a", "transpose_b"), strict=True):
        flag = product.params.get(name, False)
        if value in transposed:
            value, flag = transposed[value], not flag
        inputs.append(value)
        if flag:
            params[name] = True
    return Instruction(matmul, tuple(inputs), params, product.output)
