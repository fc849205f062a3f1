"""Recording is switched off for a block, a function, a thread; and threads differentiate side by side."""

import threading

import pytest

from pycrograd_core import Tensor, enable_grad, grad, no_grad


def scalar(value, requires_grad=True):
    return Tensor([[value]], requires_grad)


def recorded(x):
    return (x * 2.0).requires_grad


def test_no_grad_as_a_context_nested_and_left_by_an_exception(backend):
    x = scalar(1.0)
    with no_grad():
        assert not recorded(x)
        with enable_grad():
            assert recorded(x)
            with no_grad():
                assert not recorded(x)
            assert recorded(x)
        assert not recorded(x)
        with no_grad():
            pass
        assert not recorded(x)
    assert recorded(x)
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert recorded(x)


def test_no_grad_as_a_decorator_of_a_function_that_calls_itself(backend):
    x, seen = scalar(1.0), []

    @no_grad()
    def count(n):
        seen.append(recorded(x))
        if n:
            count(n - 1)
            seen.append(recorded(x))
        else:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        count(2)
    assert not any(seen)
    assert recorded(x)


def test_no_grad_is_of_its_thread(backend):
    x, seen = scalar(1.0), {}
    with no_grad():
        thread = threading.Thread(target=lambda: seen.update(other=recorded(x)))
        thread.start()
        thread.join()
        seen["this"] = recorded(x)
    assert seen == {"other": True, "this": False}


def test_threads_differentiate_side_by_side(backend):
    """Each its own graph, over a leaf that all share."""
    shared, found = scalar(2.0), {}

    def work(number):
        x = Tensor.of(backend.full(1, 1, number, "float32"), True)
        y = x
        for _ in range(200):
            y = y * 0.5 + x * shared
        found[number] = [g.item() for g in grad(y, [x])]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [4.0] for number in range(8)}
