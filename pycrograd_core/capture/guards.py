"""What a step read from Python, as far as it can be found: numbers, switches and the structure of the model.

A replay runs no Python, so a program holds only as long as these are what they were. They are looked for where a step
can reach them: its closure and defaults, the globals that it names, functions and methods of the user's that it names,
every attribute of modules and optimisers (but counters), and of other objects the attributes that the code names, be
they the object's or its class's.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import sysconfig
import types
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import CLOCK
from pycrograd_core.errors import CaptureError
from pycrograd_core.matrix import Matrix
from pycrograd_core.nn import Module
from pycrograd_core.op import Op
from pycrograd_core.optim import Optimiser
from pycrograd_core.tensor import Tensor

from .misuse import TOO_LONG

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 4096  # items of a list, or bytes of an array, that are watched one by one

_MISSING = object()
_UNASSIGNED = types.CellType()
_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
_OPAQUE = (Matrix, type)  # nothing in them is a number that a step reads
_LIBRARY = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_CORE = __name__.partition(".")[0]
_OURS = {"_kept", "_stream", "_learning_rate"}  # attributes of modules and optimisers that change no program
_DYNAMIC = {
    "getattr",
    "vars",
    "__dict__",
    "asdict",
    "astuple",
    "attrgetter",
}  # code that names these may read any attribute


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
    """Whether two values are one object, or equal numbers, texts or sets; -0.0 is not 0.0, and a nan is a nan."""
    if now is was:
        return True
    if type(now) is not type(was) or not isinstance(now, (*_SCALARS, frozenset)):
        return False
    if isinstance(now, float):
        return (now == was and math.copysign(1, now) == math.copysign(1, was)) or (now != now and was != was)
    return bool(now == was)


def _contents(cells: Iterable[types.CellType]) -> list[Any]:
    """What the variables of an enclosing function hold."""
    try:
        return [cell.cell_contents for cell in cells]
    except ValueError:  # one is not assigned yet
        return [_MISSING if cell == _UNASSIGNED else cell.cell_contents for cell in cells]


def _slots(kind: type) -> Iterable[str]:
    names = vars(kind).get("__slots__", ())
    own = (names,) if isinstance(names, str) else tuple(names)
    return (name for name in own if not name.startswith("__"))


class _Walk:
    """From a function to all that it reaches, each object once. `names` gathers the attributes that code mentions."""

    def __init__(self, guards: Guards, names: set[str]) -> None:
        self.guards = guards
        self.names = names
        self.home = ""  # the package of the step: no library, wherever it is installed
        self.seen: dict[int, Any] = {}

    def root(self, function: Callable[..., Any]) -> None:
        """The step itself, whoever wrote it; functions of libraries that it calls are taken to depend on nothing."""
        own = getattr(function, "__func__", function)
        self.home = (getattr(own, "__module__", None) or "").partition(".")[0]
        if isinstance(own, types.FunctionType):
            self._function(own, root=True)
        self.visit(getattr(function, "__self__", function))

    def visit(self, value: Any) -> None:
        """Watch what a value holds, each kind of value in its way."""
        if isinstance(value, _SCALARS) or value is _MISSING or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, Tensor):
            self.guards.tensors.append(value)
            for hook in (value.hooks or {}).values():
                self.visit(hook)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__)
            self.visit(value.__self__)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.visit(part)
        elif isinstance(value, (list, tuple, deque)):
            self._items(value)
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, Set):
            self.guards.watch(lambda: (frozenset(value),))
        elif isinstance(value, (np.ndarray, array, bytearray)):
            self._array(np.asarray(value))
        elif isinstance(value, Op):
            self.visit(value.decomposition)
            self.visit(value.gradients)
        elif isinstance(value, types.BuiltinFunctionType):
            self.visit(getattr(value, "__self__", None))  # of a method, such as the `get` of a dictionary
        elif isinstance(value, (Module, Optimiser)):
            self._model(value)
        elif isinstance(value, types.ModuleType):
            self._python_module(value)
        elif not isinstance(value, _OPAQUE):
            self._object(value)

    def _watch_all(self, reader: Callable[[], Iterable[Any]], *, structure: bool = False) -> None:
        for value in self.guards.watch(reader, structure=structure):
            self.visit(value)

    def _named(self, mapping: Mapping[str, Any], keys: Sequence[str], *, structure: bool = False) -> None:
        if keys:
            get = itemgetter(*keys, keys[0])  # of one key it would give no tuple
            self._watch_all(functools.partial(get, mapping), structure=structure)

    def _items(self, items: Sequence[Any]) -> None:
        if len(items) > LONGEST:
            raise CaptureError(TOO_LONG.format(what=f"a {type(items).__name__} of {len(items):,} items"))
        self._watch_all(functools.partial(tuple, items))

    def _mapping(self, mapping: Mapping[Any, Any]) -> None:
        if len(mapping) > LONGEST:
            raise CaptureError(TOO_LONG.format(what=f"a {type(mapping).__name__} of {len(mapping):,} items"))
        self.guards.watch(functools.partial(tuple, mapping))  # the keys, in their order
        self._watch_all(lambda: tuple(mapping.values()))

    def _array(self, values: NDArray[Any]) -> None:
        if values.nbytes > LONGEST:
            raise CaptureError(TOO_LONG.format(what=f"a host array of {values.nbytes:,} bytes"))
        self.guards.watch(lambda: (str(values.shape), values.tobytes()))

    def _model(self, model: Module | Optimiser) -> None:
        held = vars(model)
        skipped = _OURS.union(getattr(model, "counters", ()))
        keys = [key for key in held if key not in skipped and not key.startswith("_captured_")]
        self.guards.watch(functools.partial(tuple, held), structure=True)
        self._named(held, keys, structure=True)
        if isinstance(model, Module) and "training" not in keys:  # until train() or eval() is called
            self.guards.watch(lambda: (model.training,), structure=True)
        self._class(model, always={"forward", "update", "step"})

    def _python_module(self, module: types.ModuleType) -> None:
        if not self._library(module.__name__, getattr(module, "__file__", None)):
            self._named(vars(module), [name for name in sorted(self.names) if name in vars(module)])

    def _object(self, value: Any) -> None:
        everything = bool(self.names & _DYNAMIC) and not self._library(type(value).__module__, None)
        held = getattr(value, "__dict__", {})
        self._named(held, [name for name in sorted(held) if everything or name in self.names])
        slots = {name for kind in type(value).__mro__ for name in _slots(kind)}
        self._slotted(value, [name for name in sorted(slots) if everything or name in self.names])
        self._class(value, always=set())
        self.visit(getattr(value, "__wrapped__", None))

    def _slotted(self, value: Any, names: Sequence[str]) -> None:
        if names:
            self._watch_all(lambda: [getattr(value, name, _MISSING) for name in names])

    def _class(self, value: Any, always: set[str]) -> None:
        """What a class of the user's adds: its methods, and its attributes, which the object may come to hide."""
        held, hideable = getattr(value, "__dict__", {}), False
        for kind in type(value).__mro__:
            if self._library(kind.__module__, getattr(sys.modules.get(kind.__module__), "__file__", None)):
                continue
            hideable = True
            attributes = kind.__dict__
            named = [name for name in attributes if name in self.names or name in always or callable(attributes[name])]
            self.guards.watch(functools.partial(itemgetter(*named, "__module__"), attributes))
            for name in named:
                self.visit(attributes[name])
                for function in _functions(attributes[name]):
                    self.visit(function)
        if hideable:
            self.guards.watch(functools.partial(tuple, held))

    def _function(self, function: types.FunctionType, *, root: bool = False) -> None:
        if not root and self._library(function.__module__ or "", function.__code__.co_filename):
            return
        named = set(_names(function.__code__))
        self.names |= named
        cells = function.__closure__ or ()
        self._watch_all(lambda: [function.__defaults__, function.__kwdefaults__, *_contents(cells)])
        self._named(function.__globals__, [name for name in sorted(named) if name in function.__globals__])
        for module in named & sys.modules.keys():  # imported within the function
            self.visit(sys.modules[module])
        if vars(function):
            self._mapping(vars(function))

    def _library(self, module: str, file: str | None) -> bool:
        """Whether code is not the user's: of this package, of the standard library, or installed."""
        package = module.partition(".")[0]
        if package == _CORE or module in sys.builtin_module_names:
            return True
        if package == self.home or file is None:
            return False
        return file.startswith(_LIBRARY)


def _functions(attribute: Any) -> Iterator[Any]:
    """The functions behind an attribute of a class."""
    if isinstance(attribute, property):
        yield from (function for function in (attribute.fget, attribute.fset) if function is not None)
    elif isinstance(attribute, (staticmethod, classmethod)):
        yield attribute.__func__
    elif isinstance(attribute, functools.cached_property):
        yield attribute.func
    elif isinstance(attribute, types.FunctionType):
        yield attribute
    elif hasattr(attribute, "__wrapped__"):
        yield attribute.__wrapped__


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals and attributes that code names, functions within it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
