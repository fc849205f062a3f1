"""The mistakes of a new user: each has its exit code, one message that says where and what, and never a traceback."""

import ctypes
import errno
import io
import os
import re
import struct
import sys

import numpy as np
import pytest

from places import BACKENDS

FLOWERS = "length,width,height,species\n"
ROW = "1.5,2,3,0\n"

# what to replace in tiny.yaml, by what; the place; what the message says
IN_THE_FILE = [
    # a typo in each kind of key
    ("kind: train", "kind: trian", "2:7", "there is no kind 'trian'; did you mean 'train'?"),
    ("name: tiny", "nmae: tiny", "3:1", "unknown key 'nmae'; did you mean 'name'?"),
    ("dataset: csv", "dataset: cvs", "4:17", "there is no data set 'cvs'; did you mean 'csv'?"),
    ("path: flowers", "paht: flowers", "4:22", "data: unknown key 'paht'; did you mean 'path'?"),
    ("validation: 0.2", "validaton: 0.2", "4:41", "data: unknown key 'validaton'; did you mean 'validation'?"),
    ("relu", "rellu", "5:21", "model.1: there is no layer 'rellu'; did you mean 'relu'?"),
    ("linear: 32", "linear: {out_feature: 32}", "5:18", "unknown key 'out_feature'; did you mean 'out_features'?"),
    ("[linear: 32, relu, linear: 3]", "{name: mpl}", "5:15", "there is no model 'mpl'; did you mean 'mlp'?"),
    ("[linear: 32, relu, linear: 3]", "{name: mlp, size: [3]}", "5:20", "unknown key 'size'; did you mean 'sizes'?"),
    ("cross_entropy", "crossentropy", "6:7", "there is no loss 'crossentropy'; did you mean 'cross_entropy'?"),
    ("name: sgd", "name: sdg", "7:19", "there is no optimiser 'sdg'; did you mean 'sgd'?"),
    ("learning_rate", "learing_rate", "7:24", "unknown key 'learing_rate'; did you mean 'learning_rate'?"),
    ("training:", "schedule: cosin\ntraining:", "8:11", "there is no schedule 'cosin'; did you mean 'cosine'?"),
    ("training:", "schedule: {name: step, evry: 0.1}\ntraining:", "8:24", "unknown key 'evry'; did you mean 'every'?"),
    ("training:", "trainig:", "8:1", "unknown key 'trainig'; did you mean 'training'?"),
    ("epochs: 3", "epoch: 3", "8:12", "training: unknown key 'epoch'; did you mean 'epochs'?"),
    # wrong types, sizes and values
    ("epochs: 3", "epochs: three", "8:20", "training.epochs: expected a whole number greater than 0, found 'three'"),
    ("epochs: 3", "epochs: 2.5", "8:20", "expected a whole number greater than 0, found 2.5"),
    ("epochs: 3", "epochs: 0", "8:20", "expected a whole number greater than 0, found 0"),
    ("batch_size: 16", "batch_size: -16", "8:35", "expected a whole number greater than 0, found -16"),
    ("linear: 32", "linear: -32", "5:17", "expected a whole number greater than 0, found -32"),
    ("linear: 32", "linear: wide", "5:17", "expected a whole number greater than 0, found 'wide'"),
    ("validation: 0.2", "validation: 20", "4:53", "expected a number of at least 0 and less than 1, found 20"),
    ("validation: 0.2", "validation: 0.2, samples: -5", "4:67", "greater than 0 or null, found -5"),
    ("learning_rate: 0.1", "learning_rate: fast", "7:39", "expected a number greater than 0, found 'fast'"),
    ("learning_rate: 0.1", "learning_rate: '0.1'", "7:39", "expected a number greater than 0, found the text '0.1'"),
    ("learning_rate: 0.1", "learning_rate: .nan", "7:39", "expected a finite number, found .nan"),
    ("name: tiny", "name: 2024", "3:7", "found 2024; put it in quotes"),
    # what is missing
    ("loss: cross_entropy\n", "", "2:1", "missing the key 'loss': the loss's name"),
    ("loss: cross_entropy", "loss:", "6:6", "loss: expected the loss's name, or a mapping with the key 'name'"),
    ("linear: 3]", "linear]", "5:27", "missing the key 'out_features': a whole number greater than 0"),
    (", path: flowers.csv", "", "4:17", "data: missing the key 'path': text"),
    (", batch_size: 16", "", "8:11", "training: missing the key 'batch_size': a whole number greater than 0"),
    # YAML
    ("data: {dataset: csv, path: flowers.csv", "data:\n  dataset: csv\n   path: flowers.csv", "6:8", "indentation"),
    ("data: {dataset: csv", "data:\n  dataset: csv\n path: x", "6:2", "this line does not fit the indentation"),
    ("loss: cross_entropy", "\tloss: cross_entropy", "6:1", "a tab cannot be used here; indent with spaces"),
    ("linear: 3]", "linear: 3", "6:5", "expected ',' or ']' in the list or mapping that begins on line 5"),
    ("loss: cross_entropy", "loss cross_entropy", "6:1", "expected ':' after this key"),
    ("loss: cross_entropy", "loss: cross_entropy\nloss: max_margin", "7:1", "the key 'loss' is given twice"),
    # what does not fit together
    ("linear: 3]", "linear: 4]", "5:27", "the model ends in 4 outputs, but the loss cross_entropy on csv needs 3"),
    ("cross_entropy", "max_margin", "6:7", "the loss max_margin needs two classes; csv has 3 classes"),
    ("cross_entropy", "mean_squared_error", "6:7", "needs numbers as targets; csv has 3 classes"),
    ("validation: 0.2", "validation: 0.2, samples: 500", "4:67", "cannot take 500 samples of data set 'flowers.csv'"),
    ("learning_rate: 0.1", "nesterov: true", "7:19", "sgd: nesterov needs a momentum above 0"),
    ("name: tiny", "name: ../tiny", "3:7", "the run's folder cannot be called '../tiny': choose one with --out"),
]  # fmt: skip


def check_mistake(ended, code, start, *fragments):
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert ended.err.startswith(start), ended.err
    for fragment in fragments:
        assert fragment in ended.err
    assert ended.code == code


def replace(file, old, new):
    text = file.read_text()
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["lines", "json"])
@pytest.mark.parametrize(("old", "new", "place", "message"), IN_THE_FILE)
def test_a_mistake_in_the_configuration(here, cli, old, new, place, message, as_json):
    replace(here / "tiny.yaml", old, new)
    check_mistake(cli("run", "tiny.yaml", *as_json), 2, f"error: tiny.yaml:{place}: ", message)
    assert not any((here / "runs").glob("*"))


@pytest.mark.parametrize(("old", "new", "place", "message"), IN_THE_FILE[:-4])
def test_inspect_tells_the_same(here, cli, old, new, place, message):
    replace(here / "tiny.yaml", old, new)
    check_mistake(cli("inspect", "tiny.yaml"), 2, f"error: tiny.yaml:{place}: ", message)


NEAR = BACKENDS[0][:-1] + "_"  # a typo in a backend's name

# the words after `pycrograd`; the code; how the message begins; what it says
ON_THE_LINE = [
    ("run tiny.yaml --set trainig.epochs=3", 2, "error: --set trainig.epochs=3: ", "did you mean 'training'?"),
    ("run tiny.yaml --set training.epochs", 2, "error: --set training.epochs: ", "expected PATH=VALUE"),
    ("run tiny.yaml --set model.7=relu", 2, "error: --set model.7=relu: ", "model is a list of 3"),
    ("run tiny.yaml --set seed=-1", 2, "error: --set seed=-1: seed: ", "of at least 0, found -1"),
    ("run tiny.yaml --samples 500", 2, "error: --samples 500: ", "cannot take 500 samples", "it has 50"),
    (f"run tiny.yaml --backend {NEAR}", 2, f"error: --backend {NEAR}: ", f"did you mean {BACKENDS[0]!r}?", "Known: "),
    ("run tiny.yaml --backend 3", 2, "error: --backend 3: ", "there is no backend '3' installed"),
    ("run tiny.yaml --backend=", 2, "error: --backend : ", "there is no backend '' installed"),
    ("run tiny.yaml --device gpu", 2, "error: --device gpu: ", "a device needs a backend", "--backend"),
    ("run tiny.yml", 2, "error: tiny.yml: ", "there is no such file; did you mean 'tiny.yaml'?"),
    ("run flowers", 2, "error: flowers: ", "there is no such file"),
    ("run .", 2, "error: .: ", "this is a folder; expected a YAML file"),
    ("run flowers.csv", 2, "error: flowers.csv:1:1: ", "expected keys and values, beginning with 'kind: train'"),
    ("run tiny.yaml --resume", 2, "error: runs/: ", "no run of tiny to resume; name its folder with --out"),
    ("run tiny.yaml --resume --out x", 2, "error: x: ", "there is no run in this folder to resume"),
    ("run tiny.yaml --out .", 2, "error: .: ", "there is a config.yaml here already", "--resume"),
    ("run tiny.yaml --out flowers.csv", 1, "error: cannot make the folder flowers.csv: ", "File exists"),
    ("run tiny.yaml --out /dev/null/x", 1, "error: cannot make the folder /dev/null/x: ", "Not a directory"),
    ("inspect tiny.yml", 2, "error: tiny.yml: ", "did you mean 'tiny.yaml'?"),
    ("train_digits --length 9999", 2, "error: --length 9999: ", "it has 1797"),
    (f"train_digits --backend {NEAR}", 2, f"error: --backend {NEAR}: ", f"did you mean {BACKENDS[0]!r}?"),
    ("train_mnist --path nowhere", 1, "error: nowhere: ", "there is no such folder"),
    # what the parser of the command line says
    ("run", 2, "Usage: pycrograd run ", "Missing argument 'CONFIG'"),
    ("runn tiny.yaml", 2, "Usage: pycrograd ", "No such command 'runn'", "run"),
    ("run tiny.yaml --epoch 3", 2, "Usage: pycrograd run ", "No such option: --epoch", "--epochs"),
    ("run tiny.yaml --epochs 0", 2, "Usage: pycrograd run ", "Invalid value for '--epochs'", "1"),
    ("run tiny.yaml --epochs three", 2, "Usage: pycrograd run ", "Invalid value for '--epochs'", "integer"),
    ("run tiny.yaml --samples -3", 2, "Usage: pycrograd run ", "Invalid value for '--samples'"),
    ("run tiny.yaml --seed x", 2, "Usage: pycrograd run ", "Invalid value for '--seed'"),
    ("train_digits --length 0", 2, "Usage: pycrograd train_digits ", "Invalid value for '--length'"),
    ("run tiny.yaml tiny.yaml", 2, "Usage: pycrograd run ", "tiny.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "start", "fragments"), [(*row[:3], row[3:]) for row in ON_THE_LINE])
def test_a_mistake_on_the_command_line(here, cli, words, code, start, fragments):
    (here / "config.yaml").write_text("mine")
    check_mistake(cli(*words.split()), code, start, *fragments)
    assert (here / "config.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", BACKENDS)
def test_an_unknown_device(here, cli, name):
    ended = cli("run", "tiny.yaml", "--backend", name, "--device", "nowhere")
    check_mistake(ended, 2, "error: --device nowhere: ", "nowhere", name)


def test_an_unknown_backend_in_the_environment(here, cli, monkeypatch):
    monkeypatch.setenv("PYCROGRAD_BACKEND", NEAR)
    start = f"error: PYCROGRAD_BACKEND={NEAR}: there is no backend {NEAR!r}"
    check_mistake(cli("run", "tiny.yaml"), 2, start, f"did you mean {BACKENDS[0]!r}?")
    assert cli("run", "tiny.yaml", "--backend", BACKENDS[0]).code == 0


# what flowers.csv holds; the settings; what the message says
IN_THE_DATA = [
    ("", "", "flowers.csv: the file is empty"),
    (FLOWERS, "", "flowers.csv: a header, but no rows after it"),
    (FLOWERS + ROW + "1,wide,3,0\n", "", "flowers.csv:3: column 'width': 'wide' is not a number"),
    (FLOWERS + ROW + "1,nan,3,0\n", "", "flowers.csv:3: column 'width': 'nan' is not a finite float32 number"),
    (FLOWERS + ROW + "1,1e99,3,0\n", "", "flowers.csv:3: column 'width': '1e99' is not a finite float32 number"),
    (FLOWERS + ROW + "1,,3,0\n", "", "flowers.csv:3: column 'width': the value is missing"),
    (FLOWERS + ROW + "1,2,0\n", "", "flowers.csv:3: 3 cells, but line 1 has 4"),
    (FLOWERS + "1;2;3;0\n", "", "flowers.csv:2: 1 cells, but line 1 has 4"),
    (FLOWERS + ROW * 9, "data.label=specis", "flowers.csv:1: there is no label column 'specis'; did you mean 'spec"),
    (FLOWERS + ROW * 9, "data.path=flower.csv", "flower.csv: there is no such file"),
    (FLOWERS + ROW * 9, "data.path=.", ".: this is a folder, not a CSV file"),
    (FLOWERS + "1,2,3,\xe9\n", "", "flowers.csv:2: not UTF-8 text (byte 0xe9); save the file as UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "setting", "message"), IN_THE_DATA)
def test_a_mistake_in_the_data(here, cli, content, setting, message):
    (here / "flowers.csv").write_bytes(content.encode("latin-1"))
    check_mistake(cli("run", "tiny.yaml", *(["--set", setting] if setting else [])), 1, f"error: {message}")
    assert not any((here / "runs").glob("*"))


def test_a_label_out_of_range(here, cli):
    labels = np.array([3, 12], np.uint8)
    for name, values in (("images-idx3", np.zeros((2, 28, 28), np.uint8)), ("labels-idx1", labels)):
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        (here / f"train-{name}-ubyte").write_bytes(head + values.tobytes())
    ended = cli("train_mnist", "--path", here, "--length", 2)
    check_mistake(ended, 1, "error: data set 'mnist': row 1: the label 12 is outside 0 … 9")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_learning_rate_that_is_too_high(here, cli, name):
    ended = cli("run", "tiny.yaml", "--backend", name, "--set", "optimiser.learning_rate=1e20", "--json")
    check_mistake(ended, 1, "error: the loss is not finite at epoch 1, step ", "lower the learning rate", "clip_norm")
    assert len(ended.err.splitlines()) == 1, "nothing but the message"


def test_all_mistakes_are_told_at_once(here, cli):
    for old, new in (("relu", "rellu"), ("epochs: 3", "epoch: 3")):
        replace(here / "tiny.yaml", old, new)
    ended = cli("run", "tiny.yaml", "--backend", "3", "--set", "seed=x")
    lines = ended.err.splitlines()
    assert ended.code == 2
    assert lines[1] == "and 2 more mistakes:"
    assert [re.match(r"(error: )?(.+?): ", line)[2] for line in (lines[0], *lines[2:])] == [
        "tiny.yaml:5:21", "tiny.yaml:8:12", "--set seed=x",
    ]  # fmt: skip


def test_more_than_the_memory(here, cli):
    ended = cli("run", "tiny.yaml", "--set", "model=[linear: 9000000000000, linear: 3]")
    check_mistake(ended, 1, "error: not enough memory")
    assert not any((here / "runs").glob("*"))


def test_a_folder_that_cannot_be_written(here, cli):
    (here / "run" / ".config.yaml.partial").mkdir(parents=True)
    ended = cli("run", "tiny.yaml", "--out", "run", "--json")
    check_mistake(ended, 1, f"error: cannot write run/config.yaml: {os.strerror(errno.EISDIR)}\n")


class Full(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_output_that_cannot_be_written(here, cli, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    ended = cli("run", "tiny.yaml", "--json")
    check_mistake(ended, 1, f"error: cannot write the output: {os.strerror(errno.ENOSPC)}\n")
    assert (here / "runs" / "tiny" / "summary.json").exists()


def test_a_terminal_without_the_characters(here, cli, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert cli("inspect", "tiny.yaml").code == 0
    sys.stdout.flush()
    assert b"Linear(3 ? 32)   16?32" in written.getvalue()


# A plugin that is broken is no user's mistake: its author needs the traceback


def test_a_broken_backend_shows_its_own_traceback(here, cli, monkeypatch):
    from pycrograd_core.errors import BackendError
    from pycrograd_core.training import build

    def broken(name, device):
        try:
            ctypes.CDLL("libdevice.so.1")
        except OSError as failure:
            raise BackendError(f"the backend {name!r} cannot be loaded: {failure}") from failure

    monkeypatch.setattr(build, "get_backend", broken)
    ended = cli("run", "tiny.yaml", "--backend", BACKENDS[0])
    assert ended.code == 2
    assert ended.err.startswith("Traceback")
    assert ended.err.count("Traceback") == 1
    *_, raised, told = ended.err.splitlines()
    assert raised.startswith("OSError: libdevice.so.1")
    assert told.startswith(f"error: --backend {BACKENDS[0]}: the backend {BACKENDS[0]!r} cannot be loaded: libdevice")


def test_a_callback_that_fails_shows_its_own_traceback_and_the_run_goes_on_from_there(here, cli, monkeypatch):
    from pycrograd_core.training import Callback, callbacks

    class Uploads(Callback):
        def epoch_ended(self, trainer, record):
            if record["epoch"] == 2:
                raise ConnectionError("no network")

    monkeypatch.setitem(callbacks._factories, "uploads", Uploads)
    ended = cli("run", "tiny.yaml", "--set", "callbacks=[uploads]")
    assert ended.code == 1
    *_, raised, told = ended.err[ended.err.index("Traceback") :].splitlines()
    assert ended.err.count("Traceback") == 1
    assert raised == "ConnectionError: no network"
    again = "pycrograd run runs/tiny/config.yaml --out runs/tiny --resume"
    failed = "the callback 'uploads' failed in epoch_ended: ConnectionError: no network"
    assert told == f"error: {failed}; once that is mended: {again}"
    assert cli(*again.split()[1:]).code == 0
    assert (here / "runs" / "tiny" / "summary.json").exists()


def test_a_defect_of_the_program_is_not_hidden(here, cli, monkeypatch):
    from pycrograd_core.training import build

    monkeypatch.setattr(build, "load_data", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli("run", "tiny.yaml")
