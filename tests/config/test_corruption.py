"""Whatever is typed into a configuration, the answer is a configuration or a ConfigError with a place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycrograd_core.config import dump, parse_config
from pycrograd_core.errors import ConfigError

VALID = """\
kind: train
name: digits
data: {dataset: moons, noise: 0.2}
model:
  - linear: 64
  - relu
  - repeat: 29
    layers:
      - linear: {out_features: 32, bias: false}
      - dropout
  - table: {sizes: [1, 2], anything: "x"}
loss: cross_entropy
optimiser: {name: sgd, learning_rate: 0.01}  # a comment
training:
  epochs: 10
  batch_size: 32
"""
PATHS = ["name", "data.samples", "model", "model.0.linear", "optimiser", "optimiser.learning_rate", "training.epochs"]

# characters that mean something to YAML, some that mean nothing, and some that may not stand in a file
typed = st.sampled_from(list("\t\n\r :-?{}[],#&*!|>'\"%@`~.0123456789eE_xXU\\=<\0\x07\x85\u2028\ufeff\ud800é𝄞"))
typed |= st.sampled_from(
    ["- ", ": ", "&a ", "*a", "!!int ", "\n---\n", "...\n", "%YAML 1.1\n", '"\\U', ".nan", "1e999"]
)
edits = st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 4), typed | st.just("")), min_size=1, max_size=6)


def corrupted(text, edits):
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    return text


def check(text, registries, overrides=()):
    try:
        outcome = parse_config(text, "run.yaml", registries, overrides)
    except ConfigError as error:
        outcome = error
    if isinstance(outcome, ConfigError):
        assert outcome.line is not None or outcome.file.startswith("--set ")
        assert str(outcome).encode()
    else:
        assert parse_config(dump(outcome), "again.yaml", registries) == outcome


@settings(max_examples=500, deadline=None)
@given(edits=edits)
def test_a_corrupted_configuration_is_no_traceback(registries, edits):
    check(corrupted(VALID, edits), registries)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_is_no_traceback(registries, text):
    with pytest.raises(ConfigError):
        parse_config(text, "run.yaml", registries)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS) | st.text(), value=st.text() | st.lists(typed).map("".join))
def test_a_corrupted_override_is_no_traceback(registries, path, value):
    check(VALID, registries, [f"{path}={value}"])
