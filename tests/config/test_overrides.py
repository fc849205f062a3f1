"""`--set path=value`: what it changes, and the mistakes that it can hold."""

import re

import pytest

from pycrograd_core.config import Component, Place, parse_config
from pycrograd_core.errors import ConfigError

TEXT = """\
kind: train
name: digits
data: {dataset: digits}
model:
  - linear: 64
  - relu
  - linear: {out_features: 10}
loss: cross_entropy
optimiser: sgd
schedule:
training: {epochs: 10, batch_size: 32}
"""


def load(registries, *overrides):
    # the text needs these two, which the tests override again
    return parse_config(TEXT, "run.yaml", registries, ["optimiser.learning_rate=0.5", "schedule=constant", *overrides])


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=3", lambda config: config.training.epochs == 3),
        ("training.clip_norm=1.0", lambda config: config.training.clip_norm == 1.0),
        ("training={epochs: 2, batch_size: 1}", lambda config: config.training.batch_size == 1),
        ("name=a=b", lambda config: config.name == "a=b"),
        ("name='3'", lambda config: config.name == "3"),
        ("device=1", lambda config: config.device == 1),
        ("device=", lambda config: config.device is None),
        ("data.samples=5", lambda config: config.data.samples == 5),
        ("data.dataset=moons", lambda config: config.data.dataset.name == "moons"),
        ("model.0.linear=128", lambda config: config.model[0].options["out_features"] == 128),
        ("model.2.linear.bias=false", lambda config: config.model[2].options["bias"] is False),
        ("model.1=dropout", lambda config: config.model[1].name == "dropout"),
        ("model=[relu, linear: 3]", lambda config: [layer.name for layer in config.model] == ["relu", "linear"]),
        ("model={name: mlp, sizes: [1]}", lambda config: config.model.name == "mlp"),
        ("optimiser=adam", lambda config: config.optimiser.name == "adam"),
        ("optimiser.learning_rate=1e-1", lambda config: config.optimiser.options["learning_rate"] == 0.1),
        ("loss.smoothing=0.1", lambda config: config.loss == Component("cross_entropy", {"smoothing": 0.1})),
        ("schedule={name: step, every: 3}", lambda config: config.schedule.options["every"] == 3),
        (" training.epochs = 7 ", lambda config: config.training.epochs == 7),
    ],
)
def test_an_override_takes_the_place_of_a_value(registries, override, value):
    assert value(load(registries, override))


def test_missing_mappings_are_made_on_the_way(registries):
    without = TEXT.replace("schedule:\n", "").replace("training: {epochs: 10, batch_size: 32}\n", "")
    overrides = ["optimiser.learning_rate=1", "schedule.name=step", "schedule.every=2"]
    overrides += ["training.epochs=1", "training.batch_size=2"]
    config = parse_config(without, "run.yaml", registries, overrides)
    assert (config.training.epochs, config.training.batch_size) == (1, 2)
    assert config.schedule == Component("step", {"every": 2, "factor": 0.1})
    empty = parse_config(TEXT, "run.yaml", registries, ["optimiser.learning_rate=1", *overrides[1:3]])
    assert empty.schedule == config.schedule, "the file has `schedule:` with nothing after it"


def test_the_last_override_holds(registries):
    assert load(registries, "seed=1", "seed=2").seed == 2
    assert load(registries, "optimiser.learning_rate=1", "optimiser={name: sgd, learning_rate: 2}", "seed=3").seed == 3


def test_an_overridden_value_has_the_place_of_the_override(registries):
    config = load(registries, "backend=numpy", "model.0=dropout")
    assert config.place("backend") == Place("--set backend=numpy")
    assert str(config.place("backend").error("no such backend")) == "--set backend=numpy: no such backend"
    assert config.model[0].place == Place("--set model.0=dropout")
    assert config.model[1].place == Place("run.yaml", 6, 5)
    assert config.optimiser.place == Place("run.yaml", 9, 12), "the name is still that of the file"


@pytest.mark.parametrize("override", ["epochs", "=3", "a..b=1", ".a=1", "a.=1", "", " =1"])
def test_an_override_has_a_form(registries, override):
    with pytest.raises(ConfigError, match=f"^--set {re.escape(override)}: expected PATH=VALUE, such as"):
        load(registries, override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=ten", "training.epochs: expected a whole number greater than 0, found 'ten'"),
        ("training.epoch=3", "training: unknown key 'epoch'; did you mean 'epochs'?"),
        ("trainin.epochs=3", "unknown key 'trainin'; did you mean 'training'?"),
        ("optimiser.momentun=0.9", "optimiser: unknown key 'momentun'; did you mean 'momentum'?"),
        ("optimiser.name=sdg", "optimiser.name: there is no optimiser 'sdg'; did you mean 'sgd'?"),
        ("kind=tarin", "kind: there is no kind 'tarin'; did you mean 'train'?"),
        ("name.first=x", "name is 'digits', which has no parts; set name as a whole"),
        ("training.epochs.most=3", "training.epochs is 10, which has no parts"),
        ("model.0.linear.bias=false", "model.0.linear is 64, which has no parts; set model.0.linear as a whole"),
        ("model.3=relu", "model is a list of 3: expected an index from 0 to 2, found '3'"),
        ("model.-1=relu", "model is a list of 3: expected an index from 0 to 2, found '-1'"),
        ("model.x=relu", "model is a list of 3: expected an index from 0 to 2, found 'x'"),
        ("model.²=relu", "model is a list of 3: expected an index from 0 to 2, found '²'"),
        ("model=[]", "model: expected a list of one or more layers"),
        (".".join("a" * 2000) + "=1", "more than 40 levels deep"),
        ("name=[a", "expected ',' or ']' in the list or mapping"),
        ("name=!!str a", "the tag 'tag:yaml.org,2002:str' is not allowed"),
        ("training={epochs: 1, epochs: 2}", "the key 'epochs' is given twice"),
        ("seed=1_000", "seed: expected a whole number of at least 0, found '1_000'"),
        ("loss=", "loss: expected the loss's name"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(registries, override, message):
    with pytest.raises(ConfigError) as caught:
        load(registries, override)
    assert str(caught.value).startswith(f"--set {override}: {message}")
    assert caught.value.line is None


def test_an_option_missing_from_an_override_is_missed_there(registries):
    with pytest.raises(ConfigError, match=r"^--set schedule=step: schedule: missing the key 'every'"):
        load(registries, "schedule=step")


def test_an_index_into_an_empty_list(registries):
    with pytest.raises(ConfigError, match="model is empty, found '0'"):
        load(registries, "model=[]", "model.0=relu")
