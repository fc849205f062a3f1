"""A captured step with given settings, on a device: is it right, and how long does it take?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pycrograd_core.capture.program import Program, flat
from pycrograd_opencl.compiled.choice import Choice, Way
from pycrograd_opencl.compiled.rows import dtype_of
from pycrograd_opencl.compiled.run import Run
from pycrograd_opencl.compiled.schedule import RATE_OF_GROUP, SECONDS, Schedule
from pycrograd_opencl.compiled.settings import Settings, suited
from pycrograd_opencl.gemm.product import Product
from pycrograd_opencl.matrix import OpenCLMatrix

from . import networks
from .programs import products_of
from .rehearsal import STEPS, Rehearsal, random_numbers
from .timing import least

CALL = 0.02  # seconds that a call takes, if so many steps make one

CANDIDATES: Mapping[bool, Mapping[str, Sequence[Any]]] = {  # what matters most comes first; on a CPU and elsewhere
    True: {
        "whole": (True, False),
        "lanes": (8, 16, 4),
        "registers": (4, 6, 8, 12, 2),
        "tile": (1 << 17, 1 << 21, 1 << 15, 1 << 23, 1 << 19),
        "busy": (1e6, 1e8, 1e5, 1e9, 1e7),
        "large": (1e7, 1e9, 1e6, 1e10, 1e8),
    },
    False: {
        "whole": (True, False),
        "group": (128, 512, 64, 1024, 256),
        "items": (128, 32, 256, 64),
    },
}


def rehearsed(program: Program) -> bool:
    """Whether a step is one that can be run on random data: each step of a loop takes rows of all arguments."""
    heights = {value.shape[0] for value in program.arguments}
    return len(heights) == 1 and not any(value in program.updates for value in program.arguments)


class StepTrial:
    """A step as it was traced, on a device. `start` are the settings in use. See `search.Trial`."""

    def __init__(self, program: Program, matrix: type[OpenCLMatrix]) -> None:
        self._rehearsal = Rehearsal(program, matrix, random_numbers(program))
        self._matrix = matrix
        self.program = self._rehearsal.program
        self.start = suited(self.program, self._device)
        self._first = self._rehearsal.build(self.start)
        self._expected = self._rehearsal.outcome(self._first)
        self._rehearsal.seconds(self._first, 1)
        self._steps = max(1, min(STEPS, int(CALL / self._rehearsal.seconds(self._first, 1))))
        self._seen = {self._form(self.start)}
        self._turns = deque(CANDIDATES[self._device.is_cpu].items())

    @property
    def _device(self) -> Any:
        return self._matrix.runtime.device

    @property
    def finite(self) -> bool:
        """Whether there is something to compare results with: random numbers do not suit every step."""
        return all(np.isfinite(array).all() for array in self._expected)

    def build(self, parameters: Settings) -> Run:
        """The loop, compiled."""
        return self._first if parameters == self.start else self._rehearsal.build(parameters)

    def seconds(self, made: Run, limit: float = float("inf")) -> float:
        """The least seconds of a step, in calls of many."""
        steps = self._steps
        return least(lambda: self._rehearsal.seconds(made, steps), limit * steps) / steps

    def right(self, made: Run) -> bool:
        """Whether outputs and states are those that the settings in use make."""
        return self._rehearsal.agree(self._rehearsal.outcome(made), self._expected)

    def passes(self, parameters: Settings) -> bool:
        """Whether small networks of awkward sizes are right."""
        made = self._rehearsal.schedule(parameters)
        return networks.passes(parameters, made, self._matrix, dtype_of(self.program.body))

    def changes(self, parameters: Settings) -> Iterator[Settings]:
        """One setting after the other with its other values; the next time it goes on where it was left."""
        for _ in range(len(self._turns)):
            name, values = self._turns[0]
            for value in values:
                change = replace(parameters, **{name: value})
                if self._fits(change) and (form := self._form(change)) not in self._seen:
                    self._seen.add(form)
                    yield change
            self._turns.rotate(-1)

    def handed(self, settings: Settings) -> list[Product]:
        """The products that have kernels of the generator of their own."""
        made = self._rehearsal.schedule(settings)
        grouped = made.group > 0 and not self._device.is_cpu
        chosen = Choice(made.code, self.program, self._device, made.settings, grouped)
        own = [step for step in made.planned.steps if chosen.way(step) is Way.PRODUCT]
        return list(dict.fromkeys(products_of(flat(own))))

    def _fits(self, settings: Settings) -> bool:
        """Whether the device can do it, and is not kept from all else for seconds."""
        device = self._device
        if device.is_cpu:
            return True
        bearable = not settings.whole or self.program.flops / RATE_OF_GROUP <= SECONDS
        return bearable and max(settings.group, settings.items) <= device.largest_group

    def _form(self, settings: Settings) -> tuple[Any, ...]:
        """What is run: settings that make no difference to a step make the same."""
        made: Schedule = self._rehearsal.schedule(settings)
        items = settings.items if not (made.group or self._device.is_cpu) else 0
        return made.code.functions.source, tuple(map(tuple, made.groups)), made.group, items


def described(settings: Settings, start: Settings) -> str:
    """The settings that differ from those at the start, in a line."""
    changed = {name: value for name, value in vars(settings).items() if value != getattr(start, name)}
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in changed.items()
    )
