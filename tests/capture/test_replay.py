"""The core's own replay gives what a backend's compiled program gives, and what running the step gives."""

import numpy as np
import pytest

from places import BACKENDS, EXACT
from pycrograd_core import capture, get_backend
from pycrograd_core.capture import captured
from pycrograd_core.capture.direct import direct
from twins import OPTIMISERS, Setting, assert_alike, usual, with_dropout


@pytest.fixture(params=[False, True], ids=["compiled", "replayed"])
def declining(request, monkeypatch):
    """Once with the backend's own `compile`, once with one that always declines."""
    if request.param:
        for name in BACKENDS:
            monkeypatch.setattr(get_backend(name), "compile", classmethod(lambda cls, program: None))
    return request.param


@pytest.mark.parametrize("layers", [usual, pytest.param(with_dropout, marks=pytest.mark.many_programs)])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", EXACT)
def test_steps_and_loops(declining, name, optimiser, layers):
    eager, called, looped = (Setting(name, optimiser=optimiser, layers=layers) for _ in range(3))
    step, loop = capture(called.step), capture(looped.step)
    rows = np.random.default_rng(1).integers(0, 12, (9, 7))
    expected = []
    for chosen in rows:
        x, labels = (data.take_rows(chosen) for data in (eager.x, eager.labels))
        expected.append(eager.step(x, labels).item())
        assert step(called.x.take_rows(chosen), called.labels.take_rows(chosen)).item() == pytest.approx(
            expected[-1], rel=1e-12
        )
    losses = [loop.scan(looped.x, looped.labels, rows=part).numpy() for part in (rows[:1], rows[1:5], rows[5:])]
    np.testing.assert_allclose(np.concatenate(losses)[:, 0], expected, rtol=1e-12)
    assert_alike(eager, called)
    assert_alike(eager, looped)


def test_the_straight_line_code_of_a_call_is_made_once_a_shape(backend, monkeypatch):
    made = []
    monkeypatch.setattr(captured, "direct", lambda *given: made.append(given) or direct(*given))
    setting = Setting(backend.backend, "float32")
    step = capture(setting.step)
    for size in (3, 5) * 6:
        rows = np.arange(size)
        step(setting.x.take_rows(rows), setting.labels.take_rows(rows))
    assert len(made) == 2
