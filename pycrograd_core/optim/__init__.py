"""Optimisers, learning-rate schedules and gradient clipping."""

from pycrograd_core.registry import Registry

from . import schedules as _schedules
from .clipping import clip_grad_norm
from .optimisers import SGD, Adam, AdamW, Optimiser
from .schedules import Schedule

optimisers = Registry("optimiser", supplied=("parameters",))
for _name, _optimiser in {"sgd": SGD, "adam": Adam, "adamw": AdamW}.items():
    optimisers.register(_name, _optimiser)

schedules = Registry("schedule", supplied=("total_steps",))
for _factory in (_schedules.constant, _schedules.step, _schedules.cosine, _schedules.linear):
    schedules.register(_factory.__name__, _factory)

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "Schedule", "clip_grad_norm", "optimisers", "schedules"]
