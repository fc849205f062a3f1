import subprocess
import sys
import typing

import annotated_types
import pytest

from pycrograd_core.data import Dataset, datasets, known_size, load
from pycrograd_core.errors import PluginError
from pycrograd_core.registry import UnknownNameError


def test_names_and_options():
    options = {name: list(datasets.options(name)) for name in datasets}
    assert options == {
        "moons": ["samples", "noise"],
        "digits": [],
        "mnist": ["path", "part"],
        "csv": ["path", "label", "task", "delimiter", "header"],
    }


@pytest.mark.parametrize("name", list(datasets))
def test_annotations_can_be_read_at_run_time(name):
    hints = typing.get_type_hints(datasets[name], include_extras=True)
    assert hints["return"] is Dataset
    assert set(datasets.options(name)) <= set(hints)


def test_constraints_are_part_of_the_annotations():
    hints = typing.get_type_hints(datasets["moons"], include_extras=True)
    assert hints["samples"] == typing.Annotated[int, annotated_types.Gt(0)]


@pytest.mark.parametrize("name", ["moons", "digits"])
def test_the_known_size_is_the_true_one(name):
    data = load(name, {}, seed=0)
    assert known_size(name) == (data.inputs, data.outputs)


def test_sizes_known_without_the_data():
    assert known_size("mnist") == (784, 10)
    assert known_size("csv") is None


def test_load_passes_options_and_the_seed():
    first, second = (load("moons", {"samples": 12}, seed).features.tolist() for seed in (1, 2))
    assert len(first) == 12
    assert first != second


def test_load_of_an_unknown_name():
    with pytest.raises(UnknownNameError, match="there is no data set 'moon'; did you mean 'moons'"):
        load("moon", {}, seed=0)


def test_a_factory_must_yield_a_dataset(monkeypatch):
    monkeypatch.setitem(datasets._factories, "pair", lambda: ([1], [2]))
    with pytest.raises(PluginError, match=r"'pair' of .*test_registered is a tuple, not a Dataset"):
        load("pair", {}, seed=0)


def test_the_package_imports_nothing_heavy():
    heavy = ("numpy", "sklearn", "urllib.request", "http.client")
    program = f"import sys, pycrograd_core.data; print([name for name in {heavy} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
