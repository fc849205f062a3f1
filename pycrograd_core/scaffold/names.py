"""What a new backend may be called, and what its package's parts are called after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from pycrograd_core.errors import OptionError
from pycrograd_core.plugins import candidates, installed

PREFIX = "pycrograd"
LONGEST = 50  # characters; file systems take no more than 255, and a certificate is to be read
FAULTS = {  # what a name must not match: it is one that PEP 503 leaves as it is, and that a class can begin with
    r"^$": "is empty",
    rf"^.{{{LONGEST + 1}}}": f"has more than {LONGEST} characters",
    r"[A-Z]": "has upper-case letters",
    r"[^A-Za-z0-9-]": "has characters that are no letters of a to z, digits or hyphens",
    r"^[0-9]": "begins with a digit",
    r"^-|--|-$": "has a hyphen that joins no two words",
    rf"^{PREFIX}(-|$)": f"begins with {PREFIX!r}, which is put before it anyway",
}


@dataclass(frozen=True)
class Names:
    """Of a backend `my-gpu`: the distribution pycrograd-my-gpu, the module pycrograd_my_gpu, classes of MyGpu."""

    name: str

    @property
    def distribution(self) -> str:
        """What is installed, and the folder that it is in."""
        return f"{PREFIX}-{self.name}"

    @property
    def module(self) -> str:
        """What is imported."""
        return self.distribution.replace("-", "_")

    @property
    def title(self) -> str:
        """The name as a part of a class's."""
        return "".join(word.capitalize() for word in self.name.split("-"))


def checked(name: str) -> Names:
    """The names of a new backend. Raises OptionError if its own is not a good one, with the nearest, or is taken."""
    faults = [fault for pattern, fault in FAULTS.items() if re.search(pattern, name)]
    if faults:
        near = nearest_good(name)
        hint = f"; did you mean {near!r}?" if near else "; take one like 'my-gpu'"
        raise OptionError(f"the name {name!r} {' and '.join(faults)}{hint}")
    taken = {plugin.name: plugin for plugin in installed().plugins}
    taken |= {backend: candidate.plugin for backend, candidate in candidates().items()}
    if name in taken:
        raise OptionError(f"the name {name!r} is taken by {taken[name].distribution}, which is installed")
    names = Names(name)
    if find_spec(names.module) is not None:
        raise OptionError(f"the name {name!r} is taken: there is a module {names.module} already")
    return names


def nearest_good(name: str) -> str:
    """The name as PEP 503 normalises it, less what it must not begin with. Empty if nothing is left."""
    normal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return re.sub(rf"^({PREFIX}(-|$)|[-0-9])+", "", normal)[:LONGEST].rstrip("-")
