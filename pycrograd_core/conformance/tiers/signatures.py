"""Names, parameters, capabilities and result types are those of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from pycrograd_core.conformance.calls import described, fresh
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import CAPABILITIES, Matrix
from pycrograd_core.op import Op
from pycrograd_core.ops import TABLE
from pycrograd_core.registry import nearest

NEAR = 0.85  # how alike two names are of which one is a typo of the other
ATTRIBUTES = ("shape", "dtype", "limits", "written")

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
    """A kernel can be called as the op is: with its operands, its parameters by name and, if the op takes it, `out`.

    Parameters of the contract's own kernels may come without their names. One that need not be given means the same
    when it is not.
    """
    for sample in op.samples:
        _binds(subject, op.name, sample.inputs, sample.params)
        named = [*inspect.signature(getattr(Matrix, op.name, op)).parameters.values()][len(sample.inputs) :]
        unnamed = [sample.params[each.name] for each in named if each.kind is each.POSITIONAL_OR_KEYWORD]
        _binds(subject, op.name, (*sample.inputs, *unnamed), {} if unnamed else sample.params)
        if op.takes_out:
            _binds(subject, op.name, sample.inputs, {**sample.params, "out": None})
    mine = inspect.signature(getattr(subject.matrix, op.name)).parameters
    for name, default in _defaults(op).items():
        if name in mine and mine[name].default != default:
            raise ConformanceError(
                f"{op.name}: the default of {name} is {mine[name].default!r}, it should be {default!r}"
            )
    return Evidence(len(op.samples))


def _defaults(op: Op) -> dict[str, Any]:
    """The parameters that callers may leave out, and what they are then."""
    source = op.decomposition or getattr(Matrix, op.name, None) or op.shape
    assert source is not None
    parameters = inspect.signature(source).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


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


def _names(subject: Subject) -> Evidence:
    """No public method is nearly called like an op that the class has no kernel of its own for: a typo, most likely."""
    own = [
        cls for cls in subject.matrix.__mro__ if not cls.__module__.startswith("pycrograd_core.") and cls is not object
    ]
    mine = {name for cls in own for name, value in vars(cls).items() if not name.startswith("_") and callable(value)}
    inherited = [name for name in (*TABLE, *CALLS) if name not in mine]
    for name in sorted(mine - {*TABLE, *dir(Matrix)}):
        near = get_close_matches(name, inherited, n=1, cutoff=NEAR)
        if near:
            raise ConformanceError(
                f"{name}() is no op, and {near[0]}() is inherited: misspelt? If not, begin its name with _"
            )
    return Evidence(len(mine))


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
        for name in ATTRIBUTES:
            if not hasattr(x, name):
                raise ConformanceError(f"a new matrix has no attribute {name!r}: call super().__init__(shape, dtype)")
        described(x, dtype, "attributes")
        fresh(x, "attributes")
    return Evidence(len(made) + 3)


def checks(subject: Subject) -> Iterator[Check]:
    """One for each method and kernel, and those of the class itself."""
    for name in CALLS:
        yield Check("signatures", name, partial(_host_method, subject, name))
    for op in (*subject.kernels, *subject.overrides):
        if hasattr(subject.matrix, op.name):  # a plugin's op may have neither kernel nor decomposition here
            yield Check("signatures", op.name, partial(_kernel, subject, op), op=op.name)
    yield Check("signatures", "capabilities", partial(_capabilities, subject))
    yield Check("signatures", "names", partial(_names, subject))
    yield Check("signatures", "class", partial(_described, subject))
    for dtype in subject.dtypes:
        yield Check("signatures", f"attributes {dtype}", partial(_attributes, subject, dtype), dtype=dtype)
