"""Where the tests run: the backends that find a device on this machine, and what they compute in."""

from pycrograd_core.plugins import candidates, get_backend

BACKENDS = [name for name, candidate in candidates().items() if candidate.probe().devices]
EXACT = [name for name in BACKENDS if "float64" in get_backend(name).capabilities]
COSTLY = [name for name in BACKENDS if "costly_compile" in get_backend(name).capabilities]
PLACES = [(name, dtype) for name in BACKENDS for dtype in ("float32", "float64") if dtype == "float32" or name in EXACT]
