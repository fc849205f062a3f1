"""Tuning: what is searched, what passes, what is kept, and what comes of it."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pycrograd_core.capture.passes import optimise
from pycrograd_core.errors import BackendError
from pycrograd_opencl.compiled.settings import suited, untuned, usual
from pycrograd_opencl.gemm import Panels, Product, Tiles, choose, eager_product
from pycrograd_opencl.gemm.choice import default, fitted
from pycrograd_opencl.runtime import runtime_of
from pycrograd_opencl.tuning import programs, report, search, steps, store
from pycrograd_opencl.tuning.products import ProductTrial, neighbours
from pycrograd_opencl.tuning.search import Found
from pycrograd_opencl.tuning.steps import StepTrial
from tunable_steps import chosen, program, small

PRODUCT = Product(32, 24, 40)
OTHER = Panels(4, 1, 8, block_rows=8, block_cols=16, block_inner=16)


# The search ----------------------------------------------------------------------------------------------------------


class Numbers:
    """Something to tune that is no kernel: its parameters are numbers, and the table says how long each takes."""

    def __init__(self, table, wrong=(), failing=(), refused=()):
        self.table, self.wrong, self.failing, self.refused = table, wrong, failing, refused

    def build(self, parameters):
        if parameters in self.refused:
            raise BackendError("too many registers")
        return parameters

    def seconds(self, made, limit=float("inf")):
        return self.table[made]

    def right(self, made):
        return made not in self.wrong

    def passes(self, parameters):
        return parameters not in self.failing

    def changes(self, parameters):
        return [each for each in (parameters + 1, parameters - 1) if each in self.table]


FASTER = {0: 8.0, 1: 4.0, 2: 2.0, 3: 1.0}


@pytest.mark.parametrize(
    ("trial", "best", "tried"),
    [
        (Numbers(FASTER), 3, 4),
        (Numbers(FASTER, wrong=(2,)), 1, 3),
        (Numbers(FASTER, refused=(1,)), 0, 2),
        (Numbers(FASTER, failing=(3,)), 2, 4),
        (Numbers(FASTER, failing=(1, 2, 3)), 0, 4),
        (Numbers({0: 8.0, 1: 7.9}), 0, 2),
    ],
)
def test_a_search_finds_the_fastest_that_is_right(trial, best, tried):
    found = search.search(trial, 0, 60.0)
    assert (found.parameters, found.tried) == (best, tried)
    assert found.better == (best > 0)
    assert (found.before, found.after) == (8.0, trial.table[best])


def test_a_search_stops_in_time(monkeypatch):
    times = iter(range(100))
    monkeypatch.setattr(search, "perf_counter", lambda: next(times))
    found = search.search(Numbers(dict(enumerate(np.geomspace(1, 1e-9, 50)))), 0, 5.0)
    assert found.parameters == 5
    assert not found.interrupted


def test_what_only_seemed_faster_is_not_kept():
    class Once(Numbers):
        def seconds(self, made, limit=float("inf")):
            return 8.0 if limit == float("inf") else self.table[made]

    found = search.search(Once(FASTER), 0, 60.0)
    assert (found.parameters, found.better, found.tried) == (0, False, 4)


def test_ctrl_c_ends_a_search_with_what_it_has():
    class Stopped(Numbers):
        def build(self, parameters):
            if parameters == 2 and not stopped:
                stopped.append(True)
                raise KeyboardInterrupt
            return parameters

    stopped = []
    found = search.search(Stopped(FASTER), 0, 60.0)
    assert (found.parameters, found.better, found.interrupted) == (1, True, True)


# Products ------------------------------------------------------------------------------------------------------------


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


def test_only_what_is_right_passes(pocl):
    trial = ProductTrial(PRODUCT, runtime_of(pocl))
    assert trial.right(trial.build(OTHER))
    assert not trial.right(trial.build(Short(**vars(OTHER))))
    assert not trial.passes(Short(**vars(OTHER)))
    narrow = Narrow(4, 3, 8, block_rows=8, block_cols=24, block_inner=16)
    assert trial.right(trial.build(narrow)), "its shape is a multiple of the tile"
    assert not trial.passes(narrow)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [OTHER, Tiles(4, 4, 4, 4, depth=8, slices=2, buffers=2)])
def test_what_is_right_passes(parameters, pocl):
    assert ProductTrial(PRODUCT, runtime_of(pocl)).passes(parameters)


def test_a_search_without_time_finds_the_default(pocl):
    trial = ProductTrial(PRODUCT, runtime_of(pocl))
    found = search.search(trial, trial.start, 0)
    assert found.parameters == choose(PRODUCT, pocl)
    assert not found.better
    assert found.tried == 1


def test_a_search_keeps_no_wrong_kernel(monkeypatch, pocl):
    wrong = Short(**vars(OTHER))
    monkeypatch.setattr(ProductTrial, "changes", lambda self, parameters: [wrong])
    monkeypatch.setattr(ProductTrial, "seconds", lambda self, made, limit=2.0: 1.0 if limit > 1 else 1e-9)
    trial = ProductTrial(PRODUCT, runtime_of(pocl))
    found = search.search(trial, trial.start, 60)
    assert found.parameters != wrong
    assert found.tried == 2


@pytest.mark.parametrize("kind", ["CPU", "discrete GPU"])
def test_neighbours_fit_the_device(kind, pocl):
    device = replace(pocl, kind=kind, local_memory=48 << 10, largest_group=256)
    for product in (Product(1024, 1024, 1024), Product(32, 4096, 512, transpose_b=True)):
        start = choose(product, device)
        found = [*neighbours(start, product, device)]
        assert len(found) > 5
        assert all(each.valid() and each.local_memory(product, fixed=False) <= 48 << 10 for each in found)


def test_the_products_of_a_program():
    shapes = [product.shape for product in programs.products(program())]
    assert len(shapes) == len(set(shapes)) == 8
    assert shapes[0] == "32×64×64 a b float32"
    assert "64×32×64 aT b float32" in shapes
    assert not any("32×64×64 a bT" in shape for shape in shapes), "nobody asks for the gradient of the data"


# What is kept --------------------------------------------------------------------------------------------------------


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
    store.forget()
    assert choose(PRODUCT, pocl) == before
    assert store.keep(pocl, {PRODUCT.shape: OTHER})
    assert choose(PRODUCT, pocl) == OTHER


def test_a_file_tells_what_its_settings_are_for(folder, pocl):
    store.keep_step(pocl, optimise(program("digits_longer")), chosen(pocl))
    (file,) = (folder / "tuned").iterdir()
    (entry,) = json.loads(file.read_text("utf-8"))["steps"].values()
    assert "28 × 32×256×256 a b float32" in entry["products"]
    assert entry["instructions"] == 270
    assert entry["settings"]["lanes"] == 4


def test_a_file_from_before_steps_were_tuned(folder, pocl):
    store.keep(pocl, {PRODUCT.shape: OTHER})
    (file,) = (folder / "tuned").iterdir()
    held = json.loads(file.read_text("utf-8"))
    del held["steps"]
    file.write_text(json.dumps(held), "utf-8")
    store.forget()
    step = optimise(program())
    assert suited(step, pocl) == untuned(step, pocl)
    assert store.keep_step(pocl, step, chosen(pocl))
    assert suited(step, pocl) == chosen(pocl)
    assert store.tuned(pocl) == {PRODUCT.shape: OTHER}


@pytest.mark.parametrize(
    "damage",
    [
        "nonsense",
        {},
        {"settings": {}},
        {"settings": {"lanes": 3, "registers": 6}},
        {"settings": {"lanes": 8, "registers": 6.5}},
        {"settings": {"lanes": 8, "registers": 1 << 20}},
        {"settings": {"lanes": 8, "registers": 6, "tile": 0}},
        {"settings": {"lanes": 8, "registers": 6, "large": "much"}},
        {"settings": {"lanes": 8, "registers": 6, "whole": "yes"}},
        {"settings": {"lanes": 8, "registers": 6, "more": 1}},
    ],
)
def test_a_damaged_entry_is_ignored(folder, pocl, damage):
    step, other = optimise(program()), optimise(program("moons"))
    for each in (step, other):
        assert store.keep_step(pocl, each, chosen(pocl))
    assert store.keep(pocl, {PRODUCT.shape: OTHER})
    (file,) = (folder / "tuned").iterdir()
    held = json.loads(file.read_text("utf-8"))
    held["steps"][programs.key(step)] = damage
    file.write_text(json.dumps(held), "utf-8")
    store.forget()
    assert suited(step, pocl) == untuned(step, pocl)
    assert suited(other, pocl) == chosen(pocl)
    assert store.tuned(pocl) == {PRODUCT.shape: OTHER}


def test_settings_for_another_kind_of_device_are_ignored(folder, pocl):
    step = optimise(program())
    gpu = replace(pocl, kind="discrete GPU", largest_group=64)
    store.keep_step(pocl, step, chosen(pocl))
    assert suited(step, gpu) == untuned(step, gpu)
    for group, kept in ((64, True), (128, False)):
        settings = replace(usual(gpu), group=group, items=32)
        store.keep_step(gpu, step, settings)
        assert (suited(step, gpu) == settings) == kept


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def searched(monkeypatch, pocl):
    """No search: what is asked for is noted, and what it finds is set."""
    asked = []

    def found(trial, start, seconds):
        asked.append((trial, seconds))
        parameters = OTHER if isinstance(trial, ProductTrial) else chosen(pocl)
        return Found(parameters, before=2.0, after=1.0, tried=7, interrupted=len(asked) == searched.stop)

    def searched():
        return asked

    searched.stop = 0
    monkeypatch.setattr(report, "search", found)
    monkeypatch.setattr(ProductTrial, "numpy", lambda self: 3.0)
    return searched


def test_tuning_a_step_and_its_products(folder, monkeypatch, pocl, searched):
    step = small(pocl)
    monkeypatch.setattr(StepTrial, "handed", lambda self, settings: [Product(9, 5, 33, True)])
    lines = []
    first, *others = report.tune(step, str(pocl.index), 20.0, lines.append)
    assert (first.what, first.before, first.after, first.rulers, first.kept) == (report.STEP, 2.0, 1.0, {}, True)
    assert first.chosen == "lanes=4 registers=3 whole=False"
    assert lines[1] == "the captured step: 2.00× after 7 tried"
    assert [each.what for each in others] == [
        "9×33×5 aT b float32",
        "33×7×9 a b float32 (without capture)",
        "7×33×9 aT b float32 (without capture)",
        "33×9×5 a b float32 (without capture)",
        "33×5×9 a bT float32 (without capture)",
    ]
    assert all((each.rulers, each.kept) == ({"numpy": 3.0}, True) for each in others)
    assert others[0].chosen.startswith("panels tile_rows=4")
    assert lines[-1] == f"{others[-1].what}: 2.00× after 7 tried"
    assert suited(optimise(step), pocl) == chosen(pocl)
    assert choose(Product(9, 5, 33, True), pocl) == OTHER
    (trial, seconds), *_ = searched()
    assert isinstance(trial, StepTrial)
    assert 5 < seconds < 15


@pytest.mark.parametrize("stop", [1, 2])
def test_ctrl_c_keeps_what_was_found(folder, pocl, searched, stop):
    searched.stop = stop
    step = small(pocl)
    lines = []
    assert len(report.tune(step, str(pocl.index), 20.0, lines.append)) == stop
    assert lines[-1] == "interrupted: what was found until now is kept"
    assert suited(optimise(step), pocl) == chosen(pocl)
    assert len(store.tuned(pocl)) == stop - 1


def test_ctrl_c_between_two_searches(folder, monkeypatch, pocl, searched):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(ProductTrial, "start", property(interrupted))
    lines = []
    assert len(report.tune(small(pocl), str(pocl.index), 20.0, lines.append)) == 1
    assert lines[-1] == "interrupted: what was found until now is kept"


@pytest.mark.parametrize(
    ("place", "name", "value", "said"),
    [
        (steps, "rehearsed", lambda program: False, "takes more than rows of data"),
        (StepTrial, "finite", False, "no finite numbers"),
    ],
)
def test_a_step_that_cannot_be_checked_stays_as_it_is(folder, monkeypatch, pocl, searched, place, name, value, said):
    monkeypatch.setattr(place, name, value)
    step = small(pocl)
    lines = []
    found = report.tune(step, str(pocl.index), 20.0, lines.append)
    assert len(found) == 5
    assert said in lines[1]
    assert suited(optimise(step), pocl) == untuned(optimise(step), pocl)


def test_there_must_be_somewhere_to_keep_it(folder, monkeypatch, pocl):
    monkeypatch.setenv("PYCROGRAD_CACHE", "off")
    with pytest.raises(BackendError, match="unset PYCROGRAD_CACHE"):
        report.tune(program(), str(pocl.index), 1.0, print)
