"""Random numbers, drawn by the core and uploaded, so that every backend starts from identical bits.

A `RandomStream` is named by a seed and a path of labels ("layer 3", "epoch 7"), and is counter-based: what a stream
yields depends on its name and on the sequence of its own draws, never on what other streams have drawn. Only the raw
words of the Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11) are used, which NumPy
promises to keep, and uniform floats are made of them exactly, so a seed means the same numbers on every machine.
(Normal ones go through a logarithm and a cosine, whose last bit is the library's.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 1 << 18  # words drawn at a time: bounds the memory that a large weight matrix needs while it is drawn


class RandomStream:
    """An endless, reproducible sequence of random numbers.

    `RandomStream(seed, *labels)`: streams with the same seed and labels are equal, all others independent.
    """

    def __init__(self, seed: int, *labels: str | int) -> None:
        import numpy as np

        self.seed = seed
        self.labels = labels
        name = repr((seed, labels)).encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
        self._generator = np.random.Philox(key=key)
        self._children = 0

    def child(self, *labels: str | int) -> RandomStream:
        """The stream of the same seed, further along the path of labels. Draws nothing from this one."""
        return RandomStream(self.seed, *self.labels, *labels)

    def spawn(self) -> RandomStream:
        """The next numbered child: what each new module takes for its parameters."""
        self._children += 1
        return self.child("spawned", self._children)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """`count` float32 values, uniform in [low, high). Multiples of 2⁻²⁴ before scaling."""
        import numpy as np

        values = np.empty(count, np.float32)
        for start in range(0, count, _CHUNK):
            part = values[start : start + _CHUNK]
            part[:] = self._generator.random_raw(len(part)) >> np.uint64(40)
        values *= np.float32((high - low) * 2.0**-24)
        values += np.float32(low)
        return np.minimum(
            values, np.nextafter(np.float32(high), np.float32(low)), out=values
        )  # rounding may reach high

    def normal(self, count: int, mean: float = 0.0, deviation: float = 1.0) -> NDArray[np.float32]:
        """`count` float32 values of the normal distribution (Box and Muller 1958)."""
        import numpy as np

        values = np.empty(count + count % 2, np.float32)
        for start in range(0, len(values), _CHUNK):
            part = values[start : start + _CHUNK]
            words = self._generator.random_raw(len(part)).reshape(2, -1) >> np.uint64(11)
            radius = np.sqrt(-2.0 * np.log((words[0] + 1.0) * 2.0**-53))
            angle = words[1] * (2.0**-52 * np.pi)
            part[0::2] = radius * np.cos(angle) * deviation + mean
            part[1::2] = radius * np.sin(angle) * deviation + mean
        return values[:count]

    def permutation(self, count: int) -> NDArray[np.int64]:
        """The numbers 0 … count-1 in random order."""
        import numpy as np

        return np.argsort(self._generator.random_raw(count), kind="stable").astype(np.int64)


_default: RandomStream | None = None


def seed(value: int) -> None:
    """Restart the default stream, from which modules draw when they are given no stream of their own."""
    global _default
    _default = RandomStream(value)


def default_stream() -> RandomStream:
    """The default stream. It starts from seed 0: a program that never calls `seed` is reproducible too."""
    global _default
    if _default is None:
        _default = RandomStream(0)
    return _default


@contextmanager
def use_stream(stream: RandomStream) -> Iterator[RandomStream]:
    """Draw from this stream by default inside a `with` block, and from the former one again after it."""
    global _default
    before, _default = _default, stream
    try:
        yield stream
    finally:
        _default = before
