"""The reference that contestants are held against, and the contestants that it finds out."""

from dataclasses import replace

import numpy as np
import pytest

from pycrograd_core import Tensor, nn, no_grad, optim
from pycrograd_core.benchmark import Problem, Work, objection, reference_losses

SIZES = (6, 5, 4, 3)


def contestant(problem, dtype="float32"):
    """Pycrograd on the backend in use."""
    linears = [nn.Linear(*weight.shape) for weight in problem.weights]
    with no_grad():
        for linear, weight in zip(linears, problem.weights, strict=True):
            linear.weight.assign(weight)
    model = nn.Sequential(*[part for linear in linears for part in (linear, nn.ReLU())][:-1]).to(dtype=dtype)
    optimiser = optim.SGD(model.parameters(), learning_rate=problem.learning_rate)
    x, labels = Tensor(problem.inputs, dtype=dtype), Tensor(problem.labels, dtype="int32")

    def call():
        loss = nn.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return Work(call, lambda loss: loss.numpy()[:, 0].tolist())


def test_a_problem_is_the_same_each_time_and_shares_no_memory():
    one, other = (Problem.drawn(SIZES, 8) for _ in range(2))
    for mine, yours in zip((*one.weights, one.inputs), (*other.weights, other.inputs), strict=True):
        assert mine.dtype == "float32"
        assert np.array_equal(mine, yours)
        assert not np.shares_memory(mine, yours)
    assert [weight.shape for weight in one.weights] == [(6, 5), (5, 4), (4, 3)]
    assert (one.inputs.shape, one.batch, one.labels.dtype) == ((8, 6), 8, "int64")
    assert set(one.labels) <= {0, 1, 2}


@pytest.mark.parametrize("sizes", [(3, 2), SIZES, (64, 64, 32, 10)])
def test_the_reference_is_what_training_gives_in_float64(exact, sizes):
    problem = Problem.drawn(sizes, 8)
    work = contestant(problem, "float64")
    losses = [work.losses(work.call())[0] for _ in range(3)]
    assert reference_losses(problem) == pytest.approx(losses, rel=1e-12)
    assert losses[0] > losses[1] > losses[2]


def test_the_reference_leaves_the_problem_as_it_is():
    problem, untouched = Problem.drawn(SIZES, 8), Problem.drawn(SIZES, 8)
    assert reference_losses(problem) == reference_losses(problem)
    assert all(np.array_equal(a, b) for a, b in zip(problem.weights, untouched.weights, strict=True))


def test_an_honest_contestant(backend):
    expected = reference_losses(Problem.drawn(SIZES, 8))
    work = contestant(Problem.drawn(SIZES, 8))
    assert objection(work, expected) is None
    again = contestant(Problem.drawn(SIZES, 8))
    three = Work(lambda: [again.call() for _ in range(3)], lambda found: [again.losses(each)[0] for each in found], 3)
    assert objection(three, expected) is None


def skips_the_update(problem):
    work = contestant(problem)
    loss = work.call()
    return Work(lambda: loss, work.losses)


CHEATS = {
    "skips the update": skips_the_update,
    "trains other weights": lambda p: contestant(replace(p, weights=[weight * 1.01 for weight in p.weights])),
    "trains on fewer rows": lambda p: contestant(replace(p, inputs=p.inputs[:4], labels=p.labels[:4])),
    "takes greater steps": lambda p: contestant(replace(p, learning_rate=0.02)),
    "computes nothing": lambda p: Work(lambda: None, lambda nothing: [float("nan")]),
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_a_cheat_is_found_out(backend, cheat):
    expected = reference_losses(Problem.drawn(SIZES, 8))
    said = objection(cheat(Problem.drawn(SIZES, 8)), expected)
    assert said.startswith("its first losses are ")
    assert said.endswith(f"they should be {', '.join(f'{loss:.6g}' for loss in expected)}")


def test_fewer_losses_than_steps_are_no_losses():
    work = Work(lambda: None, lambda nothing: [1.0, 1.0], steps=3)
    assert objection(work, [1.0, 1.0, 1.0]) == "a call of 3 steps gave 2 losses"
