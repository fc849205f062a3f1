"""scikit-learn's MLPClassifier as a benchmark contestant."""

from __future__ import annotations

from collections.abc import Mapping

from pycrograd_core.benchmark import Contestant, Problem, Work
from pycrograd_core.plugins import hookimpl


def mlp_classifier(problem: Problem) -> Work:
    """The problem's network, made to begin with its weights; a step is `partial_fit` on the batch."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        problem.sizes[1:-1],
        solver="sgd",
        learning_rate_init=problem.learning_rate,
        momentum=0.0,
        alpha=0.0,
        batch_size=problem.batch,
        shuffle=False,
    )
    model.partial_fit(problem.inputs, problem.labels, classes=range(problem.sizes[-1]))  # allocates all it needs
    model.coefs_[:] = problem.weights
    model.intercepts_[:] = [np.zeros(size, "float32") for size in problem.sizes[1:]]

    def call() -> float:
        return float(model.partial_fit(problem.inputs, problem.labels).loss_)

    return Work(call, lambda loss: [loss])


@hookimpl
def pycrograd_register_contestants() -> Mapping[str, Contestant]:
    """What `benchmarks/training_step.py` calls it."""
    return {"sklearn": mlp_classifier}
