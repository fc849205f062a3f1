"""Steps for the tests of tuning, as `pycrograd tune` is given them."""

from dataclasses import replace
from pathlib import Path

from pycrograd_core.config import Option, load_config
from pycrograd_core.training import registries
from pycrograd_core.training.inspection import training_step
from pycrograd_opencl.compiled.settings import usual
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.tuning import networks
from pycrograd_opencl.tuning.networks import Network

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = Network(33, (7, 9, 5))


def program(config="digits_normal"):
    """The step of a configuration: one of the project's, or a file."""
    path = config if isinstance(config, Path) else CONFIGS / f"{config}.yaml"
    return training_step(load_config(path, registries(), [Option("--backend", "backend", "opencl")])).program


def small(device, dtype="float32", network=SMALL):
    """The step of a small network."""
    return networks.traced(network, matrix_on(device), dtype)[0]


def chosen(device):
    """Settings that no program has by itself."""
    return replace(usual(device), lanes=4, registers=3, whole=False)
