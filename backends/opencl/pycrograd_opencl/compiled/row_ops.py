"""What a sweep does for each kind of step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pycrograd_core.capture.program import Instruction, Region, Step, Value, flat

from ..expressions import ELEMENTWISE, expression
from .code import IN_TURN, Code, literal, load, store, vector
from .layout import Rows, into_lanes
from .places import SCALARS
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
                after.append(store(sweep.lanes, f"r{number}", targets[step.output]))
            continue
        operands = [names.get(value) or sweep.operand(value, "c") for value in step.inputs]
        name = names[step.output] = f"e{number}"
        within.append(
            f"const {sweep.ctype.name} {name} = {expression(step.op.name, operands, step.params, sweep.ctype)};"
        )
        if step.output in targets:
            within.append(store(sweep.lanes, name, f"{targets[step.output]} + c * {sweep.lanes}"))
    sweep.say("{", *before, *_over_columns(columns, sweep.ctype.name, within, parts), *after, "}")


def _over_columns(columns: int, kind: str, within: Sequence[str], sums: Sequence[str]) -> list[str]:
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
    before = [f"{sweep.ctype.name} {name} = {literal(NEUTRAL[kind], sweep.dtype, sweep.lanes)};"]
    within = [f"{name} = {combined};"]
    if axis == 1:
        share = literal(1.0 / x.shape[1], sweep.dtype, sweep.lanes)
        return before, within, [f"{name} = {name} * {share};"] if kind == "mean" else []
    scale_all = 1.0 / (x.shape[0] * x.shape[1]) if kind == "mean" else 1.0
    return before, within, sweep.reduction(step.output, kind, name, "0", scale_all)


for _name in OVER_ROWS:
    EMITTERS[_name] = lambda sweep, step: _elementwise(sweep, [step], step.outputs)


# Softmax and losses --------------------------------------------------------------------------------------------------


def _greatest(sweep: Sweep, x: str, columns: int) -> list[str]:
    """Lines that leave the greatest of each row in `most`. A nan may or may not win: it comes back with `exp`."""
    lanes = sweep.lanes
    return [
        f"{sweep.ctype.name} most = {load(lanes, x)};",
        f"for (int c = 1; c < {columns}; c++) most = fmax(most, {load(lanes, f'{x} + c * {lanes}')});",
    ]


def _softmax(sweep: Sweep, step: Instruction) -> None:
    columns, lanes, kind = step.output.shape[1], sweep.lanes, sweep.ctype.name
    x, y = sweep.lane(step.inputs[0]), sweep.new(step.output)
    at = f"c * {lanes}"
    sweep.say("{", *_greatest(sweep, x, columns), f"{kind} total = {literal(0.0, sweep.dtype, lanes)};")
    sweep.say(f"for (int c = 0; c < {columns}; c++) {{", f"const {kind} z = {load(lanes, f'{x} + {at}')} - most;")
    if step.op.name == "softmax":
        sweep.say("const " + kind + " e = exp(z);", "total += e;", store(lanes, "e", f"{y} + {at}"), "}")
        sweep.say(
            f"for (int c = 0; c < {columns}; c++) {{",
            store(lanes, f"{load(lanes, f'{y} + {at}')} / total", f"{y} + {at}"),
            "}",
        )
    else:
        sweep.say("total += exp(z);", store(lanes, "z", f"{y} + {at}"), "}", "total = log(total);")
        sweep.say(
            f"for (int c = 0; c < {columns}; c++) {{",
            store(lanes, f"{load(lanes, f'{y} + {at}')} - total", f"{y} + {at}"),
            "}",
        )
    sweep.say("}")


EMITTERS["softmax"] = EMITTERS["log_softmax"] = _softmax


def _cross_entropy(sweep: Sweep, body: Sequence[Instruction], outputs: Sequence[Value]) -> None:
    """Losses, gradients and counts of the same logits and labels: the exponentials are computed once."""
    logits, labels = body[0].inputs[-2:]
    rows, columns = logits.shape
    lanes, kind, dtype = sweep.lanes, sweep.ctype.name, sweep.dtype
    z, label = sweep.lane(logits), sweep.lane(labels)
    gradients = [step for step in body if step.op.name == "cross_entropy_gradient"]
    losses = [step for step in body if step.op.name == "cross_entropy"]
    counts = [step for step in body if step.op.name == "count_correct"]
    targets = [sweep.new(step.output) for step in gradients]
    mask = vector("long" if dtype == "float64" and lanes > 1 else "int", lanes)
    at, at_z = f"c * {lanes}", load(lanes, f"{z} + c * {lanes}")
    here = f"wanted == ({mask})(c)"
    convert = f"convert_{mask}({load(lanes, label)})" if lanes > 1 else load(lanes, label)
    zero = literal(0.0, dtype, lanes)
    sweep.say("{", f"const {mask} wanted = {convert};", *_greatest(sweep, z, columns))
    sweep.say(f"{kind} total = {zero};", f"{kind} chosen = {zero};")
    sweep.say(
        f"for (int c = 0; c < {columns}; c++) {{", f"const {kind} x = {at_z} - most;", f"const {kind} e = exp(x);"
    )
    sweep.say("total += e;", f"chosen = {here} ? x : chosen;")
    if targets:
        sweep.say(store(lanes, "e", f"{targets[0]} + {at}"))
    sweep.say("}")
    for step in losses:
        sweep.say(f"const {kind} loss_{id_of(step, body)} = log(total) - chosen;")
        sweep.say(*sweep.reduction(step.output, "sum", f"loss_{id_of(step, body)}", "0", 1.0 / rows))
    for step in counts:
        _count(sweep, step, z, columns, mask, f"hit_{id_of(step, body)}")
    for number, step in reversed(list(enumerate(gradients))):
        g = sweep.operand(step.inputs[0], "0")
        one = literal(1.0, dtype, lanes)
        sweep.say(
            "{",
            f"const {kind} g = {g} * {literal(1.0 / rows, dtype, lanes)};",
            f"for (int c = 0; c < {columns}; c++) {{",
        )
        e = load(lanes, f"{targets[0]} + {at}")
        sweep.say(store(lanes, f"({e} / total - ({here} ? {one} : {zero})) * g", f"{targets[number]} + {at}"), "}", "}")
    sweep.say("}")


def id_of(step: Instruction, body: Sequence[Instruction]) -> int:
    """The position of a step."""
    return list(body).index(step)


def _count(sweep: Sweep, step: Instruction, z: str, columns: int, mask: str, name: str) -> None:
    """How many rows have their first greatest logit, or first nan, at the label."""
    lanes, kind = sweep.lanes, sweep.ctype.name
    at = load(lanes, f"{z} + c * {lanes}")
    sweep.say(f"{kind} {name}_best = {load(lanes, z)};", f"{mask} {name}_at = ({mask})(0);")
    sweep.say(f"for (int c = 1; c < {columns}; c++) {{", f"const {kind} x = {at};")
    sweep.say(f"const {mask} better = (x > {name}_best) | ((x != x) & ({name}_best == {name}_best));")
    sweep.say(f"{name}_best = better ? x : {name}_best;", f"{name}_at = better ? ({mask})(c) : {name}_at;", "}")
    one, zero = literal(1.0, sweep.dtype, lanes), literal(0.0, sweep.dtype, lanes)
    sweep.say(f"const {kind} {name} = {name}_at == wanted ? {one} : {zero};")
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
