"""Module: parameters with names, a forward function, and what saving and training need of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pycrograd_core.autograd import CLOCK, no_grad
from pycrograd_core.errors import CheckpointError, ShapeError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Module:
    """A part of a model. Subclass it, keep tensors and modules as attributes, and write `forward`.

    An attribute that is assigned a leaf tensor requiring a gradient is a parameter, and stays part of the saved state
    when it is frozen later; `keep` adds other tensors to the state. Attributes that are modules are parts. Both may
    stand in lists, tuples and dictionaries. Names, joined by dots, are those of the attributes. `counters` names
    attributes that hold whole numbers which a resumed run needs.
    """

    training = True
    counters: tuple[str, ...] = ()

    def forward(self, *inputs: Any) -> Tensor:
        """What the module computes of a batch: rows are samples."""
        raise TypeError(f"{type(self).__name__} has no forward()")

    def __call__(self, *inputs: Any) -> Tensor:
        """`forward(*inputs)`; a ShapeError inside it learns the name of this layer."""
        try:
            return self.forward(*inputs)
        except ShapeError as error:
            error.layer = error.layer or repr(self)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        if any(isinstance(each, Tensor) and each.requires_grad and each.is_leaf for _, each in _flat(name, value)):
            self.keep(name)
        super().__setattr__(name, value)
        if name not in self.counters:
            CLOCK.structure += 1

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        CLOCK.structure += 1

    def keep(self, name: str) -> None:
        """Make the tensors in an attribute part of the saved state, whether they require a gradient or not."""
        vars(self).setdefault("_kept", set()).add(name)

    def outputs(self, in_features: int) -> int:
        """How many columns come out when `in_features` go in."""
        return in_features

    def parts(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The kept tensors and the modules among the attributes, with names, in the order of their assignment."""
        kept = vars(self).get("_kept", ())
        for attribute, value in vars(self).items():
            for name, each in _flat(attribute, value):
                if isinstance(each, Module) or (each.is_leaf and (each.requires_grad or attribute in kept)):
                    yield name, each

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and every module inside it, each once, with names."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                inside = [(_join(path, name), part) for name, part in module.parts() if isinstance(part, Module)]
                stack += reversed(inside)

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the state with its name. One that is used in several places comes once, by its first name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, part in module.parts():
                if isinstance(part, Tensor) and id(part) not in seen:
                    seen.add(id(part))
                    yield _join(prefix, name), part

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the state that requires a gradient, with its name."""
        return ((name, tensor) for name, tensor in self.named_tensors() if tensor.requires_grad)

    def parameters(self) -> list[Tensor]:
        """Every parameter, once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, training: bool = True) -> Module:
        """Switch this module and all inside it to training (or, with False, to evaluation)."""
        for _, module in self.named_modules():
            module.training = training
        return self

    def eval(self) -> Module:
        """Switch to evaluation: dropout keeps everything."""
        return self.train(False)

    def to(self, *, backend: str | None = None, device: str | None = None, dtype: str | None = None) -> Module:
        """Replace every tensor by a copy elsewhere or in another dtype. Make the optimiser afterwards."""
        copies: dict[int, tuple[Tensor, Tensor]] = {}  # with each tensor its copy: while it is kept, its id is its own

        def moved(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: moved(each) for key, each in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(map(moved, value))
            if not isinstance(value, Tensor):
                return value
            if id(value) not in copies:
                kind = None if value.dtype == INDEX_DTYPE else dtype
                copies[id(value)] = value, value.to(backend=backend, device=device, dtype=kind)
            return copies[id(value)][1]

        for _, module in list(self.named_modules()):
            for name, value in list(vars(module).items()):
                if any(isinstance(each, Tensor) for _, each in _flat(name, value)):
                    setattr(module, name, moved(value))
        return self

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of every tensor of the state by name."""
        return {name: tensor.numpy() for name, tensor in self.named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Overwrite every tensor of the state. Raises CheckpointError, and changes nothing, if it does not fit."""
        import numpy as np

        own = dict(self.named_tensors())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise CheckpointError(f"the state is of another model: missing {missing}, unknown {unknown}")
        arrays = {name: np.asarray(values) for name, values in state.items()}
        for name, tensor in own.items():
            values = arrays[name]
            if values.shape != tensor.shape:
                raise CheckpointError(f"{name} is {tensor.shape} in the model and {values.shape} in the state")
            if values.dtype.kind != np.dtype(tensor.dtype).kind:
                raise CheckpointError(f"{name} is {tensor.dtype} in the model and {values.dtype} in the state")
        with no_grad():
            for name, tensor in own.items():
                tensor.assign(arrays[name])

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sequential(Module):
    """Modules one after the other. Their names are their positions."""

    def __init__(self, *modules: Module) -> None:
        self.modules = list(modules)

    def parts(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The modules, named by position alone (`0.weight`, not `modules.0.weight`), and what a subclass adds."""
        yield from ((str(index), module) for index, module in enumerate(self.modules))
        yield from ((name, part) for name, part in super().parts() if not name.startswith("modules."))

    def forward(self, x: Tensor) -> Tensor:
        """Each module applied to what the one before returned."""
        for index, module in enumerate(self.modules):
            try:
                x = module(x)
            except ShapeError as error:
                error.layer = f"{index}: {error.layer}"
                raise
        return x

    def outputs(self, in_features: int) -> int:
        """The columns that come out of the last module."""
        for module in self.modules:
            in_features = module.outputs(in_features)
        return in_features

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, index: int) -> Module:
        return self.modules[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __repr__(self) -> str:
        lines = "".join(f"  {index}: {module!r}\n" for index, module in enumerate(self.modules))
        return f"Sequential(\n{lines})"


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors and modules in an attribute, also inside lists, tuples and dictionaries, with names."""
    if isinstance(value, (Tensor, Module)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(f"{name}.{key}", each)
