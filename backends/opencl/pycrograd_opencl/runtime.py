"""One device at work: its context, its queue, its memory, and the programs built for it."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyopencl as cl
from pyopencl.characterize import has_src_build_cache

from pycrograd_core.errors import BackendError

from . import forks
from .cache import BinaryCache
from .memory import Memory

if TYPE_CHECKING:
    from .devices import Device

# No relaxed mathematics: infinities and nan are ordinary results. Products may contract with sums, as ever in OpenCL C.
OPTIONS = ("-cl-std=CL1.2", "-w")
_LOG_LINES = 20
_NOWHERE: Any = False  # pyopencl's spelling of no cache, which its annotations leave out

_alive: weakref.WeakSet[Runtime] = weakref.WeakSet()
_lost: list[Any] = []
_runtimes: dict[Device, Runtime] = {}
_lock = threading.Lock()


class Runtime:
    """The one context and in-order queue of a device in this process."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.context = cl.Context([device.handle])
        self.queue = cl.CommandQueue(self.context)
        self.memory = Memory(device, self.context, self.queue)
        self.moves = 0  # how often matrices have moved to other memory
        self.lock = threading.RLock()  # setting a kernel's arguments and launching it is one thing
        self.allocate = self.memory.allocate
        self.buffer = self.memory.buffer
        # PoCL and NVIDIA keep what they compile themselves; and a binary is all kernels compiled once more, to PoCL
        keeps = not has_src_build_cache(device.handle)
        self._cache = BinaryCache(device, version("pycrograd-opencl"), keeps)
        self._programs: dict[tuple[str, tuple[str, ...]], cl.Program] = {}
        _alive.add(self)

    def lose(self) -> None:
        """Hold on to everything, since releasing it may hang too, where nobody finds it."""
        _lost.append(dict(vars(self)))
        vars(self).clear()

    def __getattr__(self, name: str) -> Any:
        raise forks.refusal() or AttributeError(name)

    def program(
        self, source: str, options: Sequence[str] = (), kept: bool = True, remembered: bool = True
    ) -> cl.Program:
        """A source, built. From the cache if it is there; `kept` says whether it goes there, if there is one.

        `remembered`: as long as this process lives. What one captured step needs goes with it.
        """
        key = (source, (*OPTIONS, *options))
        with self.lock:
            if key in self._programs:
                return self._programs[key]
            program = self._loaded(*key) or self._built(*key, kept)
            if remembered:
                self._programs[key] = program
            return program

    def kernel(self, source: str, name: str, options: Sequence[str] = (), kept: bool = True) -> cl.Kernel:
        """A kernel of a source: a new object, whose arguments are its own."""
        return cl.Kernel(self.program(source, options, kept), name)

    def wait(self) -> None:
        """Until all that was issued is done."""
        try:
            self.queue.finish()
        except cl.Error as error:
            self.memory.exhausted(error)

    def _loaded(self, source: str, options: tuple[str, ...]) -> cl.Program | None:
        """The program from the cache; None if it has none that the driver takes."""
        binary = self._cache.get(source, options)
        if binary is None:
            return None
        try:
            with _silent():
                return cl.Program(self.context, [self.device.handle], [binary]).build()
        except cl.Error:  # of another driver after all, or damaged: building it anew replaces it
            return None

    def _built(self, source: str, options: tuple[str, ...], kept: bool) -> cl.Program:
        try:
            with _silent():
                program = cl.Program(self.context, source).build(list(options), cache_dir=_NOWHERE)
        except cl.Error as error:
            raise self._failure(error) from error
        if kept and self._cache.keeps:
            (binary,) = program.get_info(cl.program_info.BINARIES)
            self._cache.put(source, options, binary)
        return program

    def _failure(self, error: cl.Error) -> BackendError:
        from .build_logs import explain  # of no use to a build that succeeds

        log = str(error)
        mended = explain(log)
        tail = "\n".join(log.strip().splitlines()[-_LOG_LINES:])
        lines = (f"{self.device.label} cannot build a kernel", *([mended] if mended else []), tail)
        return BackendError("\n".join(lines))


def runtime_of(device: Device) -> Runtime:
    """The runtime of a device: one for each device and process."""
    with _lock:
        if device not in _runtimes:
            _runtimes[device] = Runtime(device)
        return _runtimes[device]


def _lose_all() -> None:
    for runtime in list(_alive):
        runtime.lose()


forks.listeners.append(_lose_all)


def _silent() -> Any:
    """Without pyopencl's warnings about compilers that have something to say about a program that they build."""
    return warnings.catch_warnings(action="ignore", category=cl.CompilerWarning)
