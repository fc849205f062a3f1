"""The defects of the earlier implementations: each has a check that passes, and fails as soon as the defect is back.

A defect is a name, a check, and a mutation that puts it back (by pytest's monkeypatch).
"""

import subprocess
import sys
import threading
from functools import cache
from heapq import heappush

import numpy as np
import pytest

from pycrograd_core import Tensor, autograd, nn, ops, optim
from pycrograd_core.autograd import _Pass
from pycrograd_core.data import Dataset
from pycrograd_core.nn import Sequential
from pycrograd_core.optim import optimisers, schedules
from pycrograd_core.plugins import default_backend
from pycrograd_core.training import Trainer, losses

DEFECTS = {}


def defect(name, mutation):
    """Enter the decorated check under the name of the defect."""

    def enter(check):
        DEFECTS[name] = check, mutation
        return check

    return enter


def leaf(*row):
    return Tensor([list(row)], requires_grad=True)


def gradients(*leaves):
    return [None if x.grad is None else x.grad.tolist() for x in leaves]


# The engine --------------------------------------------------------------------------------------------------------


def visit_again(monkeypatch):
    """A node runs once for each of its consumers, each time with all the gradient that it has by then."""
    add = _Pass.add

    def mutated(self, tensor, gradient):
        if id(tensor) in self.pending and tensor.node is not None:
            heappush(self.queue, (-tensor.node.order, tensor))
            self.pending[id(tensor)] = self.pending[id(tensor)] + gradient
        else:
            add(self, tensor, gradient)

    monkeypatch.setattr(_Pass, "add", mutated)
    monkeypatch.setattr(_Pass, "take", lambda self, tensor: self.pending[id(tensor)])


@defect("a shared inner node is propagated twice", visit_again)
def check_shared_nodes():
    x = leaf(1.0)
    a = 3.0 * x
    (a + a).backward(retain_graph=True)
    assert gradients(x) == [[[6.0]]]


def overwrite(monkeypatch):
    add = _Pass.add

    def mutated(self, tensor, gradient):
        if id(tensor) in self.pending:
            self.pending[id(tensor)] = gradient
        else:
            add(self, tensor, gradient)

    monkeypatch.setattr(_Pass, "add", mutated)


@defect("a gradient overwrites what came before", overwrite)
def check_accumulation():
    x, b = leaf(2.0, 3.0), leaf(1.0, 1.0)
    ((x * x + x * 5.0 + b) * b).sum().backward()
    assert gradients(x, b) == [[[9.0, 11.0]], [[16.0, 26.0]]]


def overwrite_rows(monkeypatch):
    def mutated(x, indices, updates, out=None):
        values = Tensor.of(x).numpy()
        values[Tensor.of(indices).numpy()[:, 0]] += Tensor.of(updates).numpy()  # of equal rows the last one wins
        return Tensor.of(x).like(values).value

    monkeypatch.setitem(default_backend().kernels, ops.add_rows, mutated)


@defect("a row that is taken twice gets one of its gradients", overwrite_rows)
def check_repeated_rows():
    x = Tensor([[1.0], [2.0]], requires_grad=True)
    (x.take_rows([0, 1, 0, 0]) * [[1.0], [2.0], [3.0], [4.0]]).sum().backward()
    assert gradients(x) == [[[8.0], [2.0]]]


def identity_by_value(monkeypatch):
    monkeypatch.setattr(autograd, "id", lambda tensor: hash(tensor.numpy().tobytes()), raising=False)


@defect("two tensors with equal contents are one node", identity_by_value)
def check_identity():
    a, b = leaf(1.0), leaf(1.0)
    (a * 2.0 + b * 5.0 + (a * 1.0) * (b * 3.0)).backward()
    assert gradients(a, b) == [[[5.0]], [[8.0]]]


# Kernels and rules -------------------------------------------------------------------------------------------------


def start_at_zero(monkeypatch):
    kernels = default_backend().kernels
    greatest = kernels[ops.max]
    for op in (ops.softmax, ops.log_softmax):
        monkeypatch.setitem(kernels, op, op.decomposition)
    monkeypatch.setitem(kernels, ops.max, lambda x, axis=None, out=None: ops.maximum(greatest(x, axis), 0.0))


@defect("max starts at 0", start_at_zero)
def check_max_of_negative_numbers():
    x = Tensor([[-3.0, -1.0], [-200.0, -300.0]], requires_grad=True)
    assert [x.max(axis).tolist() for axis in (None, 0, 1)] == [[[-1.0]], [[-3.0, -1.0]], [[-1.0], [-200.0]]]
    assert [x.min(axis).tolist() for axis in (None, 0)] == [[[-300.0]], [[-200.0, -300.0]]]
    x.max().backward()
    assert gradients(x) == [[[0.0, 1.0], [0.0, 0.0]]]


@defect("softmax of negative numbers divides by 0", start_at_zero)
def check_softmax_of_negative_numbers():
    with np.errstate(all="ignore"):
        shares = Tensor([[-200.0, -200.0]]).softmax().tolist()
    assert shares == [[0.5, 0.5]]


def lose_updates(monkeypatch):
    """As when two threads add to one element at a time: a part of the sum is missing."""
    kernels = default_backend().kernels
    product = kernels[ops.matmul]

    def mutated(a, b, transpose_a=False, transpose_b=False, out=None):
        if transpose_a and a.rows > 1:
            a, b = (ops.slice(x, row_start=1, row_stop=x.rows, col_start=0, col_stop=x.cols) for x in (a, b))
        return product(a, b, transpose_a, transpose_b)

    monkeypatch.setitem(kernels, ops.matmul, mutated)


@defect("a data race in the gradient of matmul", lose_updates)
def check_product_gradients():
    """Whole numbers, so every order of a sum gives the same bits; four threads at once, several times."""
    numbers, like = np.random.default_rng(0), Tensor([[0.0]])
    x, w, g = (numbers.integers(-8, 9, shape).astype("float32") for shape in ((70, 33), (33, 40), (70, 40)))
    found = []

    def work():
        for _ in range(3):
            a, b = like.like(x), like.like(w)
            a.requires_grad = b.requires_grad = True
            (a @ b).backward(g)
            found.append((a.grad.numpy(), b.grad.numpy()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(np.array_equal(by_x, g @ w.T) and np.array_equal(by_w, x.T @ g) for by_x, by_w in found)


# Training ----------------------------------------------------------------------------------------------------------


def no_decay(monkeypatch):
    monkeypatch.setattr(sys.modules[optim.SGD.__module__], "_decayed", lambda optimiser, parameter, gradient: gradient)


@defect("weight decay has no gradient", no_decay)
def check_weight_decay():
    """Where the loss has no slope, every optimiser with weight decay still moves the weights towards 0."""
    for factory in (*optimisers.values(), lambda *args, **options: optim.SGD(*args, decoupled=True, **options)):
        w = leaf(2.0, -2.0)
        w.grad = Tensor([[0.0, 0.0]])
        factory([w], learning_rate=0.1, weight_decay=0.5).step()
        assert -2.0 < w.tolist()[0][1] < 0.0 < w.tolist()[0][0] < 2.0


def constant_penalty(monkeypatch):
    def mutated(op, inputs, params):
        square = len(inputs) == 2 and inputs[0] is inputs[1]
        return op(*[x.detach() for x in inputs] if square else inputs, **params)

    monkeypatch.setattr("pycrograd_core.operand.apply", mutated)


@defect("an L2 term of the loss has no gradient", constant_penalty)
def check_l2_term():
    w = leaf(2.0, -3.0)
    (w.sum() + 0.5 * (w * w).sum()).backward()
    assert gradients(w) == [[[3.0, -2.0]]]


def rate_of_one(monkeypatch):
    prepare = Trainer.__init__

    def mutated(self, *arguments, **options):
        prepare(self, *arguments, **options)
        self.base_rate = 1.0

    monkeypatch.setattr(Trainer, "__init__", mutated)


@defect("a schedule ignores the configured rate", rate_of_one)
def check_scheduled_rate():
    rates = []

    class Noting(optim.SGD):
        def step(self):
            rates.append((self.learning_rate, self.rate.item()))
            super().step()

    model = nn.Linear(2, 2)
    rows = Dataset("four rows", np.ones((4, 2), "float32"), np.zeros(4, "int32"), 2)
    optimiser = Noting(model.parameters(), learning_rate=0.25)
    twin = nn.Linear(2, 2)
    twin.load_state_dict(model.state_dict())
    options = {"epochs": 2, "batch_size": 2, "schedule": schedules["linear"]}
    Trainer(model, losses["cross_entropy"](), optimiser, rows, captured=False, **options).fit()
    assert rates == [(rate, rate) for rate in (0.25, 0.1875, 0.125, 0.0625)]
    captured = optim.SGD(twin.parameters(), learning_rate=0.25)
    Trainer(twin, losses["cross_entropy"](), captured, rows, **options).fit()
    assert np.allclose(model.weight.numpy(), twin.weight.numpy(), rtol=1e-5)


def one_name(monkeypatch):
    monkeypatch.setattr(Sequential, "parts", lambda self: (("layer", module) for module in self.modules))


@defect("30 layers are stored under one name", one_name)
def check_names():
    model, other = (nn.mlp(2, 2, sizes=[3] * 30) for _ in range(2))
    assert len({name for name, _ in model.named_parameters()}) == len(model.parameters()) == 62
    other.load_state_dict(model.state_dict())
    assert all(
        np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


# Import ------------------------------------------------------------------------------------------------------------

PRELUDE = {"code": ""}
IMPORT = """
import random, numpy
random.seed(5), numpy.random.seed(5)
expected = random.Random(5).random(), numpy.random.RandomState(5).rand()
import pycrograd_core.training, pycrograd_core.data, pycrograd_core.nn, pycrograd_core.optim, pycrograd_core.cli.app
from pycrograd_core.plugins import candidates, get_backend
for name, candidate in candidates().items():
    candidate.probe().devices and get_backend(name)
pycrograd_core.nn.Linear(3, 2), pycrograd_core.seed(1)
assert (random.random(), numpy.random.rand()) == expected, "reseeded"
"""
RESEEDING = """
import importlib.abc, sys
class Reseeding(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pycrograd_core.random":
            import random, numpy
            random.seed(1337), numpy.random.seed(1337)
sys.meta_path.insert(0, Reseeding())
"""


def reseed(monkeypatch):
    monkeypatch.setitem(PRELUDE, "code", RESEEDING)


@defect("import reseeds the global generators", reseed)
def check_import():
    assert complaint(PRELUDE["code"] + IMPORT) == ""


@cache
def complaint(code):
    """What a program says on stderr: once, as it depends on no backend."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("name", DEFECTS)
def test_the_defect_is_not_there(name, backend):
    check, _ = DEFECTS[name]
    check()


@pytest.mark.parametrize("name", DEFECTS)
def test_the_check_fails_where_the_defect_is(name, backend, monkeypatch):
    check, mutate = DEFECTS[name]
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check()
