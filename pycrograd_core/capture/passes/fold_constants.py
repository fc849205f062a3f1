"""Constant folding: what depends on constants alone is computed now, on the backend itself, for the same bits."""

from __future__ import annotations

import math
import struct

from pycrograd_core.matrix import FORMATS, Matrix
from pycrograd_core.op import FLOAT_DTYPES

from ..program import Constant, Instruction, Program, Step, Value

MOST_ELEMENTS = 4096  # of a result that is kept: a greater one may be cheaper to compute than to store


def fold_constants(program: Program) -> Program:
    """The program in which every small result of constants alone is a constant."""
    if not program.constants:
        return program
    constants = dict(program.constants)
    matrices: dict[Value, Matrix] = {}

    def matrix(value: Value) -> Matrix:
        if value not in matrices:
            matrices[value] = constants[value].made(program.matrix, value)
        return matrices[value]

    body: list[Step] = []
    for step in program.body:
        if not isinstance(step, Instruction) or not step.inputs or step.output.size > MOST_ELEMENTS:
            body.append(step)
            continue
        for value in step.inputs:
            if value not in constants:
                body.append(step)
                break
        else:
            result = Matrix.evaluate(step.op, [matrix(value) for value in step.inputs], step.params)
            matrices[step.output] = result
            constants[step.output] = _content(result)
    if len(body) == len(program.body):
        return program
    return program.with_body(body, constants=constants)


def _content(result: Matrix) -> Constant:
    """The number that fills a matrix, if one does and says all: -0.0 equals 0.0, and nan not even itself."""
    data = memoryview(result.to_host()).tobytes()
    if data and result.dtype in FLOAT_DTYPES:
        first = data[: struct.calcsize(FORMATS[result.dtype])]
        number: float = struct.unpack(FORMATS[result.dtype], first)[0]
        told = number > 0 or number < 0 or math.copysign(1, number) > 0
        if told and not math.isnan(number) and data == first * (len(data) // len(first)):
            return Constant(number)
    return Constant(data)
