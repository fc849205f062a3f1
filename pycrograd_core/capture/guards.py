"""What a step read from Python, as far as it can be found: numbers, switches and the structure of the model.

A replay runs no Python, so a program holds only as long as these are what they were. They are looked for where a step
can reach them: its closure and defaults, the globals that it names, functions of the user's that it calls, every
attribute of modules and optimisers (but counters and what begins with an underscore), and of other objects the
attributes that the code names.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_, itemgetter
from typing import Any

from pycrograd_core.autograd import CLOCK
from pycrograd_core.matrix import Matrix
from pycrograd_core.nn import Module
from pycrograd_core.op import Op
from pycrograd_core.optim import Optimiser
from pycrograd_core.tensor import Tensor

_MISSING = object()
_UNASSIGNED = types.CellType()
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_OPAQUE = (Tensor, Matrix, Op, type, types.BuiltinFunctionType)  # nothing in them is a number that a step reads
_LIBRARY = tuple({sys.prefix, sys.base_prefix, *(folder for folder in sys.path if folder.endswith("-packages"))})
_CORE = __name__.partition(".")[0]
LONGEST = 1024  # items of a list that are watched one by one


@dataclass
class Guards:
    """What values were, and how to look again. Asking whether they `hold` costs little more than the looking.

    Attributes of modules and optimisers are `structure`: setting one is counted, so they are looked at only then.
    """

    readers: list[Callable[[], Iterable[Any]]] = field(default_factory=list)
    expected: list[Any] = field(default_factory=list)  # what the readers gave, one after the other
    structure: list[Callable[[], Iterable[Any]]] = field(default_factory=list)
    structure_expected: list[Any] = field(default_factory=list)
    seen: int = -1  # the count of changes to the structure when it was last looked at
    tensors: list[Tensor] = field(default_factory=list)

    def watch(self, reader: Callable[[], Iterable[Any]], *, structure: bool = False) -> list[Any]:
        """Expect what a reader gives, and return it."""
        values = list(reader())
        (self.structure if structure else self.readers).append(reader)
        expected = self.structure_expected if structure else self.expected
        expected += values
        return values

    def hold(self) -> bool:
        """Whether everything is as it was."""
        if not _unchanged(self.readers, self.expected):
            return False
        if self.seen != CLOCK.structure:
            now = CLOCK.structure
            if not _unchanged(self.structure, self.structure_expected):
                return False
            self.seen = now
        return True


def _unchanged(readers: Iterable[Callable[[], Iterable[Any]]], expected: list[Any]) -> bool:
    found: list[Any] = []
    try:
        for reader in readers:
            found += reader()
    except KeyError:  # an attribute or a global that is gone
        return False
    if len(found) != len(expected):
        return False
    return all(map(is_, found, expected)) or all(map(_same, found, expected))


def collect(function: Callable[..., Any]) -> Guards:
    """What a step depends on, as it is now."""
    names: set[str] = set()
    while True:  # until no code is found that names more attributes
        known = len(names)
        guards = Guards()
        _Walk(guards, names).root(function)
        if len(names) == known:
            return guards


def _same(now: Any, was: Any) -> bool:
    return now is was or (type(now) is type(was) and isinstance(now, _SCALARS) and now == was)


def _contents(cells: Iterable[types.CellType]) -> list[Any]:
    """What the variables of an enclosing function hold."""
    try:
        return [cell.cell_contents for cell in cells]
    except ValueError:  # one is not assigned yet
        return [_MISSING if cell == _UNASSIGNED else cell.cell_contents for cell in cells]


class _Slots(Mapping[str, Any]):
    """The attributes of an object that has slots for them."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self._value, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        raise TypeError("only asked for names that are known")

    def __len__(self) -> int:
        raise TypeError("only asked for names that are known")


class _Walk:
    """From a function to all that it reaches, each object once. `names` gathers the attributes that code mentions."""

    def __init__(self, guards: Guards, names: set[str]) -> None:
        self.guards = guards
        self.names = names
        self.seen: dict[int, Any] = {}

    def root(self, function: Callable[..., Any]) -> None:
        """The step itself, whoever wrote it; functions of libraries that it calls are taken to depend on nothing."""
        if isinstance(function, types.MethodType):
            self._function(function.__func__, library=True)
            self.visit(function.__self__)
        elif isinstance(function, types.FunctionType):
            self._function(function, library=True)
        else:
            self.visit(function)

    def visit(self, value: Any) -> None:
        """Watch what a value holds, each kind of value in its way."""
        if isinstance(value, _SCALARS) or value is _MISSING or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, Tensor):
            self.guards.tensors.append(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__)
            self.visit(value.__self__)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.visit(part)
        elif isinstance(value, (list, tuple)):
            self._items(value)
        elif isinstance(value, dict):
            self.guards.watch(lambda: (len(value),))
            self._attributes(value, list(value))
        elif isinstance(value, (set, frozenset)):
            self.guards.watch(lambda: (len(value),))
        elif isinstance(value, (Module, Optimiser)):
            self._model(value)
        elif not isinstance(value, _OPAQUE):
            self._object(value)

    def _attributes(self, mapping: Mapping[str, Any], keys: Sequence[str], *, structure: bool = False) -> None:
        if keys:
            get = itemgetter(*keys, keys[0])  # of one key it would give no tuple
            for value in self.guards.watch(functools.partial(get, mapping), structure=structure):
                self.visit(value)

    def _items(self, items: Sequence[Any]) -> None:
        if len(items) > LONGEST:
            self.guards.watch(lambda: (len(items),))
            return
        if isinstance(items, list):
            self.guards.watch(functools.partial(tuple, items))
        for item in items:
            self.visit(item)

    def _model(self, model: Module | Optimiser) -> None:
        skipped = getattr(model, "counters", ())
        keys = [key for key in vars(model) if not key.startswith("_") and key not in skipped]
        self._attributes(vars(model), keys, structure=True)
        if isinstance(model, Module) and "training" not in keys:  # until train() or eval() is called
            self.guards.watch(lambda: (model.training,), structure=True)
        for name in ("forward", "update", "step"):
            method = getattr(type(model), name, None)
            if isinstance(method, types.FunctionType):
                self.visit(method)

    def _object(self, value: Any) -> None:
        if isinstance(value, types.ModuleType) and _from_library(value.__name__, getattr(value, "__file__", None)):
            return
        attributes = getattr(value, "__dict__", {})
        self._attributes(attributes, [name for name in sorted(self.names) if name in attributes])
        slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
        self._attributes(_Slots(value), sorted(self.names & slots))

    def _function(self, function: Callable[..., Any], *, library: bool = False) -> None:
        if not isinstance(function, types.FunctionType):
            self.visit(function)
            return
        if not library and _from_library(function.__module__ or "", function.__code__.co_filename):
            return
        named = set(_named(function.__code__))
        self.names |= named
        cells = function.__closure__ or ()
        for content in self.guards.watch(lambda: _contents(cells)):
            self.visit(content)
        self._attributes(function.__globals__, [name for name in sorted(named) if name in function.__globals__])
        self.visit(function.__defaults__)
        self.visit(function.__kwdefaults__)
        self.visit(getattr(function, "__wrapped__", None))


def _from_library(module: str, file: str | None) -> bool:
    """Whether code is not the user's: of this package, of the standard library or installed."""
    return module.partition(".")[0] == _CORE or file is None or file.startswith(_LIBRARY)


def _named(code: types.CodeType) -> Iterator[str]:
    """The globals and attributes that code names, functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _named(constant)
