"""Dead code: what no output and no update needs."""

from __future__ import annotations

from ..program import Program, Step


def dead_code(program: Program) -> Program:
    """The program without steps whose results nobody needs, constants nobody reads, states neither read nor written.

    Arguments and feeds stay: every call gives the ones, and every step draws the others, whoever reads them.
    """
    needed = set(program.results)
    kept: list[Step] = []
    for step in reversed(program.body):
        if any(value in needed for value in step.outputs):
            kept.append(step)
            needed.update(step.inputs)
    states = {value: held for value, held in program.states.items() if value in needed or value in program.updates}
    constants = {value: held for value, held in program.constants.items() if value in needed}
    lengths = len(kept), len(states), len(constants)
    if lengths == (len(program.body), len(program.states), len(program.constants)):
        return program
    return program.with_body(reversed(kept), states=states, constants=constants)
