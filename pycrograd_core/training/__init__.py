"""Training runs: the loop, checkpoints, the run's folder, and what a configuration becomes."""

from .build import build_model, load_data
from .catalogue import registries
from .losses import Loss, losses
from .run import TrainingRun
from .trainer import Interrupted, Observer, Trainer

__all__ = [
    "Interrupted",
    "Loss",
    "Observer",
    "Trainer",
    "TrainingRun",
    "build_model",
    "load_data",
    "losses",
    "registries",
]
