"""Every mistake that a configuration can hold: the place, and the words that help."""

import pickle
import re

import pytest

from pycrograd_core.config import Mistakes, load_config, parse_config
from pycrograd_core.errors import ConfigError

VALID = """\
kind: train
name: digits
seed: 0
backend: numpy
device: gpu
dtype: float32
data:
  dataset: moons
  noise: 0.2
  samples: 100
  validation: 0.2
model:
  - linear: 64
  - relu
  - linear: {out_features: 32, bias: false}
  - repeat: 3
    layers:
      - dropout
  - table: {sizes: [1, 2]}
loss: cross_entropy
optimiser: {name: sgd, learning_rate: 0.01}
schedule: constant
training:
  epochs: 10
  batch_size: 32
  clip_norm: 1.0
  checkpoint_every: 0
callbacks:
  - clock
  - board: {every: 2}
"""

# what to replace in the valid text, by what; where the mistake then is; what the message says
MISTAKES = [
    # the top
    ("kind: train", "kind: trian", 1, 7, "there is no kind 'trian'", "did you mean 'train'?"),
    ("kind: train\n", "", 1, 1, "missing the key 'kind'", "Known: train"),
    ("kind: train", "kind: 5", 1, 7, "expected the kind", "found 5"),
    ("kind: train", "kind:", 1, 6, "expected the kind", "found nothing"),
    ("name: digits", "name: 2024", 2, 7, "expected text", "found 2024", "quotes"),
    ("name: digits", "name: ''", 2, 7, "length 1 or more", "''"),
    ("name: digits\n", "", 1, 1, "missing the key 'name'", "text"),
    ("seed: 0", "seed: -1", 3, 7, "seed: expected a whole number of at least 0, found -1"),
    ("seed: 0", "seed: 0.0", 3, 7, "expected a whole number", "found 0.0"),
    ("seed: 0", "seed: true", 3, 7, "expected a whole number", "found true"),
    ("seed: 0", "seed: '0'", 3, 7, "expected a whole number", "found the text '0'"),
    ("seed: 0", "seed: 1_000", 3, 7, "expected a whole number", "found '1_000'"),
    ("seed: 0", "seed: 99999999999999999999", 3, 7, "fits 64 bits"),
    ("seed: 0", "seed: " + "9" * 5000, 3, 7, "fits 64 bits"),
    (
        "seed: 0",
        "sede: 0",
        3,
        1,
        "unknown key 'sede'",
        "did you mean 'seed'?",
        "Known: backend, cache, callbacks, data",
    ),
    ("seed: 0", "? seed\n: - 0", 4, 3, "expected a whole number", "found a list of 1"),
    ("backend: numpy", "backend: 3", 4, 10, "expected text or null", "found 3"),
    ("device: gpu", "device: 0.5", 5, 9, "expected text or a whole number or null", "found 0.5"),
    ("dtype: float32", "dtype: flaot32", 6, 8, "unknown value 'flaot32'", "did you mean 'float32'?"),
    ("dtype: float32", "dtype: 32", 6, 8, "expected 'float32' or 'float64'", "found 32"),
    # the data
    ("dataset: moons", "dataset: mons", 8, 12, "no data set 'mons'", "did you mean 'moons'?"),
    ("dataset: moons", "dataset: [moons]", 8, 12, "expected the data set's name", "found a list of 1"),
    ("dataset: moons", "datset: moons", 8, 3, "missing the key 'dataset'", "Known: csv, digits, moons"),
    ("noise: 0.2", "nose: 0.2", 9, 3, "data: unknown key 'nose'", "did you mean 'noise'?", "samples"),
    ("noise: 0.2", "noise: -0.2", 9, 10, "data.noise: expected a number of at least 0, found -0.2"),
    ("noise: 0.2", "noise: loud", 9, 10, "expected a number", "found 'loud'"),
    ("noise: 0.2", "noise: .inf", 9, 10, "expected a finite number, found .inf"),
    ("noise: 0.2", "noise: 1e999", 9, 10, "expected a finite number, found .inf"),
    ("noise: 0.2", "seed: 3", 9, 3, "unknown key 'seed'"),
    ("dataset: moons\n  noise: 0.2", "dataset: csv", 8, 12, "data: missing the key 'path': text"),
    ("samples: 100", "samples: 0", 10, 12, "expected a whole number greater than 0", "found 0"),
    ("validation: 0.2", "validation: 1.5", 11, 15, "of at least 0 and less than 1, found 1.5"),
    ("validation: 0.2", "validation: .nan", 11, 15, "expected a finite number, found .nan"),
    ("data:\n", "data: moons\nx:\n", 7, 7, "expected the data set's name, or a mapping with the key 'dataset'"),
    # layers
    ("linear: 64", "lienar: 64", 13, 5, "no layer 'lienar'", "did you mean 'linear'?"),
    ("linear: 64", "linear: -3", 13, 13, "model.0.linear.out_features", "whole number greater than 0, found -3"),
    ("linear: 64", "linear: [64]", 13, 13, "expected a whole number", "found a list of 1"),
    ("linear: 64", "linear", 13, 5, "model.0.linear: missing the key 'out_features': a whole number greater than 0"),
    ("linear: 64", "linear:", 13, 5, "missing the key 'out_features'"),
    ("linear: 64", "linear: {bias: true}", 13, 5, "missing the key 'out_features'"),
    ("linear: 64", "linear: {in_features: 3, out_features: 3}", 13, 14, "unknown key 'in_features'"),
    ("linear: 64", "linear: 64\n    bias: false", 14, 5, "expected one layer", "linear: {bias: …}"),
    ("- relu", "- relu: 3", 14, 11, "relu takes no options, found 3"),
    ("- relu", "- rely", 14, 5, "no layer 'rely'", "did you mean 'relu'?"),
    ("- relu", "- {name: relu}", 14, 5, "a layer's name is the key of its options"),
    ("- relu", "-", 14, 4, "expected a layer", "found nothing"),
    ("- relu", "- 3", 14, 5, "expected a layer", "found 3"),
    ("- relu", "- {}", 14, 5, "expected a layer", "found a mapping"),
    ("- relu", "- [relu]", 14, 5, "expected a layer", "found a list of 1"),
    ("bias: false", "bias: no", 15, 38, "expected true or false, found 'no'"),
    ("bias: false", "bias: 0", 15, 38, "expected true or false, found 0"),
    ("bias: false", "bais: false", 15, 32, "unknown key 'bais'", "did you mean 'bias'?", "initialiser"),
    ("bias: false", "initialiser: xavier", 15, 45, "unknown value 'xavier'", "did you mean 'xavier_uniform'?"),
    ("repeat: 3", "repeat: 0", 16, 13, "model.3.repeat: expected a whole number greater than 0, found 0"),
    ("repeat: 3", "repaet: 3", 16, 5, "unknown key 'repaet'", "did you mean 'repeat'?"),
    ("repeat: 3", "repeat: 1000000", 16, 13, "at most 10000 layers", "found 1000000"),
    ("  - repeat: 3\n    layers:", "  - repeat: 3\n    layer:", 17, 5, "unknown key 'layer'", "did you mean 'layers'?"),
    ("    layers:\n      - dropout\n", "", 16, 5, "missing the key 'layers'"),
    ("      - dropout\n", "", 17, 12, "expected a list of one or more layers, found nothing"),
    ("- dropout", "- dropout: 1.0", 18, 18, "model.3.layers.0.dropout.probability", "less than 1, found 1.0"),
    # options of every type
    (
        "sizes: [1, 2]",
        "sizes: [1, 0]",
        19,
        24,
        "model.4.table.sizes.1: expected a whole number greater than 0, found 0",
    ),
    ("sizes: [1, 2]", "sizes: 3", 19, 20, "expected a list, each a whole number greater than 0, found 3"),
    (
        "sizes: [1, 2]",
        "window: [1]",
        19,
        21,
        "expected a list of 2 (a whole number, a whole number), found a list of 1",
    ),
    ("sizes: [1, 2]", "window: [1, x]", 19, 25, "window.1: expected a whole number, found 'x'"),
    ("sizes: [1, 2]", "window: [1, 2, 3]", 19, 21, "expected a list of 2", "found a list of 3"),
    ("sizes: [1, 2]", "scales: [1, x]", 19, 25, "scales.1: expected a number, found 'x'"),
    ("sizes: [1, 2]", "weights: [1]", 19, 22, "expected a mapping or null, found a list of 1"),
    ("sizes: [1, 2]", "weights: {a: x}", 19, 26, "weights.a: expected a number, found 'x'"),
    ("sizes: [1, 2]", "padding: sane", 19, 22, "unknown value 'sane'", "did you mean 'same'?"),
    ("sizes: [1, 2]", "axis: row", 19, 19, "unknown value 'row'", "did you mean 'rows'?"),
    ("sizes: [1, 2]", "file: 3", 19, 19, "expected a path, found 3"),
    ("sizes: [1, 2]", "separator: ',,'", 19, 24, "expected text of length 1, found ',,'"),
    ("sizes: [1, 2]", "slope: 2", 19, 20, "expected a number of at least 0 and of at most 1, found 2"),
    ("sizes: [1, 2]", "limit: atuo", 19, 20, "expected a number or 'auto', found 'atuo'"),
    ("sizes: [1, 2]", "activation: abs", 19, 25, "expected Callable"),
    ("sizes: [1, 2]", "matrix: [[1], [x]]", 19, 28, "matrix.1.0: expected a whole number, found 'x'"),
    ("sizes: [1, 2]", "even: 3", 19, 19, "expected an even number"),
    ("sizes: [1, 2]", "generator: 3", 19, 13, "a configuration cannot give Generator"),
    ("sizes: [1, 2]", "anything: [0, .nan]", 19, 27, "expected a finite number"),
    # models, losses, optimisers, schedules
    ("model:\n", "model: []\nx:\n", 12, 8, "expected a list of one or more layers"),
    ("loss: cross_entropy", "loss: crossentropy", 20, 7, "no loss 'crossentropy'", "did you mean 'cross_entropy'?"),
    ("loss: cross_entropy", "loss: {smoothing: 0.1}", 20, 7, "missing the key 'name'", "Known: cross_entropy"),
    ("loss: cross_entropy", "loss: [cross_entropy]", 20, 7, "expected the loss's name, or a mapping"),
    ("loss: cross_entropy\n", "", 1, 1, "missing the key 'loss'"),
    ("name: sgd", "name: sdg", 21, 19, "optimiser.name: there is no optimiser 'sdg'", "did you mean 'sgd'?"),
    ("name: sgd", "name: 3", 21, 19, "expected the optimiser's name, found 3"),
    ("learning_rate: 0.01", "learning_rate: fast", 21, 39, "expected a number greater than 0, found 'fast'"),
    (
        "learning_rate: 0.01",
        "lr: 0.01",
        21,
        19,
        "missing the key 'learning_rate'",
        "21:24: optimiser: unknown key 'lr'",
    ),
    ("{name: sgd, learning_rate: 0.01}", "sgd", 21, 12, "optimiser: missing the key 'learning_rate'", "greater than 0"),
    ("schedule: constant", "schedule: constnat", 22, 11, "no schedule 'constnat'", "did you mean 'constant'?"),
    ("schedule: constant", "schedule: {name: step}", 22, 18, "missing the key 'every': a whole number greater than 0"),
    ("schedule: constant", "schedule:", 22, 10, "expected the schedule's name", "found nothing"),
    # training
    ("epochs: 10", "epochs: ten", 24, 11, "training.epochs: expected a whole number greater than 0, found 'ten'"),
    ("epochs: 10", "epoch: 10", 24, 3, "training: unknown key 'epoch'", "did you mean 'epochs'?"),
    ("  epochs: 10\n", "", 24, 3, "training: missing the key 'epochs': a whole number greater than 0"),
    ("batch_size: 32", "batch_size: 0", 25, 15, "expected a whole number greater than 0, found 0"),
    ("clip_norm: 1.0", "clip_norm: 0", 26, 14, "expected a number greater than 0 or null, found 0"),
    ("checkpoint_every: 0", "checkpoint_every: -1", 27, 21, "expected a whole number of at least 0, found -1"),
    ("training:\n", "training: 3\nx:\n", 23, 11, "training: expected a mapping with keys such as epochs"),
    # callbacks
    ("- clock", "- clok", 29, 5, "there is no callback 'clok'", "did you mean 'clock'?", "Known: board, clock"),
    ("- clock", "- clock: 3", 29, 12, "clock takes no options, found 3"),
    ("- clock", "- 3", 29, 5, "expected a callback: its name, or its name with options; found 3"),
    ("- clock", "- {name: clock}", 29, 5, "a callback's name is the key of its options"),
    ("- clock", "- {repeat: 2, layers: [clock]}", 29, 17, "expected one callback, found the keys 'repeat', 'layers'"),
    ("every: 2", "every: 0", 30, 20, "callbacks.1.board.every: expected a whole number greater than 0, found 0"),
    ("every: 2", "evry: 2", 30, 13, "unknown key 'evry'", "did you mean 'every'?"),
    ("every: 2", "folder: here", 30, 13, "unknown key 'folder'"),
    ("callbacks:\n", "callbacks: clock\nx:\n", 28, 12, "callbacks: expected a list of callbacks, found 'clock'"),
    ("callbacks:\n", "callbacks:\nx:\n", 28, 11, "expected a list of callbacks, found nothing"),
    # YAML
    ("seed: 0", "seed: 0\nseed: 1", 4, 1, "the key 'seed' is given twice, first on line 3"),
    ("bias: false", "bias: false, bias: true", 15, 45, "the key 'bias' is given twice, first on line 15"),
    ("  noise: 0.2", "\tnoise: 0.2", 9, 1, "a tab cannot be used here; indent with spaces"),
    ("  noise: 0.2", "   noise: 0.2", 9, 9, "a ':' is not expected here; check the indentation"),
    ("  noise: 0.2", " noise: 0.2", 9, 2, "does not fit the indentation of the lines above"),
    ("name: digits", "name digits", 2, 1, "expected ':' after this key"),
    ("name: digits", "name: a: b", 2, 8, "a ':' is not expected here"),
    ("name: digits", "name: @home", 2, 7, "a value cannot begin with @; put it in quotes"),
    ("name: digits", "name: 'digits", 2, 7, "the quotation mark that opens here is never closed"),
    ("name: digits", "name: - digits", 2, 7, "give each '- ' a line of its own"),
    ("name: digits", "name: *digits", 2, 7, "the alias *digits has no anchor &digits"),
    ("name: digits", 'name: "\\UFFFFFFFF"', 2, 10, "too large"),
    ("name: digits", 'name: "\\ud800"', 2, 7, "surrogate"),
    ("name: digits", "name: \x07", 2, 7, "U+0007"),
    ("name: digits", "name: ]", 2, 7, "expected a value, found ']'"),
    ("name: digits", "name\n: digits", 2, 1, "expected ':' after this key"),
    ("learning_rate: 0.01}", "learning_rate: 0.01", 22, 9, "expected ',' or '}'", "begins on line 21"),
    ("name: digits", "name: !!python/object/apply:os.system [ls]", 2, 7, "the tag", "is not allowed"),
    ("name: digits", "name: !!str digits", 2, 7, "is not allowed"),
    ("name: digits", "? [a]\n: b", 2, 3, "expected a name as the key, found a list or a mapping"),
    ("name: digits", "? {a: b}\n: b", 2, 3, "expected a name as the key"),
    ("name: digits", "1: b", 2, 1, "expected a name as the key, found '1'"),
    ("sizes: [1, 2]", "anything: &a [*a]", 19, 23, "an alias cannot stand inside the value that it refers to"),
    ("sizes: [1, 2]", "anything: &a {b: *a}", 19, 27, "an alias cannot stand inside"),
    ("sizes: [1, 2]", "anything: " + "[" * 50 + "]" * 50, 19, 59, "more than 40 levels deep"),
    ("checkpoint_every: 0\n", "checkpoint_every: 0\n---\nkind: train\n", 28, 1, "expected a single document"),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "fragments"), [(*row[:4], row[4:]) for row in MISTAKES])
def test_a_mistake_has_a_place_and_says_what_was_expected(registries, old, new, line, column, fragments):
    assert VALID.count(old) >= 1
    with pytest.raises(ConfigError) as caught:
        parse_config(VALID.replace(old, new, 1), "run.yaml", registries)
    message = str(caught.value)
    assert message.startswith(f"run.yaml:{line}:{column}: "), message
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", "the configuration is empty"),
        ("# nothing but a comment\n", "the configuration is empty"),
        ("---\n", "the configuration is empty"),
        ("- kind: train\n", "expected keys and values, beginning with 'kind: train', found a list of 1"),
        ("train\n", "found 'train'"),
        ("3\n", "found 3"),
    ],
)
def test_the_top_is_a_mapping(registries, text, fragments):
    with pytest.raises(ConfigError, match=re.escape(fragments)) as caught:
        parse_config(text, "run.yaml", registries)
    assert (caught.value.file, caught.value.column) == ("run.yaml", 1)


def test_the_valid_text_is_valid(registries):
    assert parse_config(VALID, "run.yaml", registries).name == "digits"


def test_aliases_to_aliases_cannot_fill_the_memory(registries):
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="at most 100000 values"):
        parse_config("\n".join(bomb), "run.yaml", registries)


def test_repetitions_of_repetitions_cannot_fill_the_memory(registries):
    nested = "- relu\n"
    for _ in range(8):
        nested = "- repeat: 99\n  layers:\n" + "".join(f"    {line}\n" for line in nested.splitlines())
    layers = "".join(f"  {line}\n" for line in nested.splitlines())
    text = re.sub(r"model:\n.*(?=loss:)", lambda _: f"model:\n{layers}", VALID, flags=re.DOTALL)
    with pytest.raises(ConfigError, match="at most 10000 layers in all, found 970299"):
        parse_config(text, "run.yaml", registries)
    with pytest.raises(ConfigError, match="at most 10000 layers in all"):
        parse_config(VALID.replace("- relu", "- {repeat: 10000, layers: [relu]}"), "run.yaml", registries)


@pytest.mark.parametrize("sizes", ["[]", "3"])
def test_the_length_of_a_list_is_not_that_of_its_elements(registries, sizes):
    text = re.sub(r"model:\n.*(?=loss:)", f"model: {{name: mlp, sizes: {sizes}}}\n", VALID, flags=re.DOTALL)
    words = "expected a list of length 1 or more, each a whole number greater than 0, found"
    with pytest.raises(ConfigError, match=f"^run.yaml:12:27: model.sizes: {words}"):
        parse_config(text, "run.yaml", registries)


@pytest.mark.parametrize("model", ["{linear: 64}", "3", "", "{names: mlp}"])
def test_a_model_is_a_list_or_has_a_name(registries, model):
    text = re.sub(r"model:\n.*(?=loss:)", f"model: {model}\n", VALID, flags=re.DOTALL)
    with pytest.raises(ConfigError, match=r"run.yaml:12:\d+: model: expected a list of layers.*Known: mlp"):
        parse_config(text, "run.yaml", registries)


def test_all_mistakes_are_told_in_the_order_of_the_file(registries):
    text = VALID.replace("epochs: 10", "epochs: ten").replace("- relu", "- rely").replace("bias: false", "bais: false")
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "run.yaml", registries, ["seed=-1"])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("run.yaml:14:5: model.1: there is no layer 'rely'")
    assert lines[1] == "and 3 more mistakes:"
    assert lines[2].startswith("run.yaml:15:32: model.2.linear: unknown key 'bais'")
    assert lines[3].startswith("run.yaml:24:11: training.epochs: expected a whole number")
    assert lines[4].startswith("--set seed=-1: seed: expected a whole number of at least 0")
    assert isinstance(caught.value, Mistakes)
    assert len(caught.value.found) == 4
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_misspelt_key_is_one_mistake(registries):
    with pytest.raises(ConfigError) as caught:
        parse_config(VALID.replace("batch_size: 32", "batchsize: 32"), "run.yaml", registries)
    assert "more mistake" not in str(caught.value)


def test_a_missing_file_names_its_neighbours(registries, tmp_path):
    (tmp_path / "digits.yaml").write_text(VALID)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "digit.yaml", registries)
    place = f"{tmp_path / 'digit.yaml'}: "
    assert str(caught.value) == f"{place}there is no such file; did you mean 'digits.yaml'? Known: digits.yaml"
    with pytest.raises(ConfigError, match=r"no such file$"):
        load_config(tmp_path / "nowhere" / "digit.yaml", registries)


def test_a_folder_is_no_configuration(registries, tmp_path):
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path))}: this is a folder; expected a YAML file"):
        load_config(str(tmp_path), registries)


def test_a_path_through_a_file_cannot_be_read(registries, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "file" / "run.yaml", registries)


@pytest.mark.parametrize(
    ("content", "place"), [(b"kind: train\nname: \xe9t\xe9\n", ":2:7"), (VALID.encode("utf-16"), ":1:1")]
)
def test_text_is_utf_8(registries, tmp_path, content, place):
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))}{place}: expected UTF-8 text, found the byte 0x"):
        load_config(file, registries)


def test_a_byte_order_mark_is_no_mistake(registries, tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())
    assert load_config(tmp_path / "run.yaml", registries) == parse_config(VALID, "", registries)
