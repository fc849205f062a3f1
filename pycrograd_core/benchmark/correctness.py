"""Correct before fast: the first losses of a contestant are held against the same steps in float64."""

from __future__ import annotations

import math

from .problem import Problem, Work

COMPARED = 3  # first losses: the second is right only if the first update was
TOLERANCE = 1e-4  # relative; float32 is off by about 1e-6


def reference_losses(problem: Problem) -> list[float]:
    """The first losses of a problem, by NumPy in float64."""
    import numpy as np

    weights = [weight.astype("float64") for weight in problem.weights]
    biases = [np.zeros((1, size)) for size in problem.sizes[1:]]
    rows, losses = np.arange(problem.batch), []
    for _ in range(COMPARED):
        activations = [problem.inputs.astype("float64")]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            activations.append(np.maximum(activations[-1] @ weight + bias, 0))
        logits = activations[-1] @ weights[-1] + biases[-1]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses.append(-float(logits[rows, problem.labels].mean()))
        g = np.exp(logits)
        g[rows, problem.labels] -= 1
        g /= problem.batch
        for layer in reversed(range(len(weights))):
            x, weight = activations[layer], weights[layer]
            down = (g @ weight.T) * (x > 0)
            weight -= problem.learning_rate * (x.T @ g)
            biases[layer] -= problem.learning_rate * g.sum(axis=0, keepdims=True)
            g = down
    return losses


def objection(work: Work, expected: list[float]) -> str | None:
    """Make the first steps of a work. What is wrong with their losses, if anything, in words."""
    found: list[float] = []
    while len(found) < len(expected):
        losses = list(work.losses(work.call()))
        if len(losses) != work.steps:
            return f"a call of {work.steps} steps gave {len(losses)} losses"
        found += losses
    first = found[: len(expected)]
    if all(math.isclose(own, right, rel_tol=TOLERANCE) for own, right in zip(first, expected, strict=True)):
        return None
    return f"its first losses are {_shown(first)}, they should be {_shown(expected)}"


def _shown(losses: list[float]) -> str:
    return ", ".join(f"{loss:.6g}" for loss in losses)
