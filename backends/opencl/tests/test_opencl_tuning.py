"""Tuning: what is searched, what passes, what is kept, and what comes of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pycrograd_opencl.tuning.trial import Trial, passes

from pycrograd_core.config import Option, load_config
from pycrograd_core.errors import BackendError
from pycrograd_core.training import registries
from pycrograd_core.training.inspection import training_step
from pycrograd_opencl.gemm import Panels, Product, Tiles, choose, eager_product
from pycrograd_opencl.gemm.choice import default, fitted
from pycrograd_opencl.runtime import runtime_of
from pycrograd_opencl.tuning import report, search, store

TINY = Path(__file__).parents[3] / "configs" / "digits_normal.yaml"
PRODUCT = Product(32, 24, 40)
OTHER = Panels(4, 1, 8, block_rows=8, block_cols=16, block_inner=16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own for what is found."""
    monkeypatch.setenv("PYCROGRAD_CACHE", str(tmp_path))
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget():
    for remembered in (store.tuned, choose, eager_product):
        remembered.cache_clear()


@dataclass(frozen=True)
class Short(Panels):
    """Parameters whose kernel leaves out a term of every sum."""

    def launch(self, product, fixed=True):
        launch = super().launch(product, fixed)
        return replace(launch, source=launch.source.replace("INNER - p_start);", "INNER - p_start) - 1;"))


@dataclass(frozen=True)
class Narrow(Panels):
    """Parameters whose kernel is right for multiples of its tile, and only for them."""

    def launch(self, product, fixed=True):
        launch = super().launch(product, fixed)
        return replace(launch, source=launch.source.replace("p_j + p_lane < p_width ?", "0 ?"))


def test_what_is_found_is_used(folder, pocl):
    before = choose(PRODUCT, pocl)
    assert store.keep(pocl, {PRODUCT.shape: OTHER})
    assert choose(PRODUCT, pocl) == OTHER != before
    assert choose(replace(PRODUCT, inner=41), pocl) == fitted(
        default("little", "float32", pocl), replace(PRODUCT, inner=41), pocl
    )
    assert "[128]" in eager_product(32, 24, 40, False, False, "float32", pocl).source, "16 × 8 of the right operand"
    tiles = Tiles(2, 2, item_rows=2, item_cols=2, depth=4, slices=1, buffers=1)
    assert store.keep(pocl, {"another": tiles})
    assert store.tuned(pocl) == {PRODUCT.shape: OTHER, "another": tiles}


def test_each_driver_has_its_own(folder, pocl):
    store.keep(pocl, {PRODUCT.shape: OTHER})
    for change in ({"driver": "0.0"}, {"name": "another"}, {"platform": "another"}):
        assert store.tuned(replace(pocl, **change)) == {}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        json.dumps({"products": {PRODUCT.shape: {"style": "nonsense"}}}).encode(),
        json.dumps({"products": {PRODUCT.shape: {"style": "panels", "tile_rows": 5}}}).encode(),
    ],
)
def test_a_damaged_file_holds_nothing(folder, pocl, damage):
    before = choose(PRODUCT, pocl)
    store.keep(pocl, {PRODUCT.shape: OTHER})
    (file,) = (folder / "tuned").iterdir()
    file.write_bytes(damage)
    forget()
    assert choose(PRODUCT, pocl) == before
    assert store.keep(pocl, {PRODUCT.shape: OTHER})
    assert choose(PRODUCT, pocl) == OTHER


def test_only_what_is_right_passes(pocl):
    runtime = runtime_of(pocl)
    trial = Trial(PRODUCT, runtime)
    assert trial.right(OTHER.launch(PRODUCT))
    assert not trial.right(Short(**vars(OTHER)).launch(PRODUCT))
    assert not passes(Short(**vars(OTHER)), PRODUCT, runtime)
    narrow = Narrow(4, 3, 8, block_rows=8, block_cols=24, block_inner=16)
    assert trial.right(narrow.launch(PRODUCT)), "its shape is a multiple of the tile"
    assert not passes(narrow, PRODUCT, runtime)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [OTHER, Tiles(4, 4, 4, 4, depth=8, slices=2, buffers=2)])
def test_what_is_right_passes(parameters, pocl):
    assert passes(parameters, PRODUCT, runtime_of(pocl))


def test_a_search_without_time_finds_the_default(pocl):
    found = search.search(PRODUCT, runtime_of(pocl), 0)
    assert found.parameters == choose(PRODUCT, pocl)
    assert not found.better
    assert found.tried == 1


def test_a_search_keeps_no_wrong_kernel(monkeypatch, pocl):
    wrong = Short(**vars(OTHER))
    monkeypatch.setattr(search, "neighbours", lambda parameters, trial: [wrong])
    monkeypatch.setattr(Trial, "seconds", lambda self, kernel, launch, limit=1.0: 1.0 if limit > 1 else 1e-9)
    found = search.search(PRODUCT, runtime_of(pocl), 60)
    assert found.parameters != wrong
    assert found.tried == 2


def test_ctrl_c_ends_a_search_with_what_it_has(monkeypatch, pocl):
    def interrupted(trial, better, known, deadline):
        better.append((0.0, OTHER))
        raise KeyboardInterrupt

    best = OTHER.launch(PRODUCT)
    monkeypatch.setattr(Trial, "seconds", lambda self, kernel, launch, *_: 0.5 if launch == best else 1.0)
    monkeypatch.setattr(search, "_climb", interrupted)
    monkeypatch.setattr(search, "passes", lambda *_: True)
    found = search.search(PRODUCT, runtime_of(pocl), 60)
    assert found.interrupted
    assert found.parameters == OTHER


@pytest.mark.parametrize("kind", ["CPU", "discrete GPU"])
def test_neighbours_fit_the_device(kind, pocl):
    device = replace(pocl, kind=kind, local_memory=48 << 10, largest_group=256)
    runtime = type("Runtime", (), {"device": device})
    for product in (Product(1024, 1024, 1024), Product(32, 4096, 512, transpose_b=True)):
        start = choose(product, device)
        found = [*search.neighbours(start, type("Trial", (), {"product": product, "runtime": runtime}))]
        assert len(found) > 5
        assert all(each.valid() and each.local_memory(product, fixed=False) <= 48 << 10 for each in found)


def program():
    return training_step(load_config(TINY, registries(), [Option("--backend", "backend", "opencl")])).program


def test_the_products_of_a_program():
    shapes = [product.shape for product in report.products(program())]
    assert len(shapes) == len(set(shapes)) == 8
    assert shapes[0] == "32×64×64 a b float32"
    assert "64×32×64 aT b float32" in shapes
    assert not any("32×64×64 a bT" in shape for shape in shapes), "nobody asks for the gradient of the data"


def test_tuning_a_program(folder, monkeypatch, pocl):
    monkeypatch.setattr(report, "products", lambda program: [PRODUCT])
    found = search.Found(PRODUCT, OTHER, before=2.0, after=1.0, numpy=3.0, tried=7)
    monkeypatch.setattr(report, "search", lambda product, runtime, seconds: found)
    lines = []
    (tuned,) = report.tune(program(), str(pocl.index), 1.0, lines.append)
    assert (tuned.what, tuned.before, tuned.after, tuned.rulers, tuned.kept) == (
        PRODUCT.shape, 2.0, 1.0, {"numpy": 3.0}, True,
    )  # fmt: skip
    assert tuned.chosen.startswith("panels tile_rows=4")
    assert lines[-1] == f"{PRODUCT.shape}: 2.00× after 7 kernels"
    assert choose(PRODUCT, pocl) == OTHER


def test_there_must_be_somewhere_to_keep_it(folder, monkeypatch, pocl):
    monkeypatch.setenv("PYCROGRAD_CACHE", "off")
    with pytest.raises(BackendError, match="unset PYCROGRAD_CACHE"):
        report.tune(program(), str(pocl.index), 1.0, print)
