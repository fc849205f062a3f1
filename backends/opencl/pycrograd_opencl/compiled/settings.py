"""What decides how a captured step is cut up and launched: by default what was measured to pay on a kind of device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Program

    from ..devices import Device

SMALL = 2e5  # operations of a step that takes microseconds however it is done
SMALL_ON_GPU = 2e6  # operations of a step that one work-group does before as many launches as it has tasks begin
FEW = 100  # instructions that such a step may have: they are one kernel, and drivers take long over long ones


@dataclass(frozen=True)
class Settings:
    """What differs from device to device, and from step to step.

    `lanes` is how many float32 a task works on at once: on a CPU the vectors are explicit, on a GPU the lanes are
    work-items and it is 1. `registers` is how many sums of such vectors a task holds at once. `tile` is the
    multiplications of an update's tile, many times what it costs to begin one. A product of more than `large`
    operations has a kernel of its own, and so have those of rows that keep too few units busy with more than `busy`.
    `whole`: all of a step is one launch, of one work-item on a CPU and of one group of `group` elsewhere; None: if that
    is estimated to be faster. `items` are the work-items of a group elsewhere, where there are tiles for many groups.
    """

    lanes: int
    registers: int
    tile: int = 1 << 19
    large: float = 1e8
    busy: float = 1e7
    whole: bool | None = None
    group: int = 256
    items: int = 64


def usual(device: Device) -> Settings:
    """The settings for steps that are neither small nor tuned."""
    if not device.is_cpu:
        return Settings(1, 4, group=min(256, device.largest_group), items=min(64, device.largest_group))
    if device.lanes >= 16:
        return Settings(16, 12)  # of 32 registers
    return Settings(16 if device.lanes >= 8 else 8, 6)  # of 16 registers: a vector takes two


def suited(program: Program, device: Device) -> Settings:
    """The settings for a program on a device: those that `pycrograd tune` found for its step, or the untuned ones."""
    from ..tuning.store import tuned_step

    return tuned_step(program, device) or untuned(program, device)


def untuned(program: Program, device: Device) -> Settings:
    """The settings for a program of this size on a device of this kind."""
    settings = usual(device)
    if not device.is_cpu:
        small = program.flops <= SMALL_ON_GPU and sum(1 for _ in program.instructions) <= FEW
        return replace(settings, whole=small)
    if program.flops < SMALL:  # little code, which takes a fraction of the time to compile
        return replace(settings, lanes=min(8, max(4, device.lanes)), registers=2)
    return settings
