"""Every kernel at small and awkward sizes, for Oclgrind to look at each of its accesses to memory.

    oclgrind … python under_oclgrind.py PART

`test_opencl_oclgrind.py` runs the parts, and reads what Oclgrind says. Results are compared with NumPy's, here too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyopencl as cl

from opencl_operands import Operands
from pycrograd_core import RandomStream, Tensor, capture, nn, use_backend
from pycrograd_core.conformance.reference import REFERENCE
from pycrograd_core.matrix import Matrix
from pycrograd_core.ops import TABLE
from pycrograd_core.ops.samples import Indices, Sample, Uniform
from pycrograd_opencl.compiled import flat, gradients, row_products, schedule, settings, updates
from pycrograd_opencl.devices import Device, devices
from pycrograd_opencl.gemm import Launch, Product, eager_product, generate
from pycrograd_opencl.gemm.variants import EPILOGUE, PARAMETERS, variants
from pycrograd_opencl.matrix import OpenCLMatrix, matrix_on
from pycrograd_opencl.memory import Memory
from pycrograd_opencl.runtime import Runtime, runtime_of
from twins import Setting, assert_alike

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
SHAPES = ((1, 1), (1, 7), (5, 1), (3, 5), (17, 33))
LARGE = (5, 4099)  # for two work-items, in vectors too, and more than one piece of a row
IN_PLACE = 10  # the first cases of an op, which are also tried with the result in the place of an operand
BATCHES = (1, 5, 12, 16, 17, 33)


def as_listed(style: str) -> Device:
    """The simulator as a processor, whose kernels work in vectors, or as a GPU, whose work in groups."""
    (simulator,) = devices()
    if style == "vectors":
        return replace(simulator, kind="CPU", lanes=8, units=3, unified=True, local_memory=0)
    return replace(simulator, kind="discrete GPU", lanes=1, units=3, unified=False)


def filled(memory: Memory, nbytes: int) -> cl.Buffer:
    """Memory of exactly this size, so that not even one byte more goes unseen. It holds nan, and no row's number.

    Oclgrind keeps track of what is initialised in private and local memory; in global memory it does so only as far as
    the host has written. So the host writes all of it, and what is read too early spoils a result.
    """
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    return cl.Buffer(memory._context, flags, hostbuf=np.full(max(nbytes, 1), 0xFF, "u1"))


def spelled(source: str) -> str:
    """Parts of vectors by components: Oclgrind 21.10 takes values of shuffles that change the length for others'."""

    def literal(found: re.Match[str]) -> str:
        """`(float8)(a.lo, b.hi)` or `(float8)(a.s01, …)`."""
        given = [part.split(".") for part in found[2].split(", ")]
        if len(given) == _LANES:
            return found[0]
        places = ((name, _HALVES.get(part) or part.removeprefix("s")) for name, part in given)
        return f"{found[1]}({', '.join(f'{name}.s{place}' for name, part in places for place in part)})"

    def halved(found: re.Match[str]) -> str:
        """`const float8 x = … v.lo … v.hi …`, where v has 16."""
        scalar, lanes = found[1], int(found[2] or 1)

        def half(part: re.Match[str]) -> str:
            start = lanes if part[2] == "hi" else 0
            components = ", ".join(f"{part[1]}.s{place:x}" for place in range(start, start + lanes))
            return f"({scalar}{found[2]})({components})"

        return re.sub(r"(\w+)\.(lo|hi)\b", half, found[0])

    source = re.sub(r"(\(\w+8\))\(((?:\w+\.\w+, )+\w+\.\w+)\)", literal, source)
    return re.sub(r"const (float|double)(\d*) \w+ = [^;]*\.(?:lo|hi)\b[^;]*;", halved, source)


_LANES, _HALVES = 8, {"lo": "0123", "hi": "4567"}
Memory.allocate = Memory.buffer = filled
program = Runtime.program
Runtime.program = lambda self, source, *options, **kept: program(self, spelled(source), *options, **kept)


def matrix_of(style: str) -> type[OpenCLMatrix]:
    """The matrix class of a style."""
    kind = matrix_on(as_listed(style))
    kind.backend = "opencl"
    return kind


def begin(case: str) -> None:
    """Say what is next, so that a message of Oclgrind has a place."""
    print(f"case {case}", file=sys.stderr, flush=True)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Equal but for rounding."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


# Kernels that Oclgrind must find at fault ----------------------------------------------------------------------------

FAULTS = {
    "overrun": "y[get_global_id(0) + 1] = x[0];",
    "race": "y[0] = get_global_id(0);",
    "local_race": "__local float z[8]; z[get_local_id(0)] = x[0]; y[get_global_id(0)] = z[7 - get_local_id(0)];",
    "uninitialised": "float z[2]; z[0] = x[0]; y[get_global_id(0)] = z[get_global_id(0) % 2] > 0 ? 1 : 2;",
    "none": "y[get_global_id(0)] = x[get_global_id(0)];",
}


def fault(name: str) -> None:
    """A kernel with one fault."""
    runtime = runtime_of(as_listed("groups"))
    x, y = (runtime.memory.copied(np.ones(8, "f4")) for _ in "xy")
    kernel = runtime.kernel(f"__kernel void k(__global const float* x, __global float* y) {{ {FAULTS[name]} }}", "k")
    begin(name)
    kernel(runtime.queue, (8,), (8,), x, y)
    runtime.wait()


def unwritten() -> None:
    """A sum of memory that nobody wrote, which Oclgrind itself does not see."""
    kind = matrix_of("groups")
    begin("unwritten")
    total = Tensor.of(kind.empty(2, 2, "float32").sum()).numpy()
    close(total, np.zeros((1, 1)), 1.0)


# Products ------------------------------------------------------------------------------------------------------------


def check(product: Product, device: Device, launch: Launch, fixed: bool) -> None:
    """Run a kernel, with the epilogue if the product has it."""
    for found, expected in Operands(product, device).results(launch, fixed):
        close(found, expected, TOLERANCE[product.dtype])


def products(number: str, dtype: str) -> None:
    """The generator's variants of one choice of parameters."""
    device = as_listed("groups")
    for variant in variants(dtype):
        if variant.parameters == PARAMETERS[int(number)]:
            begin(f"{variant.product.shape} {'fixed' if variant.fixed else ''}")
            check(variant.product, device, variant.launch, variant.fixed)


TYPICAL = {
    "vectors": ((1, 1, 1), (33, 10, 17), (9, 70, 5), (65, 3, 66), (66, 67, 65)),
    "groups": ((9, 20, 5), (1, 3, 35)),
}


def chosen(style: str, vendor: str = "") -> None:
    """What the table of defaults gives, for products of each kind, cut to size or of any extents."""
    device = as_listed(style)
    device = replace(device, vendor=vendor or device.vendor)
    for rows, cols, inner in TYPICAL[style]:
        for a, b in ((False, False), (True, False), (False, True)):
            product = Product(rows, cols, inner, a, b, "float32", *EPILOGUE)
            begin(f"{product.shape} chosen")
            check(product, device, generate(product, device), fixed=True)
            plain = Product(rows, cols, inner, a, b)
            begin(f"{product.shape} eager")
            launch = eager_product(rows, cols, inner, a, b, "float32", device)
            check(plain, device, launch, fixed=False)


# Eager kernels -------------------------------------------------------------------------------------------------------


def eager(style: str, which: str, dtype: str) -> None:
    """Each op of the contract that has a kernel, elementwise ones or the others: its samples, and other shapes."""
    kind = matrix_of(style)
    for op in TABLE.values():
        if not hasattr(kind, op.name) or op.elementwise != (which == "elementwise"):
            continue
        cases = [*op.samples, *(more_of(op) if op.elementwise else OTHERS.get(op.name, list)())]
        for number, sample in enumerate(cases):
            arrays = sample.draw(RandomStream(0, "oclgrind", op.name))
            begin(f"{op.name} {number}: {[x.shape for x in arrays]} {dict(sample.params)}")
            with use_backend(kind):
                dtypes = ["int32" if position in op.indices else dtype for position in range(len(arrays))]
                inputs = [Tensor(x, dtype=each).value for x, each in zip(arrays, dtypes, strict=True)]
            expected = REFERENCE[op.name](*arrays, **sample.params)
            y = Matrix.evaluate(op, inputs, sample.params)
            close(Tensor.of(y).numpy(), expected, TOLERANCE[dtype])
            if op.elementwise and y.shape == inputs[0].shape and number < IN_PLACE:
                begin(f"{op.name} {number}: in place")
                in_place = Matrix.evaluate(op, inputs, sample.params, inputs[0])
                close(Tensor.of(in_place).numpy(), expected, TOLERANCE[dtype])


def more_of(op: object) -> Iterator[Sample]:
    """An elementwise op's samples in other shapes: what has an extent of 1 keeps it."""
    for shape in (*SHAPES, *([LARGE] if op.name in ("add", "where", "exp") else [])):
        for sample in op.samples:
            inputs = [
                replace(x, **{name: shape[axis] for axis, name in enumerate(("rows", "cols")) if getattr(x, name) > 1})
                for x in sample.inputs
            ]
            yield Sample(tuple(inputs), sample.params)


def reduced(*shapes: tuple[int, int], axes: tuple[int | None, ...] = (None, 0, 1)) -> Callable[[], Iterator[Sample]]:
    """Reductions of each shape over each axis."""
    return lambda: (Sample((Uniform(*shape),), {"axis": axis}) for shape in shapes for axis in axes)


def labelled(*before: Uniform) -> Callable[[], Iterator[Sample]]:
    """Logits of each shape and labels, after other inputs."""
    return lambda: (Sample((*before, Uniform(rows, cols), Indices(rows, cols))) for rows, cols in SHAPES)


def multiplied(*after: str) -> Iterator[Sample]:
    """Products of each pair of transposes; or one that something is added to."""
    for rows, cols, inner in ((1, 1, 1), (1, 7, 5), (5, 1, 3), (17, 33, 9), (33, 17, 40)):
        if after:
            yield Sample((Uniform(rows, inner), Uniform(inner, cols), Uniform(1, cols)))
            continue
        for a in (False, True):
            for b in (False, True):
                left, right = (inner, rows) if a else (rows, inner), (cols, inner) if b else (inner, cols)
                yield Sample((Uniform(*left), Uniform(*right)), {"transpose_a": a, "transpose_b": b})


def moved(name: str) -> Callable[[], Iterator[Sample]]:
    """Ops that move elements."""
    given = {
        "transpose": [((shape,), {}) for shape in (*SHAPES, LARGE)],
        "reshape": [(((17, 33),), {"rows": 33, "cols": 17}), (((1, 7),), {"rows": 7, "cols": 1})],
        "slice": [
            (((17, 33),), {"row_start": r, "row_stop": s, "col_start": c, "col_stop": d})
            for r, s, c, d in ((1, 16, 2, 31), (16, 17, 32, 33), (0, 17, 5, 6))
        ],
        "concat": [(((3, 5), (1, 5), (17, 5)), {"axis": 0}), (((5, 1), (5, 7), (5, 16)), {"axis": 1})],
        "broadcast_to": [
            (((1, 7),), {"rows": 5, "cols": 7}),
            (((5, 1),), {"rows": 5, "cols": 9}),
            (((1, 1),), {"rows": 5, "cols": 4099}),
        ],
    }[name]
    return lambda: (Sample(tuple(Uniform(*shape) for shape in shapes), params) for shapes, params in given)


OTHERS: dict[str, Callable[[], Iterator[Sample]]] = {
    **{name: reduced(*SHAPES, LARGE, (4099, 5)) for name in ("sum", "mean", "max", "argmax")},
    **{name: reduced(*SHAPES, axes=(0, 1)) for name in ("softmax", "log_softmax")},
    **{name: moved(name) for name in ("transpose", "reshape", "slice", "concat", "broadcast_to")},
    **{name: labelled() for name in ("cross_entropy", "count_correct")},
    "cross_entropy_gradient": labelled(Uniform(1, 1)),
    "one_hot": lambda: (Sample((Indices(rows, 9),), {"classes": 9}) for rows in (1, 17)),
    "take_rows": lambda: (Sample((Uniform(17, cols), Indices(33, 17))) for cols in (1, 5, 4099)),
    "add_rows": lambda: (Sample((Uniform(5, c), Indices(33, 5), Uniform(33, c))) for c in (1, 7, 33)),
    "matmul": multiplied,
    "linear": lambda: multiplied("bias"),
}


# Captured steps ------------------------------------------------------------------------------------------------------

NETWORKS: dict[str, Callable[[], list[nn.Module]]] = {
    "usual": lambda: [nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)],
    "dropout": lambda: [nn.Linear(8, 16), nn.Dropout(0.4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5)],
    "tanh": lambda: [nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 17), nn.Sigmoid(), nn.Linear(17, 5)],
    "wide": lambda: [nn.Linear(8, 33), nn.ReLU(), nn.Linear(33, 20), nn.ReLU(), nn.Linear(20, 5)],
}


SHRUNK = {  # thresholds in whose place these send small networks the ways of large ones: many launches of many tiles
    schedule: {"RATE": 1.0},
    updates: {"ELEMENTS": 16},
    gradients: {"FAR": 32, "HIGH": 4},
    flat: {"ELEMENTS": 16},
    row_products: {"DEEP": 8, "DEPTH": 4},
}


def large_steps(style: str, network: str, optimiser: str, dtype: str) -> None:
    """The same, as if the network were large."""
    for module, thresholds in SHRUNK.items():
        for name, value in thresholds.items():
            assert hasattr(module, name), f"{module.__name__} has no {name} any more"
            setattr(module, name, value)
    settings.suited = lambda program, device: replace(settings.usual(device), whole=False, large=0.0, busy=0.0, tile=64)
    steps(style, network, optimiser, dtype)


def steps(style: str, network: str, optimiser: str, dtype: str) -> None:
    """A captured step at every batch size, then many in one call, beside NumPy's eager ones."""
    kind = matrix_of(style)
    for rows in BATCHES:
        begin(f"{network} {optimiser} {dtype}, batch {rows}")
        ours, theirs = (Setting(each, dtype, optimiser, NETWORKS[network], rows) for each in (kind, "numpy"))
        step = capture(ours.step)
        for _ in range(3):
            found, expected = step(ours.x, ours.labels), theirs.step(theirs.x, theirs.labels)
            close(found.numpy(), expected.numpy(), TOLERANCE[dtype])
        begin(f"{network} {optimiser} {dtype}, batch {rows}, in a loop")
        order = np.random.default_rng(rows).integers(0, rows, (3, rows))
        found = step.scan(ours.x, ours.labels, rows=order)
        for row, chosen in zip(found.numpy(), order, strict=True):
            given = Tensor(chosen, backend="numpy", dtype="int32")
            expected = theirs.step(theirs.x.take_rows(given), theirs.labels.take_rows(given))
            close(row[None], expected.numpy(), TOLERANCE[dtype])
        assert_alike(ours, theirs, rtol=100 * TOLERANCE[dtype])


PARTS = {part.__name__: part for part in (fault, unwritten, products, chosen, eager, steps, large_steps)}

if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
