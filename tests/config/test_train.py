"""What a valid configuration says: its values, its defaults, its places, and the YAML that it is written back to."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pycrograd_core.config import Component, DataConfig, Place, TrainingConfig, dump, parse_config, resolved
from pycrograd_core.errors import ConfigError

LONGER = """\
kind: train
name: digits_longer
backend: numpy
data:
  dataset: digits
  samples: 100
model:
  - linear: 64
  - relu
  - repeat: 29
    layers:
      - linear: 256
      - relu
  - linear: {out_features: 10, bias: false}
loss: cross_entropy
optimiser: {name: sgd, learning_rate: 1e-2}
training:
  epochs: 10
  batch_size: 32
"""


@pytest.fixture
def longer(registries):
    return parse_config(LONGER, "longer.yaml", registries)


def with_option(registries, text):
    """The options of a `table` layer that is given one option."""
    config = parse_config(LONGER.replace("- relu\n  - repeat", f"- table: {text}\n  - repeat"), "run.yaml", registries)
    return config.model[1].options


def test_values_and_defaults(longer):
    linear = {"out_features": 64, "bias": True, "initialiser": "kaiming_uniform"}
    assert (longer.kind, longer.name, longer.seed, longer.dtype) == ("train", "digits_longer", 0, "float32")
    assert (longer.backend, longer.device) == ("numpy", None)
    assert longer.data == DataConfig(Component("digits"), samples=100, validation=0.2)
    assert longer.model[:2] == (Component("linear", linear), Component("relu"))
    assert longer.model[-1] == Component("linear", {**linear, "out_features": 10, "bias": False})
    assert [layer.name for layer in longer.model] == ["linear", "relu"] * 30 + ["linear"]
    assert longer.loss == Component("cross_entropy", {"smoothing": 0.0})
    assert longer.optimiser == Component("sgd", {"learning_rate": 0.01, "momentum": 0.0})
    assert longer.schedule == Component("constant")
    assert longer.training == TrainingConfig(epochs=10, batch_size=32, clip_norm=None, checkpoint_every=1)


def test_places(longer):
    assert longer.place("backend") == Place("longer.yaml", 3, 10)
    assert longer.place("training.epochs") == Place("longer.yaml", 18, 11)
    assert longer.place("training.clip_norm") == Place("longer.yaml", 18, 3), "the mapping where it would be"
    assert longer.place("device") == Place("longer.yaml", 1, 1)
    assert longer.data.dataset.place == Place("longer.yaml", 5, 12)
    assert [longer.model[i].place.line for i in (0, 1, 2, 3, 4, -1)] == [8, 9, 12, 13, 12, 14]
    assert longer.optimiser.place == Place("longer.yaml", 16, 19)
    assert longer.schedule.place == Place("longer.yaml", 1, 1)


def test_a_component_points_at_its_line(longer):
    error = longer.model[-1].error("expected 3 rows, found 4")
    assert isinstance(error, ConfigError)
    assert str(error) == "longer.yaml:14:5: linear: expected 3 rows, found 4"


def test_repetitions_nest(registries):
    nested = "- {repeat: 2, layers: [relu, {repeat: 2, layers: [dropout]}]}"
    config = parse_config(LONGER.replace("- linear: 64", nested), "run.yaml", registries)
    assert [layer.name for layer in config.model[:6]] == ["relu", "dropout", "dropout"] * 2


def test_a_model_can_be_registered(registries):
    head, _, tail = LONGER.partition("model:")
    tail = tail[tail.index("loss:") :]
    config = parse_config(f"{head}model: {{name: mlp, sizes: [64, 32]}}\n{tail}", "run.yaml", registries)
    assert config.model == Component("mlp", {"sizes": [64, 32], "activation": "relu"})
    assert parse_config(dump(config), "again.yaml", registries) == config


def test_callbacks_are_listed_like_layers(registries):
    assert parse_config(LONGER, "run.yaml", registries).callbacks == ()
    text = f"{LONGER}callbacks: [clock, clock, board, board: there, board: {{every: 2}}]\n"
    config = parse_config(text, "run.yaml", registries)
    options = [{"logdir": None, "every": 1}, {"logdir": Path("there"), "every": 1}, {"logdir": None, "every": 2}]
    assert config.callbacks == (*[Component("clock")] * 2, *(Component("board", each) for each in options))
    assert parse_config(dump(config), "again.yaml", registries) == config
    assert parse_config(LONGER, "run.yaml", registries, ["callbacks=[clock]"]).callbacks == (Component("clock"),)
    assert parse_config(f"{LONGER}callbacks: []\n", "run.yaml", registries).callbacks == ()


def test_an_option_of_the_data_set_that_the_run_has_too_goes_to_both(registries):
    data = parse_config(LONGER.replace("dataset: digits", "dataset: moons"), "run.yaml", registries).data
    assert (data.samples, data.dataset.options) == (100, {"samples": 100, "noise": 0.1})
    given = parse_config(LONGER.replace("dataset: digits\n  samples: 100", "dataset: moons"), "", registries).data
    assert (given.samples, given.dataset.options["samples"]) == (100, 100), "the factory's default"
    every = parse_config(LONGER.replace("  samples: 100\n", ""), "run.yaml", registries).data
    assert every.samples is None


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("{sizes: [1, 2]}", "sizes", [1, 2]),
        ("[1, 2]", "sizes", [1, 2]),
        ("{window: [1, 2]}", "window", (1, 2)),
        ("{scales: [1, .5, 1e-3]}", "scales", (1.0, 0.5, 0.001)),
        ("{weights: {a: 1}}", "weights", {"a": 1.0}),
        ("{file: some/table.csv}", "file", Path("some/table.csv")),
        ("{limit: 3}", "limit", 3.0),
        ("{limit: auto}", "limit", "auto"),
        ("{anything: {a: [1, x]}}", "anything", {"a": [1, "x"]}),
        ("{axis: rows}", "axis", "rows"),
        ("{axis: null}", "axis", None),
        ("{axis: }", "axis", None),
    ],
)
def test_options_have_the_type_that_the_factory_asks_for(registries, text, option, value):
    found = with_option(registries, text)[option]
    assert found == value
    assert type(found) is type(value)


def test_a_default_that_yaml_cannot_write_is_left_to_the_factory(registries):
    assert "activation" not in with_option(registries, "")
    assert with_option(registries, "")["window"] == (3, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, text) for text in ("no", "off", "yes", "on", "y", "n", "tRUE", "1_000", "190:20", "2026-01-02", "1e")],
        *[
            (text, text)
            for text in ("0b1", "0o8", "+.nan", "nan", "inf", "1,5", "--", "=", "<<", "nULL", "1.2.3", "e3")
        ],
        *[(text, None) for text in ("null", "Null", "NULL", "~", "")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[("12", 12), ("+12", 12), ("-12", -12), ("007", 7), ("0x1F", 31), ("0o17", 15), ("0", 0)],
        *[
            ("1e-3", 1e-3),
            ("1.5e3", 1500.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1E+2", -100.0),
            ("0.1", 0.1),
            ("-.5e1", -5.0),
        ],
        *[(f"'{text}'", text) for text in ("1", "true", "null", "~", "1e-3", "")],
        *[
            ("9223372036854775807", 2**63 - 1),
            ("|\n        1", "1\n"),
            ('"1"', "1"),
            (">-\n        a\n        b", "a b"),
        ],
    ],
)
def test_scalars_are_those_of_yaml_1_2(registries, text, value):
    layer = f"- table:\n      anything: {text}\n  - repeat"
    config = parse_config(LONGER.replace("- relu\n  - repeat", layer), "run.yaml", registries)
    found = config.model[1].options["anything"]
    assert found == value
    assert type(found) is type(value)


def test_the_dumped_configuration_loads_again(registries, longer):
    assert parse_config(dump(longer), "again.yaml", registries) == longer
    assert dump(parse_config(dump(longer), "again.yaml", registries)) == dump(longer)
    assert yaml.safe_load(dump(longer)) == resolved(longer)


def test_the_dumped_configuration_stays_short(longer):
    first = {"linear": {"out_features": 64, "bias": True, "initialiser": "kaiming_uniform"}}
    middle = {"linear": {**first["linear"], "out_features": 256}}
    last = {"linear": {**first["linear"], "out_features": 10, "bias": False}}
    assert resolved(longer)["model"] == [first, {"repeat": 29, "layers": ["relu", middle]}, "relu", last]


@settings(max_examples=50, deadline=None)
@given(model=st.lists(st.sampled_from(["relu", "dropout", "linear: 2", "linear: 3"]), min_size=1, max_size=30))
def test_folding_repetitions_changes_no_layer(registries, model):
    head, _, tail = LONGER.partition("model:")
    layers = "".join(f"  - {layer}\n" for layer in model)
    config = parse_config(f"{head}model:\n{layers}{tail[tail.index('loss:') :]}", "run.yaml", registries)
    assert parse_config(dump(config), "again.yaml", registries).model == config.model


# what YAML 1.1 and 1.2 read differently, and what needs quotes
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["1e-3", "no", "0o17", "0x1f", "1_000", "12:30", "2026-01-02", "null", "~", "", ".inf", "1\n", "a: b", "- a", "#"]
)


@settings(max_examples=50, deadline=None)
@given(
    name=texts.filter(bool),
    option=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_plain_value_survives_the_dump(registries, name, option):
    config = parse_config(LONGER, "run.yaml", registries)
    table = parse_config(LONGER.replace("- relu\n  - repeat", "- table\n  - repeat"), "run.yaml", registries).model[1]
    table = replace(table, options={**table.options, "anything": option})
    config = replace(config, name=name, model=(table, table))
    again = parse_config(dump(config), "again.yaml", registries)
    assert again == config
    if isinstance(option, float):
        assert math.copysign(1, again.model[0].options["anything"]) == math.copysign(1, option)
