"""The engine on 200 random graphs over every differentiable op, against an oracle that shares no code with it."""

from collections import Counter
from heapq import heappush

import numpy as np
import pytest

from pycrograd_core import Tensor, autograd, grad
from pycrograd_core.conformance.graphs import GRAPHS, evaluate, graph
from pycrograd_core.op import Op
from pycrograd_core.ops import TABLE

TOLERANCE = {
    "float32": 2e-5,
    "float64": 1e-9,
}  # of a graph's greatest gradient; correct ones come within 5e-7 and 2e-11
BINARY = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")


def run(entries, dtype, create_graph):
    """The result of a graph, and the gradient of each leaf, by the engine."""
    tensors, leaves = [], []
    for entry in entries:
        if entry.op:
            tensors.append(TABLE[entry.op](*[tensors[i] for i in entry.inputs], **entry.params))
            continue
        whole = entry.value.dtype == np.int32
        tensors.append(Tensor(entry.value, entry.requires_grad, dtype="int32" if whole else dtype))
        if entry.requires_grad:
            leaves.append(tensors[-1])
    result = tensors[-1]
    if create_graph:
        return result.item(), [g.numpy() for g in grad(result, leaves, create_graph=True, allow_unused=True)]
    result.backward()
    zeros = [np.zeros(leaf.shape) for leaf in leaves]
    return result.item(), [zero if x.grad is None else x.grad.numpy() for x, zero in zip(leaves, zeros, strict=True)]


def disagreements(dtype, graphs=range(GRAPHS), create_graph=False):
    """The graphs whose result or gradients differ from the oracle's, as they are found."""
    for number in graphs:
        entries, expected, oracle = graph(number)
        result, gradients = run(entries, dtype, create_graph)
        scale = max(np.abs(gradient).max() for gradient in oracle)
        errors = [np.abs(found - gradient).max() for found, gradient in zip(gradients, oracle, strict=True)]
        value_off = abs(result - expected) > TOLERANCE[dtype] * max(1.0, abs(expected))
        if value_off or not max(errors) <= TOLERANCE[dtype] * scale:
            yield f"graph {number}: {result} for {expected}, gradients off by {[f'{error:.1e}' for error in errors]}"


def test_the_graphs_have_every_op_fan_out_and_broadcasting():
    uses, shared, broadcast = Counter(), 0, 0
    for number in range(GRAPHS):
        entries, _, _ = graph(number)
        uses.update(entry.op for entry in entries)
        consumers = Counter(i for entry in entries for i in entry.inputs)
        shared += any(n > 1 and entries[i].op for i, n in consumers.items())
        values = evaluate(entries, [entry.value for entry in entries if entry.requires_grad])
        broadcast += any(entry.op in BINARY and len({values[i].shape for i in entry.inputs}) > 1 for entry in entries)
    assert all(uses[op.name] >= 10 for op in TABLE.values() if op.differentiable)
    assert shared >= GRAPHS // 2
    assert broadcast >= GRAPHS // 2


@pytest.mark.parametrize("create_graph", [False, True], ids=["backward", "create_graph"])
def test_random_graphs(create_graph, dtype):
    assert list(disagreements(dtype, create_graph=create_graph)) == []


# That the oracle notices: each of these mutants of the engine, and 1 % more on the gradient of any op ---------------


def last_contribution_wins(self, tensor, gradient):
    if id(tensor) in self.pending:
        self.pending[id(tensor)] = gradient
    else:
        ADD(self, tensor, gradient)


def first_contribution_wins(self, tensor, gradient):
    if id(tensor) not in self.pending:
        ADD(self, tensor, gradient)


def a_shared_node_runs_once_for_each_consumer(self, tensor, gradient):
    if id(tensor) in self.pending and tensor.node is not None:
        heappush(self.queue, (-tensor.node.order, tensor))
        self.pending[id(tensor)] = self.pending[id(tensor)] + gradient
    else:
        ADD(self, tensor, gradient)


def one_element_for_the_sum(op, gradient, shape):
    row_stop, col_stop = (1 if wanted == 1 else there for wanted, there in zip(shape, gradient.shape, strict=True))
    return TABLE["slice"](gradient, row_start=0, row_stop=row_stop, col_start=0, col_stop=col_stop)


ADD = autograd._Pass.add
MUTANTS = [
    {"add": last_contribution_wins},
    {"add": first_contribution_wins},
    {
        "add": a_shared_node_runs_once_for_each_consumer,
        "take": lambda self, tensor: self.pending[id(tensor)],  # and each time with all that has come together
    },
    {"_unbroadcast": one_element_for_the_sum},
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[next(iter(mutant.values())).__name__ for mutant in MUTANTS])
def test_a_wrong_engine_is_found_out(mutant, dtype, monkeypatch):
    for name, function in mutant.items():
        monkeypatch.setattr(autograd if name == "_unbroadcast" else autograd._Pass, name, function)
    assert len(list(disagreements(dtype, range(40), create_graph=True))) > 10


def test_a_wrong_gradient_of_any_op_is_found_out(dtype, monkeypatch):
    rule = Op.rule
    for wrong in [op for op in TABLE.values() if op.gradients and op.differentiable]:
        for slope in [i for i, each in enumerate(wrong.gradients) if each]:

            def mutated(op, position, wrong=wrong, slope=slope):
                right = rule(op, position)
                if op is not wrong or (position != slope and not op.variadic):
                    return right
                return lambda g, y, *inputs, **params: right(g, y, *inputs, **params) * 1.01

            monkeypatch.setattr(Op, "rule", mutated)
            having = (n for n in range(GRAPHS) if wrong.name in {entry.op for entry in graph(n)[0]})
            assert next(disagreements(dtype, having), None), f"{wrong.name}, input {slope}"
