"""What a sweep does for each kind of step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pycrograd_core.capture.program import Instruction, Region, Step, Value, flat

from ..c_types import SCALARS, CType
from ..expressions import ELEMENTWISE, expression
from .code import IN_TURN, Code, applied
from .layout import Rows, into_lanes
from .row_products import lane_product
from .rows import COMBINE, NEUTRAL, Sweep

PRODUCTS = ("matmul", "linear")
OVER_ROWS = ("sum", "mean", "max", "min")
LOSSES = ("cross_entropy", "count_correct")
CROSS_ENTROPY = (*LOSSES, "cross_entropy_gradient")
EMITTERS: dict[str, Callable[[Sweep, Instruction], None]] = {}


def swept(code: Code, steps: Sequence[Step], outputs: Sequence[Value], scratch: int) -> Sweep:
    """The sweep of row-local steps: `outputs` are what is read outside, its memory begins at `scratch` in the arena."""
    sweep = Sweep(code, steps, rows_of(steps), outputs, scratch)
    for position, step in enumerate(steps):
        _emit(sweep, step)
        sweep.settle(step, position)
    return sweep


def _emit(sweep: Sweep, step: Step) -> None:
    """Add the lines of an instruction or of a region within the region."""
    if isinstance(step, Region):
        body = list(flat(step.body))
        {"product": _product, "elementwise": _elementwise, "cross_entropy": _cross_entropy}[step.kind](
            sweep, body, step.outputs
        )
    elif step.op.name in PRODUCTS:
        _product(sweep, [step], step.outputs)
    elif step.op.name in CROSS_ENTROPY:
        _cross_entropy(sweep, [step], step.outputs)
    elif step.op.name in EMITTERS:
        EMITTERS[step.op.name](sweep, step)
    else:
        _elementwise(sweep, [step], step.outputs)


def sweepable(step: Step) -> bool:
    """Whether a sweep knows what to do with a row-local step."""
    if isinstance(step, Region):
        losses = {each.output for each in flat(step.body) if each.op.name == "cross_entropy"}
        return step.kind in ("product", "elementwise", "cross_entropy") and all(
            sweepable(each) and not losses.intersection(each.inputs) for each in step.body
        )
    name, params = step.op.name, step.params
    if name in OVER_ROWS or name in CROSS_ENTROPY or name in ELEMENTWISE:
        return True
    if name in PRODUCTS:
        return not params.get("transpose_a")
    if name in ("softmax", "log_softmax"):
        return params.get("axis", 1) == 1
    return name in EMITTERS


def rows_of(steps: Sequence[Step]) -> int:
    """The number of rows that row-local steps work on."""
    rows = 1
    for each in flat(steps):
        reduces = each.op.name in OVER_ROWS or each.op.name in CROSS_ENTROPY
        if not reduces or each.op.name == "cross_entropy_gradient":
            rows = max(rows, each.output.shape[0])
        else:
            rows = max(rows, each.inputs[0].shape[0])
    return rows


def _emits(name: str) -> Callable[[Callable[[Sweep, Instruction], None]], Callable[[Sweep, Instruction], None]]:
    def enter(emit: Callable[[Sweep, Instruction], None]) -> Callable[[Sweep, Instruction], None]:
        EMITTERS[name] = emit
        return emit

    return enter


# Products ------------------------------------------------------------------------------------------------------------


def _product(sweep: Sweep, body: Sequence[Instruction], outputs: Sequence[Value]) -> None:
    product = body[0]
    lane_product(sweep, product, body[1:], outputs)


def made(body: Sequence[Instruction]) -> set[Value]:
    """What instructions make."""
    return {step.output for step in body}


# Elementwise, and what is reduced of it ------------------------------------------------------------------------------


def _elementwise(sweep: Sweep, body: Sequence[Instruction], outputs: Sequence[Value]) -> None:
    """One loop over columns for all steps of one shape, then one for what reduces their results."""
    inside = made(body)
    sweep.prepare(list(dict.fromkeys(v for step in body for v in step.inputs if v not in inside)))
    columns = max(step.output.shape[1] if step.op.name not in OVER_ROWS else step.inputs[0].shape[1] for step in body)
    names: dict[Value, str] = {}
    before: list[str] = []
    within: list[str] = []
    after: list[str] = []
    parts: list[str] = []  # the names of sums over columns
    kept = [v for v in outputs if v in inside and not _reduces_rows(body, v)]
    targets = {value: sweep.new(value) for value in kept}
    for number, step in enumerate(body):
        if step.op.name in OVER_ROWS:
            found = _reduced(
                sweep, step, names.get(step.inputs[0]) or sweep.operand(step.inputs[0], "c"), f"r{number}", columns
            )
            before += found[0]
            within += found[1]
            after += found[2]
            if found[0] and COMBINE[step.op.name] == "add":
                parts.append(f"r{number}")
            if step.output in targets:
                after.append(sweep.ctype.store(f"r{number}", targets[step.output]))
            continue
        within.append(applied(step, names, lambda value: sweep.operand(value, "c"), sweep.ctype, f"e{number}"))
        if step.output in targets:
            within.append(sweep.ctype.store(names[step.output], f"{targets[step.output]} + c * {sweep.lanes}"))
    sweep.say("{", *before, *_over_columns(columns, sweep.ctype, within, parts), *after, "}")


def _over_columns(columns: int, kind: CType, within: Sequence[str], sums: Sequence[str]) -> list[str]:
    """The loop over columns `c`. Long sums are made of parts, so that they lose no digits."""
    if columns <= IN_TURN or not sums:
        return [f"for (int c = 0; c < {columns}; c++) {{", *within, "}"]
    kept = [f"const {kind} {name}_whole = {name}; {name} = 0;" for name in sums]
    return [
        f"for (int from = 0; from < {columns}; from += {IN_TURN}) {{",
        *kept,
        f"for (int c = from; c < min(from + {IN_TURN}, {columns}); c++) {{",
        *within,
        "}",
        *[f"{name} += {name}_whole;" for name in sums],
        "}",
    ]


def _reduces_rows(body: Sequence[Instruction], value: Value) -> bool:
    step = next(step for step in body if step.output is value)
    return step.op.name in OVER_ROWS and step.params.get("axis") != 1


def _reduced(
    sweep: Sweep, step: Instruction, operand: str, name: str, columns: int
) -> tuple[list[str], list[str], list[str]]:
    """What a reduction adds before, in and after the loop over columns."""
    kind, axis, x = step.op.name, step.params.get("axis"), step.inputs[0]
    if axis == 0:
        scale = 1.0 / x.shape[0] if kind == "mean" else 1.0
        return [], sweep.reduction(step.output, kind, operand, "c", scale), []
    combined = expression(COMBINE[kind], [name, operand], {}, sweep.ctype)
    before = [f"{sweep.ctype} {name} = {sweep.ctype.number(NEUTRAL[kind])};"]
    within = [f"{name} = {combined};"]
    if axis == 1:
        share = sweep.ctype.number(1.0 / x.shape[1])
        return before, within, [f"{name} = {name} * {share};"] if kind == "mean" else []
    scale_all = 1.0 / (x.shape[0] * x.shape[1]) if kind == "mean" else 1.0
    return before, within, sweep.reduction(step.output, kind, name, "0", scale_all)


for _name in OVER_ROWS:
    EMITTERS[_name] = lambda sweep, step: _elementwise(sweep, [step], step.outputs)


# Softmax and losses --------------------------------------------------------------------------------------------------


def _greatest(sweep: Sweep, x: str, columns: int) -> list[str]:
    """Lines that leave the greatest of each row in `most`. A nan may or may not win: it comes back with `exp`."""
    kind = sweep.ctype
    return [
        f"{kind} most = {kind.load(x)};",
        f"for (int c = 1; c < {columns}; c++) most = fmax(most, {kind.load(f'{x} + c * {kind.lanes}')});",
    ]


def _softmax(sweep: Sweep, step: Instruction) -> None:
    columns, kind = step.output.shape[1], sweep.ctype
    x, y = sweep.lane(step.inputs[0]), sweep.new(step.output)
    at_x, at_y = f"{x} + c * {sweep.lanes}", f"{y} + c * {sweep.lanes}"
    sweep.say("{", *_greatest(sweep, x, columns), f"{kind} total = {kind.number(0.0)};")
    sweep.say(f"for (int c = 0; c < {columns}; c++) {{", f"const {kind} z = {kind.load(at_x)} - most;")
    if step.op.name == "softmax":
        sweep.say(f"const {kind} e = exp(z);", "total += e;", kind.store("e", at_y), "}")
        finished = f"{kind.load(at_y)} / total"
    else:
        sweep.say("total += exp(z);", kind.store("z", at_y), "}", "total = log(total);")
        finished = f"{kind.load(at_y)} - total"
    sweep.say(f"for (int c = 0; c < {columns}; c++) {{", kind.store(finished, at_y), "}", "}")


EMITTERS["softmax"] = EMITTERS["log_softmax"] = _softmax


def _cross_entropy(sweep: Sweep, body: Sequence[Instruction], outputs: Sequence[Value]) -> None:
    """Losses, gradients and counts of the same logits and labels: the exponentials are computed once."""
    logits, labels = body[0].inputs[-2:]
    rows, columns = logits.shape
    lanes, kind = sweep.lanes, sweep.ctype
    z, label = sweep.lane(logits), sweep.lane(labels)
    gradients = [step for step in body if step.op.name == "cross_entropy_gradient"]
    losses = [step for step in body if step.op.name == "cross_entropy"]
    counts = [step for step in body if step.op.name == "count_correct"]
    targets = [sweep.new(step.output) for step in gradients]
    mask = CType("long" if sweep.dtype == "float64" and lanes > 1 else "int", lanes)
    at, at_z = f"c * {lanes}", kind.load(f"{z} + c * {lanes}")
    here = f"wanted == ({mask})(c)"
    convert = f"convert_{mask}({mask.load(label)})" if lanes > 1 else mask.load(label)
    zero, one = kind.number(0.0), kind.number(1.0)
    sweep.say("{", f"const {mask} wanted = {convert};", *_greatest(sweep, z, columns))
    sweep.say(f"{kind} total = {zero};", f"{kind} chosen = {zero};")
    sweep.say(
        f"for (int c = 0; c < {columns}; c++) {{", f"const {kind} x = {at_z} - most;", f"const {kind} e = exp(x);"
    )
    sweep.say("total += e;", f"chosen = {here} ? x : chosen;")
    if targets:
        sweep.say(kind.store("e", f"{targets[0]} + {at}"))
    sweep.say("}")
    for step in losses:
        sweep.say(f"const {kind} loss_{id_of(step, body)} = log(total) - chosen;")
        sweep.say(*sweep.reduction(step.output, "sum", f"loss_{id_of(step, body)}", "0", 1.0 / rows))
    for step in counts:
        _count(sweep, step, z, columns, mask, f"hit_{id_of(step, body)}")
    for number, step in reversed(list(enumerate(gradients))):
        g = sweep.operand(step.inputs[0], "0")
        sweep.say("{", f"const {kind} g = {g} * {kind.number(1.0 / rows)};", f"for (int c = 0; c < {columns}; c++) {{")
        e = kind.load(f"{targets[0]} + {at}")
        sweep.say(kind.store(f"({e} / total - ({here} ? {one} : {zero})) * g", f"{targets[number]} + {at}"), "}", "}")
    sweep.say("}")


def id_of(step: Instruction, body: Sequence[Instruction]) -> int:
    """The position of a step."""
    return list(body).index(step)


def _count(sweep: Sweep, step: Instruction, z: str, columns: int, mask: CType, name: str) -> None:
    """How many rows have their first greatest logit, or first nan, at the label."""
    kind = sweep.ctype
    at = kind.load(f"{z} + c * {kind.lanes}")
    sweep.say(f"{kind} {name}_best = {kind.load(z)};", f"{mask} {name}_at = ({mask})(0);")
    sweep.say(f"for (int c = 1; c < {columns}; c++) {{", f"const {kind} x = {at};")
    sweep.say(f"const {mask} better = (x > {name}_best) | ((x != x) & ({name}_best == {name}_best));")
    sweep.say(f"{name}_best = better ? x : {name}_best;", f"{name}_at = better ? ({mask})(c) : {name}_at;", "}")
    sweep.say(f"const {kind} {name} = {name}_at == wanted ? {kind.number(1.0)} : {kind.number(0.0)};")
    sweep.say(*sweep.reduction(step.output, "sum", name, "0", 1.0))


# Layout --------------------------------------------------------------------------------------------------------------


@_emits("take_rows")
def _take_rows(sweep: Sweep, step: Instruction) -> None:
    table, numbers = step.inputs
    rows, y = sweep.lane(numbers), sweep.new(step.output)
    turn = into_lanes(sweep.code.functions, SCALARS[table.dtype], sweep.lanes, Rows.NUMBERED)
    sweep.say(f"{turn}({y}, {sweep.whole(table)}, {table.shape[1]}, {rows});")


@_emits("one_hot")
def _one_hot(sweep: Sweep, step: Instruction) -> None:
    lanes = sweep.lanes
    label, y = sweep.lane(step.inputs[0]), sweep.new(step.output)
    sweep.say(f"for (int c = 0; c < {step.output.shape[1]}; c++)", f"for (int lane = 0; lane < {lanes}; lane++)")
    sweep.say(f"{y}[c * {lanes} + lane] = {label}[lane] == c;")


@_emits("slice")
def _slice(sweep: Sweep, step: Instruction) -> None:
    lanes, start = sweep.lanes, step.params["col_start"]
    x, y = sweep.lane(step.inputs[0]), sweep.new(step.output)
    sweep.say(f"for (int i = 0; i < {step.output.shape[1] * lanes}; i++) {y}[i] = {x}[{start * lanes} + i];")


@_emits("concat")
def _concat(sweep: Sweep, step: Instruction) -> None:
    lanes, before = sweep.lanes, 0
    parts = [(sweep.lane(value), value.shape[1] * lanes) for value in step.inputs]
    y = sweep.new(step.output)
    for x, extent in parts:
        sweep.say(f"for (int i = 0; i < {extent}; i++) {y}[{before} + i] = {x}[i];")
        before += extent
