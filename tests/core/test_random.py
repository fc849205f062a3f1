"""Random streams: the same numbers on every machine, and in every order of drawing."""

import hashlib
import math

import numpy as np
import pytest

import pycrograd_core
from pycrograd_core.random import RandomStream, default_stream, use_stream

LONG = (1 << 18) + 5  # more than is drawn at a time


def philox(key, count):
    """Philox 4×64 of ten rounds, after Salmon et al. (SC11): `count` words of the counters 1, 2, …"""
    low, words = 2**64 - 1, []
    for counter in range(1, math.ceil(count / 4) + 1):
        a, b, c, d = counter, 0, 0, 0
        first, second = key & low, key >> 64
        for _ in range(10):
            p, q = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
            a, b, c, d = (q >> 64) ^ b ^ first, q & low, (p >> 64) ^ d ^ second, p & low
            first, second = first + 0x9E3779B97F4A7C15 & low, second + 0xBB67AE8584CAA73B & low
        words += [a, b, c, d]
    return words[:count]


def test_the_numbers_of_a_seed_are_those_of_philox():
    """Under a key that is a hash of the stream's name. Nothing may ever change them."""
    key = int.from_bytes(hashlib.blake2b(b"(7, ('layer', 3))", digest_size=16).digest(), "little")
    assert RandomStream(7, "layer", 3).uniform(9).tolist() == [(word >> 40) / 2**24 for word in philox(key, 9)]
    order = sorted(range(9), key=philox(key, 9).__getitem__)
    assert RandomStream(7, "layer", 3).permutation(9).tolist() == order
    assert RandomStream(7, "layer", 3).uniform(2).tolist() == [0.9384204149246216, 0.7223652005195618]


def test_streams_are_named_by_seed_and_labels():
    def numbers(*name):
        return tuple(RandomStream(*name).uniform(8).tolist())

    names = [
        (0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "a/b"), (0, "a", 1), (0, "a", "1"), (0, 1, "a"), (1, "a"),
    ]  # fmt: skip
    assert len({numbers(*name) for name in names}) == len(names)
    assert numbers(0, "a") == numbers(0, "a")
    assert tuple(RandomStream(0, "a").child("b").uniform(8).tolist()) == numbers(0, "a", "b")


def test_children_depend_on_no_draw():
    stream, other = RandomStream(0), RandomStream(0)
    stream.uniform(100)
    assert np.array_equal(stream.child("x").uniform(5), other.child("x").uniform(5))
    assert np.array_equal(stream.spawn().uniform(5), other.spawn().uniform(5))
    assert np.array_equal(other.spawn().uniform(5), RandomStream(0, "spawned", 2).uniform(5))


@pytest.mark.parametrize("draw", [RandomStream.uniform, RandomStream.normal, RandomStream.permutation])
def test_how_much_is_drawn_at_a_time_changes_nothing(draw):
    stream = RandomStream(3)
    again = RandomStream(3)
    first, second = draw(stream, 6), draw(stream, 6)
    assert np.array_equal(draw(again, 6), first)
    assert np.array_equal(draw(again, 6), second)
    assert not np.array_equal(first, second)
    if draw is RandomStream.uniform:
        assert np.array_equal(RandomStream(3).uniform(12), [*first, *second])
    assert len(draw(stream, 0)) == 0
    assert len(draw(stream, 1)) == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (0.5, 1.5)])
def test_uniform(low, high):
    values = RandomStream(1).uniform(LONG, low, high)
    assert (values.dtype, len(values)) == (np.float32, LONG)
    assert low <= values.min() < low + 1e-4 * (high - low)
    assert high - 1e-4 * (high - low) < values.max() < high
    shares, _ = np.histogram(values, 16, (low, high))
    np.testing.assert_allclose(shares / LONG, 1 / 16, rtol=0.03)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_normal():
    values = RandomStream(1).normal(LONG, 3.0, 2.0)
    standard = (values.astype("float64") - 3.0) / 2.0
    assert (values.dtype, len(values)) == (np.float32, LONG)
    for n, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert np.mean(standard**n) == pytest.approx(moment, abs=4 * math.sqrt(variance / LONG))
    for limit in (0.5, 1.0, 2.0, 3.0):
        assert np.mean(np.abs(standard) < limit) == pytest.approx(math.erf(limit / math.sqrt(2)), abs=0.004)
    assert abs(np.corrcoef(standard[:-1], standard[1:])[0, 1]) < 0.01


def test_permutation():
    stream = RandomStream(1)
    for count in (0, 1, 2, 100):
        assert sorted(stream.permutation(count).tolist()) == list(range(count))
    firsts = np.bincount([stream.permutation(5)[0] for _ in range(2000)], minlength=5)
    np.testing.assert_allclose(firsts / 2000, 0.2, atol=0.04)


def test_the_default_stream():
    pycrograd_core.seed(3)
    first = default_stream().uniform(3)
    with use_stream(RandomStream(9)) as inner:
        assert default_stream() is inner
    after = default_stream().uniform(3)
    pycrograd_core.seed(3)
    assert np.array_equal(default_stream().uniform(6), [*first, *after])
    with pytest.raises(ZeroDivisionError), use_stream(RandomStream(9)):
        _ = 1 / 0
    assert default_stream().seed == 3
