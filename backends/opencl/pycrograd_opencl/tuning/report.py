"""The hook behind `pycrograd tune`: a program's captured step, then its products, and what is kept of what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

from pycrograd_core.capture.program import Program
from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import Tuned
from pycrograd_opencl.devices import Device, choose
from pycrograd_opencl.gemm.choice import Parameters
from pycrograd_opencl.gemm.product import Product
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.runtime import runtime_of
from pycrograd_opencl.storage import folder

from . import steps, store
from .products import ProductTrial
from .programs import products
from .search import Found, search
from .steps import StepTrial

STEP = "the captured step"
EAGER = "(without capture)"
LEAST_SHARE, MOST_SHARE = 0.25, 0.75  # of the time, for a step that does none of its products itself, or all of them
CLIMBING = 0.67  # of a step's time; the rest is for the networks of awkward sizes


def tune(program: Program, device: str | None, seconds: float, notice: Callable[[str], None]) -> list[Tuned]:
    """Search settings for a step on a device, and parameters for its products. What is found is stored at once.

    Stops early, with what it has, at Ctrl-C. Raises BackendError if there is nowhere to store anything.
    """
    chosen = choose(device)
    if folder() is None:
        raise BackendError("there is no folder for what tuning finds: unset PYCROGRAD_CACHE, or name a folder")
    deadline = perf_counter() + seconds
    wanted = products(program)
    report = _Report(chosen, notice)
    notice(f"{STEP} and {len(wanted)} products on {chosen.label}")
    try:
        _tune_all(program, wanted, report, deadline)
    except KeyboardInterrupt:
        notice("interrupted: what was found until now is kept")
    return report.found


def _tune_all(program: Program, wanted: Sequence[Product], report: _Report, deadline: float) -> None:
    """The step, the products that it leaves to the generator, then those that only eager mode multiplies."""
    handed = wanted
    if steps.rehearsed(program):
        handed = _tune_step(program, wanted, report, deadline)
    else:
        report.notice(f"{STEP} takes more than rows of data: its settings stay as they are")
    ordered = sorted(wanted, key=lambda product: product not in handed)
    for position, product in enumerate(ordered):
        share = product.flops / sum(each.flops for each in ordered[position:])
        what = product.shape if product in handed else f"{product.shape} {EAGER}"
        _tune_product(product, what, report, max(0.0, deadline - perf_counter()) * share)


class _Report:
    """What was found until now."""

    def __init__(self, device: Device, notice: Callable[[str], None]) -> None:
        self.found: list[Tuned] = []
        self.device = device
        self.notice = notice

    def add(
        self, what: str, result: Found[Any], chosen: str, keep: Callable[[], bool], rulers: Mapping[str, float]
    ) -> None:
        """Store what is better, and tell. Ctrl-C, of which the search has made the best, ends the rest here."""
        if result.better and not keep():
            raise BackendError(f"{folder()} cannot be written: name another folder in PYCROGRAD_CACHE")
        self.found.append(Tuned(what, chosen, result.before, result.after, rulers, kept=result.better))
        self.notice(f"{what}: {result.before / result.after:.2f}× after {result.tried} tried")
        if result.interrupted:
            raise KeyboardInterrupt


def _tune_step(program: Program, wanted: Sequence[Product], report: _Report, deadline: float) -> Sequence[Product]:
    """Search settings for the step. Returns the products that it then leaves to the generator."""
    device = report.device
    trial = StepTrial(program, matrix_on(device))
    handed = trial.handed(trial.start)
    if not trial.finite:
        report.notice(f"{STEP} makes no finite numbers of random ones: its settings stay as they are")
        return handed
    left = sum(product.flops for product in handed)
    own = 1 - left / max(1, sum(product.flops for product in wanted))
    share = LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * own
    result = search(trial, trial.start, max(0.0, deadline - perf_counter()) * share * CLIMBING)
    settings = result.parameters
    report.add(
        STEP,
        result,
        steps.described(settings, trial.start),
        lambda: store.keep_step(device, trial.program, settings),
        {},
    )
    return trial.handed(settings)


def _tune_product(product: Product, what: str, report: _Report, seconds: float) -> None:
    """Search parameters for one product."""
    device = report.device
    trial = ProductTrial(product, runtime_of(device))
    result = search(trial, trial.start, seconds)
    rulers = {"numpy": trial.numpy()} if device.is_cpu else {}
    entry = {product.shape: result.parameters}
    report.add(what, result, described(result.parameters), lambda: store.keep(device, entry), rulers)


def described(parameters: Parameters) -> str:
    """Parameters in a line, without those that are off."""
    settings: Iterable[tuple[str, object]] = vars(parameters).items()
    named = (name if value is True else f"{name}={value}" for name, value in settings if value is not False)
    return f"{type(parameters).__name__.lower()} {' '.join(named)}"
