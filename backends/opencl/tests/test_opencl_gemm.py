"""Products of every style, with every pair of transposes, at awkward sizes, against NumPy in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product as combinations

import numpy as np
import pytest

from opencl_operands import Operands
from pycrograd_opencl.gemm import Panels, Product, Tiles, choose, eager_product, fitted, generate
from pycrograd_opencl.gemm.choice import default, kind
from pycrograd_opencl.gemm.variants import EPILOGUE, PARAMETERS, variants

AWKWARD = ((1, 1, 1), (1, 257, 33), (255, 1, 65), (17, 129, 1), (63, 65, 127), (257, 31, 256), (32, 64, 10))
KINDS = ("large", "large_turned", "few_rows", "few_rows_turned", "few_cols", "update", "little")


@pytest.fixture(scope="module")
def device(pocl):
    return pocl


def check(operands, launch, fixed=True):
    """Each element within a few roundings of its terms: one too many or too few is far more."""
    size = (abs(operands.a) @ abs(operands.b)).max()
    tolerance = 8 * np.finfo(operands.product.dtype).eps * (8 + size)
    for found, expected in operands.results(launch, fixed):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=str(operands.product))


@pytest.mark.parametrize(
    ("parameters", "a", "b"),
    [
        (PARAMETERS[0], False, True),
        (PARAMETERS[1], True, False),
        (PARAMETERS[3], False, False),
        (PARAMETERS[5], True, True),
        (PARAMETERS[6], False, False),
    ],
)
def test_one_kernel_for_every_shape(parameters, a, b, device):
    for shape in AWKWARD:
        product = Product(*shape, a, b, "float32", *EPILOGUE)
        check(Operands(product, device), parameters.launch(product, fixed=False), fixed=False)


@pytest.mark.parametrize("parameters", [PARAMETERS[1], PARAMETERS[2], PARAMETERS[7]])
def test_kernels_in_float64(parameters, device):
    product = Product(33, 41, 70, True, False, "float64", *EPILOGUE)
    check(Operands(product, device), parameters.launch(product))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_every_variant(parameters, dtype, device):
    for variant in variants(dtype, [parameters]):
        check(Operands(variant.product, device), variant.launch, variant.fixed)


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), list(combinations((False, True), repeat=2)))
@pytest.mark.parametrize("shape", [(256, 255, 257), (1151, 129, 33), (32, 1153, 1152), (1, 1153, 257), (300, 10, 784)])
def test_what_is_chosen_is_right(shape, a, b, device):
    product = Product(*shape, a, b)
    check(Operands(product, device), generate(product, device))
    check(Operands(product, device), eager_product(*shape, a, b, "float32", device), fixed=False)


def test_a_product_of_nothing_is_zero(device):
    product = Product(3, 5, 0)
    for parameters in (PARAMETERS[0], PARAMETERS[5]):
        launch = parameters.launch(product, fixed=False)
        operands = Operands(replace(product, inner=1), device)
        operands.product, operands.value = product, np.zeros((3, 5))
        check(operands, launch, fixed=False)


@pytest.mark.parametrize(
    ("shape", "b", "expected"),
    [
        ((2048, 2048, 2048), False, "large"),
        ((32, 4096, 8192), False, "few_rows"),
        ((32, 8192, 4096), True, "few_rows_turned"),
        ((8192, 10, 784), False, "few_cols"),
        ((8192, 4096, 32), False, "update"),
        ((32, 10, 64), False, "little"),
    ],
)
def test_kinds(shape, b, expected):
    assert kind(Product(*shape, transpose_b=b)) == expected


GPUS = {
    "NVIDIA Corporation": ("NVIDIA A100", 48 << 10, 1024, 108),
    "Advanced Micro Devices, Inc.": ("gfx1100", 64 << 10, 256, 48),
    "Intel(R) Corporation": ("Intel(R) Iris(R) Xe Graphics", 64 << 10, 512, 96),
    "Unheard Of": ("Thing", 32 << 10, 64, 4),
}


@pytest.mark.parametrize("vendor", GPUS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_table_fits_every_device(vendor, dtype, device):
    name, local, group, units = GPUS[vendor]
    other = replace(
        device, name=name, vendor=vendor, platform=vendor, kind="discrete GPU", local_memory=local,
        largest_group=group, units=units,
    )  # fmt: skip
    for name in KINDS:
        assert default(name, dtype, other).valid()
    for shape in ((4096,) * 3, (1, 1, 1), (32, 4096, 8192), (1, 5000, 300), (7, 3, 10000), (8192, 4096, 32)):
        product = Product(*shape, dtype=dtype)
        chosen = choose(product, other)
        assert isinstance(chosen, Tiles)
        assert chosen.valid()
        assert chosen.items <= group
        assert chosen.local_memory(product) <= local


@pytest.mark.parametrize(("lanes", "units", "local"), [(8, 2, 512 << 10), (16, 64, 256 << 10), (4, 1, 32 << 10)])
def test_the_table_fits_every_processor(lanes, units, local, device):
    other = replace(device, lanes=lanes, units=units, local_memory=local)
    for shape in ((2048,) * 3, (1, 1, 1), (32, 4096, 8192), (8192, 4096, 32), (5000, 3, 700)):
        for dtype in ("float32", "float64"):
            product = Product(*shape, dtype=dtype)
            chosen = choose(product, other)
            assert isinstance(chosen, Panels)
            assert chosen.valid()
            assert chosen.local_memory(product) <= local
    down, across = choose(Product(2048, 2048, 2048), other).groups(Product(2048, 2048, 2048))
    assert down * across >= units


def test_eager_kernels_are_few(device):
    sources = {
        eager_product(rows, cols, inner, False, False, "float32", device).source
        for rows, cols, inner in combinations((1, 2, 10, 33, 128, 1000), repeat=3)
    }
    assert len(sources) <= len(KINDS)


def test_a_tile_without_rows_has_more_columns(device):
    assert choose(Product(1, 4096, 4096), device).tile_rows == 1
    assert choose(Product(1, 4096, 4096), device).vectors == 8
    assert choose(Product(4096, 1, 4096), device).tile_rows == 8
    assert choose(Product(4096, 1, 4096), device).vectors == 1


def test_parameters_are_cut_to_the_product(device):
    cut = fitted(Panels(6, 2, 8, 516, 64, 1024), Product(10, 20, 30), device)
    assert (cut.block_rows, cut.block_cols, cut.block_inner) == (12, 16, 30)
