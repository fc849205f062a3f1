"""Symbolic execution: the same model, engine and optimiser, run on matrices that hold a shape and no values."""

from .symbolic import Call, recording

__all__ = ["Call", "recording"]
