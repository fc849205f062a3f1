"""Module: parameters with names, a forward function, and what saving and training need of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import CheckpointError, ShapeError
from pycrograd_core.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Module:
    """A part of a model. Subclass it, keep tensors and modules as attributes, and write `forward`.

    Attributes that are tensors requiring a gradient are parameters; attributes that are modules, or lists of modules,
    are parts. Their names, joined by dots, are the names of the parameters.
    """

    training = True

    def forward(self, x: Tensor) -> Tensor:
        """What the module computes of a batch: rows are samples."""
        raise TypeError(f"{type(self).__name__} has no forward()")

    def __call__(self, x: Tensor) -> Tensor:
        """`forward(x)`; a ShapeError inside it learns the name of this layer."""
        try:
            return self.forward(x)
        except ShapeError as error:
            error.layer = error.layer or repr(self)
            raise

    def outputs(self, in_features: int) -> int:
        """How many columns come out when `in_features` go in."""
        return in_features

    def parts(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The tensors and modules among the attributes, each with its name, in the order of their assignment."""
        for name, value in vars(self).items():
            if isinstance(value, (Tensor, Module)):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for index, each in enumerate(value):
                    if isinstance(each, (Tensor, Module)):
                        yield f"{name}.{index}", each

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and every module inside it, with names."""
        yield prefix, self
        for name, part in self.parts():
            if isinstance(part, Module):
                yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter with its name. One that is used in several places comes once, under its first name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, part in module.parts():
                if isinstance(part, Tensor) and part.requires_grad and id(part) not in seen:
                    seen.add(id(part))
                    yield f"{prefix}.{name}" if prefix else name, part

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
        """Replace every parameter by a copy elsewhere or in another dtype. Make the optimiser afterwards."""
        copies: dict[int, tuple[Tensor, Tensor]] = {}  # with each tensor its copy: while it is kept, its id is its own

        def moved(value: Any) -> Any:
            if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value):
                return type(value)(map(moved, value))
            if not isinstance(value, Tensor):
                return value
            if id(value) not in copies:
                copies[id(value)] = value, value.to(backend=backend, device=device, dtype=dtype)
            return copies[id(value)][1]

        for module in {id(module): module for _, module in self.named_modules()}.values():
            for name, value in vars(module).items():
                if (copy := moved(value)) is not value:
                    setattr(module, name, copy)
        return self

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of every parameter's values by name."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Overwrite every parameter. Raises CheckpointError, and changes nothing, if names or shapes differ."""
        from pycrograd_core.autograd import no_grad

        own = dict(self.named_parameters())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise CheckpointError(f"the state is of another model: missing {missing}, unknown {unknown}")
        for name, parameter in own.items():
            if tuple(state[name].shape) != parameter.shape:
                raise CheckpointError(f"{name} is {parameter.shape} in the model and {state[name].shape} in the state")
        with no_grad():
            for name, parameter in own.items():
                parameter.assign(state[name])

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sequential(Module):
    """Modules one after the other. Their names are their positions."""

    def __init__(self, *modules: Module) -> None:
        self.modules = list(modules)

    def parts(self) -> Iterator[tuple[str, Tensor | Module]]:
        """The modules, named by position alone: `0.weight`, not `modules.0.weight`."""
        return ((str(index), module) for index, module in enumerate(self.modules))

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
