"""Faults that show when there are many steps, or many threads, or nobody left to tell.

Each is its name, the check that finds it, and what a line of `honest` has, and has instead.
"""

from __future__ import annotations

from pycrograd_core.conformance.result import Outcome

FAULTS = [
    (
        "what is computed is kept",
        "growth/kernels",
        "return self._made(self.array.T.copy())",
        "y = self._made(self.array.T.copy()); self.constants.setdefault('kept', []).append(y); return y",
    ),
    (
        "what was there is kept",
        "growth/kernels",
        "np.copyto(self.array, source.array)",
        "np.copyto(self.array, source.array); self.constants.setdefault('kept', []).append(bytes(40))",
    ),
    (
        "memory leaks that Python knows nothing of",
        "growth/kernels",
        "self._computed(np.exp, out=out)",
        "__import__('ctypes').pythonapi.PyMem_RawMalloc(48) and self._computed(np.exp, out=out)",
    ),
    (
        "threads share a place for what is between",
        "threads/softmax float32",
        "np.exp(self._shifted(axis))",
        (
            "np.exp(self._shifted(axis), out=self.constants.setdefault((self.shape, self.dtype), "
            "np.empty(self.shape, self.dtype)))"
        ),
    ),
    (
        "threads do the same work twice",
        "threads/matmul float32",
        "with _TURN",
        "if _WORK",
    ),
]

ENDING = [  # these end the process that asks, or keep it for ever
    (
        "a kernel aborts",
        "kernels/power float32",
        "return self._computed(np.power, other, out=out)",
        "__import__('os').abort()",
        Outcome.CRASHED,
    ),
    (
        "a kernel exits, and says that all is well",
        "kernels/power float32",
        "return self._computed(np.power, other, out=out)",
        "__import__('os')._exit(0)",
        Outcome.CRASHED,
    ),
    (
        "a kernel never returns",
        "kernels/power float32",
        "return self._computed(np.power, other, out=out)",
        "__import__('time').sleep(1e6)",
        Outcome.TIMED_OUT,
    ),
]
