"""Modules, layers, losses and initialisers."""

from pycrograd_core.ops import cross_entropy, max_margin, mean_squared_error
from pycrograd_core.registry import Registry

from .init import kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform
from .layers import GELU, Activation, Dropout, Embedding, LayerNorm, Linear, ReLU, Sigmoid, Softmax, Tanh
from .models import mlp
from .module import Module, Sequential

layers = Registry("layer", supplied=("in_features", "stream"))
for _name, _layer in {
    "linear": Linear,
    "relu": ReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "gelu": GELU,
    "softmax": Softmax,
    "dropout": Dropout,
    "layer_norm": LayerNorm,
}.items():
    layers.register(_name, _layer)

models = Registry("model", supplied=("inputs", "outputs"))
models.register("mlp", mlp)

__all__ = [
    "GELU",
    "Activation",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "cross_entropy",
    "kaiming_normal",
    "kaiming_uniform",
    "layers",
    "max_margin",
    "mean_squared_error",
    "mlp",
    "models",
    "xavier_normal",
    "xavier_uniform",
]
