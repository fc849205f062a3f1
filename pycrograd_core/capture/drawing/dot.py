"""A Program in Graphviz's language, for who wants to lay it out or style it: a node for each op, a cluster a region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..program import Program, Region, Step, Value
from ..show import call, dimensions, labels

KINDS = {  # of what goes in and comes out
    "argument": 'shape=box, style="rounded,filled", fillcolor="#e0edff", color="#1d4ed8"',
    "state": 'shape=cylinder, style=filled, fillcolor="#fdf0d5", color="#b45309"',
    "feed": 'shape=parallelogram, style=filled, fillcolor="#efe7fd", color="#6d28d9"',
    "constant": 'shape=box, style=filled, fillcolor="#eef0f3", color="#7b8794"',
    "output": 'shape=box, style="rounded,filled,bold", fillcolor="#dcf5e3", color="#15803d"',
}
GRAPH = 'fontname="Helvetica", bgcolor="#ffffff", rankdir=TB, nodesep=0.25, ranksep=0.35'
NODE = 'fontname="Courier", fontsize=11, shape=box, style=filled, fillcolor="#f5f7fa", color="#9aa5b1"'
EDGE = 'fontname="Helvetica", fontsize=9, color="#7b8794", arrowsize=0.6'
CLUSTER = 'style="rounded,filled", fillcolor="#e3f2f055", color="#0f766e", fontsize=11'


def dot(program: Program, names: Mapping[Value, str] | None = None, title: str = "a step") -> str:
    """The text of a .dot file. `names` are of values that have a better one than their number."""
    known = labels(program, names or {})
    numbered: dict[Value, str] = {}
    lines = [f"digraph {quoted(title)} {{", f"  graph [{GRAPH}, label={quoted(title)}, labelloc=t]"]
    lines += [f"  node [{NODE}]", f"  edge [{EDGE}]"]
    for kind, values in (
        ("argument", program.arguments),
        ("state", program.states),
        ("feed", program.feeds),
        ("constant", program.constants),
    ):
        for value in values:
            numbered[value] = f"i{len(numbered)}"
            lines.append(_node(numbered[value], f"{known[value]}\n{dimensions(value)}", KINDS[kind]))
    for number, instruction in enumerate(program.instructions):
        numbered[instruction.output] = f"v{number}"
    lines += _steps(program.body, numbered, known, "  ", "cluster")
    for step in program.instructions:  # outside the clusters: an edge within one would draw its source into it
        for value in step.inputs:
            lines.append(f"  {numbered[value]} -> {numbered[step.output]} [label={quoted(dimensions(value))}]")
    for number, value in enumerate(program.outputs):
        lines.append(_node(f"o{number}", f"{known[value]}\n{dimensions(value)}", KINDS["output"]))
        lines.append(f"  {numbered[value]} -> o{number}")
    for number, (target, value) in enumerate(program.updates.items()):
        lines.append(_node(f"u{number}", f"{known[target]} ←", KINDS["state"]))
        lines.append(f'  {numbered[value]} -> u{number} [color="#b45309"]')
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """A string of the language: what would end it or be an escape is escaped, a new line is one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _steps(
    body: Iterable[Step], numbered: Mapping[Value, str], known: Mapping[Value, str], indent: str, path: str
) -> Iterator[str]:
    """Nodes and what they read, with a cluster around each region."""
    for position, step in enumerate(body):
        if isinstance(step, Region):
            name = f"{path}_{position}"
            yield f"{indent}subgraph {name} {{"
            yield f"{indent}  graph [{CLUSTER}, label={quoted(step.kind)}]"
            yield from _steps(step.body, numbered, known, indent + "  ", name)
            yield f"{indent}}}"
            continue
        tip = f"tooltip={quoted(f'{step.flops:,} FLOPs, {step.output.dtype}, {step.output.bytes:,} bytes')}"
        text = f"{call(step, known)}\n{known[step.output]} {dimensions(step.output)}"
        yield _node(numbered[step.output], text, tip, indent)


def _node(name: str, text: str, style: str, indent: str = "  ") -> str:
    return f"{indent}{name} [label={quoted(text)}, {style}]"
