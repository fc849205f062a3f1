"""Benchmarks: what a contestant is given and gives back, who takes part, and whether what they compute is right."""

from .correctness import objection, reference_losses
from .problem import Contestant, Problem, Work
from .register import contestants

__all__ = ["Contestant", "Problem", "Work", "contestants", "objection", "reference_losses"]
