"""A Program as text: exact, because the text is what a reader gets."""

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.cost import kernels, size, traffic
from pycrograd_core.capture.program import region
from pycrograd_core.capture.recorder import trace_matrices
from pycrograd_core.capture.repeats import Block, repeats
from pycrograd_core.capture.show import formula, labels, listing
from pycrograd_core.capture.symbolic import ShapeMatrix


def step(x, w, rate):
    y = ops.relu(ops.matmul(x, w))
    g = y * 0.5
    w.update(ops.sgd_update, (w, ops.matmul(x, g, transpose_a=True), rate), {})
    return ops.sum(y, axis=0)


@pytest.fixture
def program():
    return trace_matrices(step, ShapeMatrix, (4, 3), (3, 2), (1, 1))


@pytest.fixture
def fused(program):
    """The same with regions: [matmul, relu], multiply, [matmul, sgd_update], sum; the first two in a row-local one."""
    product, relu, scale, gradient, update, total = program.body
    first = region("product", [product, relu], lambda value: value is relu.output)
    rows = region("rows", [first, scale], lambda value: value in (relu.output, scale.output))
    return program.with_body([rows, region("update", [gradient, update], lambda v: v is update.output), total])


def test_a_listing_has_everything(program):
    assert listing(program).splitlines() == [
        "arguments: x0[4×3], x1[3×2], x2[1×1]",
        "constants: c0[1×1] = 0.5",
        "  v0[4×2] = matmul(x0, x1)",
        "  v1[4×2] = relu(v0)",
        "  v2[4×2] = multiply(v1, c0)",
        "  v3[3×2] = matmul(x0ᵀ, v2)",
        "  v4[3×2] = sgd_update(x1, v3, x2)",
        "  v5[1×2] = sum(v1, axis=0)",
        "x1 ← v4",
        "return v5",
    ]
    assert str(program) == listing(program)


def test_a_listing_of_regions_is_indented(fused):
    lines = listing(fused).splitlines()
    assert lines[2:6] == [
        "  rows → v1, v2",
        "    product → v1",
        "      v0[4×2] = matmul(x0, x1)",
        "      v1[4×2] = relu(v0)",
    ]
    assert lines[7] == "  update → v4"


def test_names_replace_numbers(program):
    x, w, rate = program.arguments
    lines = listing(program, {x: "x", w: "0.weight", rate: "rate"}).splitlines()
    assert lines[0] == "arguments: x[4×3], 0.weight[3×2], rate[1×1]"
    assert "  v4[3×2] = sgd_update(0.weight, v3, rate)" in lines
    assert lines[-2] == "0.weight ← v4"


def test_labels_have_numbers_for_constants_and_primes_for_what_is_written(program):
    x, w, rate = program.arguments
    known = labels(program, {x: "x", w: "0.weight"})
    assert [known[value] for value in program.constants] == ["0.5"]
    assert [known[value] for value in program.updates.values()] == ["0.weight′"]
    assert (known[x], known[rate], known[program.outputs[0]]) == ("x", "x2", "v5")
    assert labels(program, {})[program.updates[w]] == "v4", "without a name there is nothing to prime"


def test_an_input_that_is_written_to_another_keeps_its_name():
    def swap(a, b):
        a.assign(b)
        return a + b

    program = trace_matrices(swap, ShapeMatrix, (2, 2), (2, 2))
    a, b = program.arguments
    assert program.updates == {a: b}
    assert [labels(program, {a: "a"})[value] for value in (a, b)] == ["a", "x1"]


def test_the_formula_of_a_kernel_is_a_chain(fused):
    x, w, rate = fused.arguments
    known = labels(fused, {x: "x", w: "w", rate: "rate"})
    assert [formula(kernel, known) for kernel in kernels(fused.body)] == [
        "matmul(x, w) → relu(·)",
        "multiply(v1, 0.5)",
        "matmul(xᵀ, v2) → sgd_update(w, ·, rate)",
        "sum(v1, axis=0)",
    ]


def test_a_result_that_is_read_twice_or_leaves_has_its_name():
    def function(x):
        y = ops.exp(x)
        z = y * 2.0
        return z, y + z * z

    program = trace_matrices(function, ShapeMatrix, (2, 2))
    needed = set(program.outputs)
    whole = region("elementwise", program.body, lambda value: value in needed)
    assert formula(whole, labels(program, {})) == (
        "v0 = exp(x0); v1 = multiply(v0, 2); v3 = multiply(v1, v1) → add(v0, ·)"
    )


def test_kernels_and_traffic(fused):
    found = kernels(fused.body)
    assert [getattr(kernel, "kind", "op") for kernel in found] == ["product", "op", "update", "op"]
    # x, w and the result; then the result, a number and its product; x, the gradient, w, rate and w; v1 and the sum
    assert [traffic(kernel) for kernel in found] == [4 * n for n in (12 + 6 + 8, 8 + 1 + 8, 12 + 8 + 6 + 1 + 6, 8 + 2)]


def test_an_operand_that_is_read_twice_moves_once():
    program = trace_matrices(lambda x: x * x, ShapeMatrix, (2, 3))
    assert [traffic(kernel) for kernel in program.body] == [2 * 4 * 6]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536 * 1024, "1.5 MiB"), (2**33, "8 GiB")]
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("keys", "blocks"),
    [
        ("", []),
        ("abc", [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
        ("aa", [(0, 1, 1), (1, 1, 1)]),
        ("aaa", [(0, 1, 3)]),
        ("xababab", [(0, 1, 1), (1, 2, 3)]),
        ("abababax", [(0, 2, 3), (6, 1, 1), (7, 1, 1)]),
        ("aaaabaaaab", [(0, 1, 4), (4, 1, 1), (5, 1, 4), (9, 1, 1)]),
        ("abcabcabcddd", [(0, 3, 3), (9, 1, 3)]),
    ],
)
def test_repeats(keys, blocks):
    assert repeats(keys) == [Block(*block) for block in blocks]
    assert "".join(keys[b.start : b.start + b.length] * b.times for b in repeats(keys)) == keys
