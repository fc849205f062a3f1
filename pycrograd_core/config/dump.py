"""A configuration to plain data, and to YAML that loads to an equal one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml
from pydantic_core import to_jsonable_python

from .scalars import use_core_schema
from .schema import Component, TrainConfig

_LONGEST_BLOCK = 16  # layers in a block that `repeat` may stand for


def resolved(config: TrainConfig) -> dict[str, Any]:
    """Everything that the configuration decides, defaults written out, as plain data in the order of the format."""
    data = config.data
    return {
        "kind": config.kind,
        "name": config.name,
        "seed": config.seed,
        "backend": config.backend,
        "device": config.device,
        "dtype": config.dtype,
        "cache": config.cache,
        "data": {
            "dataset": data.dataset.name,
            **_options(data.dataset),
            "samples": data.samples,
            "validation": data.validation,
        },
        "model": _component(config.model) if isinstance(config.model, Component) else _folded(_items(config.model)),
        "loss": _component(config.loss),
        "optimiser": _component(config.optimiser),
        "schedule": _component(config.schedule),
        "callbacks": _items(config.callbacks),
        "training": asdict(config.training),
    }


def dump(config: TrainConfig) -> str:
    """The resolved configuration as YAML."""
    return yaml.dump(resolved(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes what our reader would not take for text, keeps lists of scalars on one line, and writes no anchors."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        scalars = not any(isinstance(item, list | dict) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=flow_style or scalars)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_TEXT = "tag:yaml.org,2002:str"
_elsewhere = yaml.resolver.Resolver()


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if not text.isprintable():
        style = '"'  # in any other style, PyYAML loses some of the line breaks that Unicode has beside "\n"
    elif _elsewhere.resolve(yaml.ScalarNode, text, (True, False)) != _TEXT:  # type: ignore[no-untyped-call]
        style = "'"  # `on`, to readers of YAML 1.1
    return dumper.represent_scalar(_TEXT, text, style=style)


_Dumper.add_representer(str, _text)
use_core_schema(_Dumper)


def _component(component: Component) -> Any:
    return {"name": component.name, **_options(component)} if component.options else component.name


def _options(component: Component) -> dict[str, Any]:
    options: dict[str, Any] = to_jsonable_python(component.options)
    return options


def _items(components: tuple[Component, ...]) -> list[Any]:
    """The components as the items of a list."""
    return [{each.name: _options(each)} if each.options else each.name for each in components]


def _folded(items: list[Any]) -> list[Any]:
    """The layers, blocks that follow themselves folded into `repeat`."""
    folded: list[Any] = []
    start = 0
    while start < len(items):
        length, times = max(
            ((length, _repetitions(items, start, length)) for length in range(1, _LONGEST_BLOCK + 1)),
            key=lambda block: block[0] * (block[1] - 1),
        )
        block = items[start : start + length]
        folded += [{"repeat": times, "layers": block}] if times > 1 else block[:1]
        start += length * times if times > 1 else 1
    return folded


def _repetitions(items: list[Any], start: int, length: int) -> int:
    """How many times the block of this length at `start` stands there in a row."""
    block = items[start : start + length]
    times = 1
    while items[start + length * times : start + length * (times + 1)] == block:
        times += 1
    return times
