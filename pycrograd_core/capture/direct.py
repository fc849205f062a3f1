"""A call of a captured step as straight-line code: every check and every effect of one entry, with nothing looked up.

A small step computes for some tens of microseconds and leaves the caches full of numbers. What Python then does between
two steps runs cold, at several times its usual cost; so it is made short. It does what `Entry.holds` and `Entry.call`
do, for the usual arguments, and leaves all others to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycrograd_core.autograd import CLOCK, MODE
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.tensor import Tensor

from .entry import Entry
from .results import without_graph

DECLINED = object()


def direct(entry: Entry, tensors: list[Tensor], recording: bool) -> Callable[..., Any] | None:
    """A function of the arguments that makes one step, or returns DECLINED and has done nothing.

    None for steps that read gradients of earlier ones, or whose arguments are given gradients, written or states.
    """
    if not entry.plain or entry.run is None or any(x.requires_grad for x in tensors):
        return None
    bound: dict[str, Any] = {
        "MODE": MODE, "CLOCK": CLOCK, "Tensor": Tensor, "DECLINED": DECLINED, "hold": entry.guards.hold,
        "run": entry.run, "states": entry.states,
    }  # fmt: skip

    def name(value: Any) -> str:
        bound[f"k{len(bound)}"] = value
        return f"k{len(bound) - 1}"

    declined: list[str] = ["MODE.watch is not None", f"MODE.recording is not {recording}"]
    arguments: list[str] = []
    values: list[str] = []
    lines: list[str] = []
    for number, x in enumerate(tensors):
        given, value = f"x{number}", f"v{number}"
        arguments.append(given)
        lines += [
            f"if type({given}) is not Tensor or {given}.requires_grad: return DECLINED",
            f"{value} = {given}.value",
        ]
        declined += [
            f"type({value}) is not {name(type(x.value))}",
            f"{given}.shape != {x.shape}",
            f"{value}.dtype != {x.dtype!r}",
            f"id({value}) in states",
            *(f"{value} is {other}" for other in values),
        ]
        values.append(value)
    held: dict[int, str] = {}
    for x, matrix, requires_grad, hooks in entry.held:
        if hooks:
            return None
        held[id(x)] = tensor = name(x)
        declined.append(f"{tensor}.value is not {name(matrix)}")
        declined.append(f"{tensor}.requires_grad is not {requires_grad}")
        declined.append(f"{tensor}.hooks")
    for x, was_empty in entry.empty:
        declined.append(f"({held.get(id(x)) or name(x)}.grad is None) is not {was_empty}")
    for x, requires_grad in entry.flags:
        declined.append(f"{name(x)}.requires_grad is not {requires_grad}")
    declined.append("not hold()")
    lines += [f"if {condition}: return DECLINED" for condition in declined]
    for position, state, op, extent in entry.bounds:
        indices = name(state) if position is None else values[position]
        lines.append(f"limits = {indices}.limits")
        within = f"limits is not None and 0 <= limits[0] and limits[1] < {extent}"
        lines.append(f"if not ({within}): {indices}.check_indices({name(op)}, {extent})")
    lines.append("CLOCK.now = now = CLOCK.now + 1")
    for matrix in entry.written:
        lines.append(f"{name(matrix)}.written = now")
        if matrix.dtype == INDEX_DTYPE:
            lines.append(f"{name(matrix)}.limits = None")
    lines.append(f"outputs = run({', '.join(values)})")
    for target, gradient in entry.traced.gradients:
        kept = f"Tensor.of(outputs[{gradient}])" if isinstance(gradient, int) else name(gradient)
        lines.append(f"{held.get(id(target)) or name(target)}.grad = {kept}")
    template = entry.traced.template
    if template.alone:
        make = without_graph if template.description[0][2] else Tensor.of
        lines.append(f"return {name(make)}(outputs[0])")
    else:
        lines.append(f"return {name(template.build)}(outputs, [{', '.join(arguments)}])")
    parameters = ", ".join([*arguments, "*", *(f"{each}={each}" for each in bound)])
    source = f"def call({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(source, "<captured step>", "exec"), bound)  # noqa: S102  no text of a user's is in it
    call: Callable[..., Any] = bound["call"]
    return call
