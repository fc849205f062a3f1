"""Losses, each the mean over the batch as a 1×1, and the count behind an accuracy."""

from __future__ import annotations

from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.op import Mismatch, Op, define

from .activations import relu
from .elementwise import greater, subtract, where
from .layout import take_rows
from .normalised import log_softmax, softmax
from .reductions import argmax, mean, sum
from .samples import Choice, Indices, Sample, Uniform
from .shapes import labelled, loss_of_labels, paired

_LABELLED = (Sample((Uniform(4, 3), Indices(4, 3))), Sample((Uniform(2, 5, -30, 30), Indices(2, 5))))


def _one_hot_shape(labels: Any, classes: int, dtype: str = "float32") -> Shape:
    if labels.shape[1] != 1 or classes < 1:
        raise Mismatch(f"the labels must be one column, n×1, and the classes at least 1, not {classes}")
    return labels.shape[0], classes


one_hot = define(
    "one_hot",
    "For each label a row of `classes` zeros, with a 1 at the label.",
    _one_hot_shape,
    (None,),
    samples=(Sample((Indices(4, 3),), {"classes": 3}),),
    decomposition=lambda labels, classes, dtype="float32": take_rows(labels.identity(classes, dtype), labels),
    indices=(0,),
    index_bound=lambda labels, classes, dtype="float32": classes,
    row_inputs=lambda labels, classes, dtype="float32": (0,),
    result_dtype=lambda labels, classes, dtype="float32": dtype,
)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    hot = one_hot(labels, classes=logits.shape[1], dtype=logits.dtype)
    return sum(where(hot, log_softmax(logits, axis=1), 0.0)) * (-1.0 / logits.shape[0])


def _cross_entropy_gradient(g: Any, logits: Any, labels: Any) -> Any:
    hot = one_hot(labels, classes=logits.shape[1], dtype=logits.dtype)
    return (softmax(logits, axis=1) - hot) * (g * (1.0 / logits.shape[0]))


def _cross_entropy_gradient_shape(g: Any, logits: Any, labels: Any) -> Shape:
    labelled(logits, labels)
    if g.shape != (1, 1):
        raise Mismatch("the gradient of the loss must be 1×1, as the loss is")
    return logits.shape


cross_entropy = define(
    "cross_entropy",
    "-log softmax(logits)[label], the mean over the rows: logits batch × classes, labels batch × 1 int32.",
    loss_of_labels,
    (lambda g, y, logits, labels: cross_entropy_gradient(g, logits, labels), None),
    samples=_LABELLED,
    decomposition=_cross_entropy,
    indices=(1,),
    index_bound=lambda logits, labels: logits.shape[1],
    tolerance=5e-6,
)
cross_entropy_gradient: Op = define(
    "cross_entropy_gradient",
    "The gradient of cross_entropy with respect to the logits: (softmax - one-hot) · g / batch.",
    _cross_entropy_gradient_shape,
    samples=(Sample((Uniform(1, 1), Uniform(4, 3), Indices(4, 3))),),
    decomposition=_cross_entropy_gradient,
    indices=(2,),
    index_bound=lambda g, logits, labels: logits.shape[1],
    tolerance=5e-6,
    row_inputs=lambda g, logits, labels: (1, 2),
)
mean_squared_error = define(
    "mean_squared_error",
    "The mean of (prediction - target)².",
    paired,
    (
        lambda g, y, a, b: (a - b) * (g * (2.0 / (a.shape[0] * a.shape[1]))),
        lambda g, y, a, b: (b - a) * (g * (2.0 / (a.shape[0] * a.shape[1]))),
    ),
    samples=(Sample((Uniform(3, 4), Uniform(3, 4))),),
    decomposition=lambda a, b: mean(subtract(a, b) * subtract(a, b)),
)
max_margin = define(
    "max_margin",
    "The mean of max(0, 1 - target · score), for targets -1 and 1 (the hinge loss).",
    paired,
    samples=(Sample((Uniform(4, 1), Choice(4, 1, (-1.0, 1.0)))),),
    decomposition=lambda scores, targets: mean(relu(1.0 - scores * targets)),
)


def _count_shape(logits: Any, labels: Any) -> Shape:
    labelled(logits, labels)
    return 1, 1


def _count_correct(logits: Any, labels: Any) -> Any:
    classes = logits.shape[1]
    predicted = one_hot(argmax(logits, axis=1), classes=classes, dtype=logits.dtype)
    return sum(predicted * one_hot(labels, classes=classes, dtype=logits.dtype))


count_correct = define(
    "count_correct",
    "How many rows have their greatest logit at the label.",
    _count_shape,
    (None, None),
    samples=_LABELLED,
    decomposition=_count_correct,
    indices=(1,),
    index_bound=lambda logits, labels: logits.shape[1],
)


def _sign_shape(scores: Any, targets: Any) -> Shape:
    return paired(scores, targets)


count_same_sign = define(
    "count_same_sign",
    "How many scores have the sign of their target, which is -1 or 1.",
    _sign_shape,
    (None, None),
    samples=(Sample((Uniform(4, 1), Choice(4, 1, (-1.0, 1.0)))),),
    decomposition=lambda scores, targets: sum(greater(scores * targets, 0.0)),
)
