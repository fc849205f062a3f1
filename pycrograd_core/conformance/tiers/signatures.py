"""Names, parameters, capabilities and result types are those of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import CAPABILITIES, Matrix
from pycrograd_core.op import Op
from pycrograd_core.registry import nearest

_ATTRIBUTES = ("shape", "dtype", "limits", "written")


# How the core calls what is no op.
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "from_host": ((b"", 1, 1, "float32"), {}),
    "to_host": ((), {}),
    "full": ((1, 1, 0.0, "float32"), {}),
    "assign": (("source",), {}),
    "synchronize": ((), {}),
}


def _host_method(subject: Subject, name: str) -> Evidence:
    """A method that is no op can be called as the core calls it, on the class or on a matrix."""
    mine, theirs = (isinstance(inspect.getattr_static(owner, name), classmethod) for owner in (subject.matrix, Matrix))
    if mine != theirs:
        raise ConformanceError(f"{name} must {'be' if theirs else 'not be'} a classmethod")
    arguments, named = CALLS[name]
    _binds(subject, name, arguments if theirs else ("self", *arguments), named)
    return Evidence(1)


def _kernel(subject: Subject, op: Op) -> Evidence:
    """A kernel can be called as the op is: with its operands, its parameters by name and, if the op takes it, `out`."""
    for sample in op.samples:
        _binds(subject, op.name, sample.inputs, sample.params)
        if op.takes_out:
            _binds(subject, op.name, sample.inputs, {**sample.params, "out": None})
    return Evidence(len(op.samples))


def _binds(subject: Subject, name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> None:
    signature = inspect.signature(getattr(subject.matrix, name))
    try:
        signature.bind(*arguments, **named)
    except TypeError as trouble:
        called = ", ".join([*(f"x{i}" for i in range(len(arguments))), *(f"{key}=" for key in named)])
        raise ConformanceError(f"{name}{signature} cannot be called as {name}({called}): {trouble}") from None


def _capabilities(subject: Subject) -> Evidence:
    """All are known: one that is misspelt would be a promise that nobody holds the backend to."""
    if not isinstance(subject.capabilities, frozenset):
        raise ConformanceError(f"capabilities must be a frozenset, not {type(subject.capabilities).__name__}")
    for name in subject.capabilities:
        if name not in CAPABILITIES:
            raise ConformanceError(f"there is no capability {name!r}; {nearest(str(name), CAPABILITIES)}")
    return Evidence(len(subject.capabilities))


def _described(subject: Subject) -> Evidence:
    """The class says where it computes."""
    for name in ("backend", "device"):
        value = getattr(subject.matrix, name)
        if not (isinstance(value, str) and value):
            raise ConformanceError(f"{subject.matrix.__name__}.{name} is {value!r}; it should be a name")
    return Evidence(2)


def _attributes(subject: Subject, dtype: str) -> Evidence:
    """A new matrix has the attributes that the core reads, each of the type that it has."""
    matrix = subject.matrix
    made = [matrix.full(2, 3, 1.5, dtype), subject.tensor([[1.0, 2.0]], dtype).value]
    for x in [*made, made[0].transpose(), made[0].sum(None), made[0].exp()]:
        for name in _ATTRIBUTES:
            if not hasattr(x, name):
                raise ConformanceError(f"a new matrix has no attribute {name!r}: call super().__init__(shape, dtype)")
        if not (isinstance(x.shape, tuple) and len(x.shape) == 2 and all(type(n) is int for n in x.shape)):
            raise ConformanceError(f"the shape of a matrix is {x.shape!r}; it should be two Python integers")
        if x.dtype != dtype or type(x.dtype) is not str:
            raise ConformanceError(f"the dtype of a matrix is {x.dtype!r}; it should be {dtype!r}")
        if x.written != 0 or x.limits is not None:
            raise ConformanceError("a new matrix must have written = 0 and limits = None")
    return Evidence(len(made) + 3)


def checks(subject: Subject) -> Iterator[Check]:
    """One for each method and kernel, and those of the class itself."""
    for name in CALLS:
        yield Check("signatures", name, partial(_host_method, subject, name))
    for op in (*subject.kernels, *subject.overrides):
        if hasattr(subject.matrix, op.name):  # a plugin's op may have neither kernel nor decomposition here
            yield Check("signatures", op.name, partial(_kernel, subject, op), op=op.name)
    yield Check("signatures", "capabilities", partial(_capabilities, subject))
    yield Check("signatures", "class", partial(_described, subject))
    for dtype in subject.dtypes:
        yield Check("signatures", f"attributes {dtype}", partial(_attributes, subject, dtype), dtype=dtype)
