"""Repetition in a sequence: what lets a program of thirty equal layers be shown as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

LONGEST = 24  # steps of the pattern that repeats
FEWEST = 3  # times that it must come


class Block(NamedTuple):
    """`times` times the same `length` keys, from position `start` on."""

    start: int
    length: int
    times: int


def repeats(keys: Sequence[Hashable]) -> list[Block]:
    """The sequence as blocks, from left to right, each the one that covers most from where it starts."""
    blocks: list[Block] = []
    start = 0
    while start < len(keys):
        best = Block(start, 1, 1)
        for length in range(1, min(LONGEST, (len(keys) - start) // FEWEST) + 1):
            times = _times(keys, start, length)
            if times >= FEWEST and times * length > best.times * best.length:
                best = Block(start, length, times)
        blocks.append(best)
        start += best.times * best.length
    return blocks


def _times(keys: Sequence[Hashable], start: int, length: int) -> int:
    """How often the `length` keys from `start` on come in a row."""
    position = start + length
    while position < len(keys) and keys[position] == keys[position - length]:
        position += 1
    return (position - start) // length
