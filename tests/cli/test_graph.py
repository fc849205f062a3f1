"""`pycrograd graph`: what it writes, and what it says when it cannot."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from places import BACKENDS

CONFIGS = Path(__file__).parents[2] / "configs"
SVG = "{http://www.w3.org/2000/svg}"


def texts(path):
    return [each.text for each in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("config", ["moons", "digits_normal"])
def test_a_drawing_names_parameters_and_results(cli, tmp_path, config, name):
    file = tmp_path / "step.svg"
    assert cli("graph", CONFIGS / f"{config}.yaml", "-o", file, "--backend", name) == (0, "", "")
    shown = texts(file)
    assert shown[0] == f"{config}: a training step on 32 rows, for {name}"
    for layer in (0, 2, 4):
        for what in ("weight", "bias"):
            assert shown.count(f"{layer}.{what} ←") == 1
    assert {"loss  1×1", "correct  1×1"} <= set(shown)


def test_raw_is_the_step_as_it_was_traced(cli, tmp_path):
    raw, fused = tmp_path / "raw.svg", tmp_path / "fused.svg"
    for file, words in ((raw, ["--raw"]), (fused, [])):
        assert cli("graph", CONFIGS / "digits_normal.yaml", "-o", file, *words).code == 0
    assert "linear(x, 0.weight, 0.bias)" in texts(raw)
    assert not {"update", "product", "rows"} & set(texts(raw))
    assert "update" in texts(fused)
    kernels = [int(texts(file)[1].split()[0]) for file in (raw, fused)]
    assert kernels[1] < kernels[0]


@pytest.mark.parametrize("words", [[], ["--raw"]], ids=["fused", "raw"])
def test_thirty_layers(cli, tmp_path, words):
    file = tmp_path / "longer.svg"
    assert cli("graph", CONFIGS / "digits_longer.yaml", "-o", file, *words).code == 0
    assert sum(text.endswith(" ←") for text in texts(file)) == 60


def test_dot(cli, tmp_path):
    file = tmp_path / "step.dot"
    assert cli("graph", CONFIGS / "moons.yaml", "-o", file).code == 0
    text = file.read_text("utf-8")
    assert text.startswith('digraph "moons: a training step on 32 rows, for ')
    assert "subgraph cluster_" in text
    assert "matmul(xᵀ, " in text


def test_settings_are_heeded(here, cli):
    assert cli("graph", "tiny.yaml", "-o", "tiny.svg", "--set", "model.0.linear=41").code == 0
    assert any("0.weight  3×41" in text for text in texts(here / "tiny.svg"))
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("words", "code", "start", "fragments"),
    [
        ("tiny.yaml -o tiny.png", 2, "Usage: pycrograd graph ", ["tiny.png", "must end in .svg or .dot"]),
        ("tiny.yaml -o svg", 2, "Usage: pycrograd graph ", ["must end in .svg or .dot"]),
        ("tiny.yaml", 2, "Usage: pycrograd graph ", ["Missing option '-o'"]),
        ("tiny.yml -o tiny.svg", 2, "error: tiny.yml: ", ["did you mean 'tiny.yaml'?"]),
        ("tiny.yaml -o tiny.svg --set modell=[]", 2, "error: --set modell=[]: ", ["did you mean 'model'?"]),
        ("tiny.yaml -o tiny.svg --backend no-such", 2, "error: --backend no-such: ", ["no backend 'no-such'"]),
        ("tiny.yaml -o nowhere/tiny.svg", 1, "error: cannot write nowhere/tiny.svg: ", ["No such file"]),
    ],
)
def test_mistakes(here, cli, words, code, start, fragments):
    ended = cli("graph", *words.split())
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(start), ended.err
    assert "Traceback" not in ended.err
    assert all(fragment in ended.err for fragment in fragments)
    assert not list(here.glob("*.svg"))


def test_the_picture_of_the_docs_is_what_the_command_draws(here, cli):
    root = Path(__file__).parents[2]
    assert cli("graph", root / "configs" / "digits_normal.yaml", "-o", "step.svg").code == 0
    assert (here / "step.svg").read_text("utf-8") == (root / "docs/images/step.svg").read_text("utf-8")
