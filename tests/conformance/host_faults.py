"""Faults of the class itself, and of the way from the host and back.

Each is its name, the check that finds it, and what a line of `honest` has, and has instead.
"""

from __future__ import annotations

FAULTS = [
    (
        "a capability is misspelt",
        "signatures/capabilities",
        '"deterministic"',
        '"determinstic"',
    ),
    (
        "capabilities are no frozenset",
        "signatures/capabilities",
        'frozenset({"float64", "host_memory", "deterministic", "exact_capture"})',
        '{"float64", "host_memory", "deterministic", "exact_capture"}',
    ),
    (
        "a kernel has no parameter out",
        "signatures/tanh",
        "tanh(self, *, out: Honest | None = None)",
        "tanh(self)",
    ),
    (
        "a parameter has another name",
        "signatures/max",
        "def max(self, axis: int | None = None,",
        "def max(self, dim: int | None = None,",
    ),
    (
        "a parameter has another default",
        "signatures/softmax",
        "def softmax(self, axis: int = 1,",
        "def softmax(self, axis: int = 0,",
    ),
    (
        "parameters want their names",
        "signatures/reshape",
        "def reshape(self, rows: int,",
        "def reshape(self, *, rows: int,",
    ),
    (
        "a method is no classmethod",
        "signatures/synchronize",
        "@classmethod\n    def synchronize(cls)",
        "def synchronize(self)",
    ),
    (
        "the dtype is no string",
        "signatures/attributes float32",
        "memory.shape, dtype",
        "memory.shape, memory.dtype",
    ),
    (
        "the shape has NumPy's integers",
        "signatures/attributes float32",
        "memory.shape",
        "tuple(np.array(memory.shape))",
    ),
    (
        "from_host keeps the caller's memory",
        "host/apart float32",
        "np.frombuffer(buffer, dtype).reshape(rows, cols).copy()",
        "np.frombuffer(buffer, dtype).reshape(rows, cols)",
    ),
    (
        "from_host takes int32 through float32",
        "host/round trip float64",
        "np.frombuffer(buffer, dtype).reshape(rows, cols).copy()",
        'np.frombuffer(buffer, dtype).reshape(rows, cols).astype("float32").astype(dtype)',
    ),
    (
        "from_host loses the sign of zeros",
        "host/round trip float32",
        "np.frombuffer(buffer, dtype).reshape(rows, cols).copy()",
        "np.frombuffer(buffer, dtype).reshape(rows, cols) + np.dtype(dtype).type(0)",
    ),
    (
        "from_host takes arrays alone",
        "host/buffers float32",
        "np.frombuffer(buffer, dtype)",
        "buffer",
    ),
    (
        "from_host needs aligned memory",
        "host/buffers float32",
        "np.frombuffer(buffer, dtype)",
        (
            "np.require(np.frombuffer(buffer, dtype), requirements='C')[: None if np.frombuffer(buffer, "
            "dtype).flags.aligned else 0]"
        ),
    ),
    (
        "full rounds to float32",
        "host/full float64",
        "value, dtype",
        "np.float32(value), dtype",
    ),
    (
        "equal numbers are one matrix",
        "host/two float32",
        "cls(np.full((rows, cols), value, dtype), dtype)",
        "cls.constant((rows, cols, str(value), dtype), lambda: cls(np.full((rows, cols), value, dtype), dtype))",
    ),
    (
        "to_host does not wait",
        "host/finished float32",
        "self.array.data",
        "self.memory.data",
    ),
    (
        "to_host copies, though it promises not to",
        "host/shared float32",
        "self.array.data",
        "self.array.copy().data",
    ),
    (
        "to_host goes by columns",
        "host/round trip float32",
        "self.array.data",
        "self.array.T.copy().data",
    ),
    (
        "to_host is not contiguous",
        "host/round trip float32",
        "self.array.data",
        "self.array.T.copy().T.data",
    ),
    (
        "to_host remembers what it gave",
        "host/apart float32",
        "self.array.data",
        "self.constants.setdefault(id(self), (self, self.array.copy()))[1].data",
    ),
    (
        "assign shares memory",
        "host/shared float32",
        "np.copyto(self.array, source.array)",
        "self.memory = source.array",
    ),
    (
        "assign overtakes a product",
        "host/finished float32",
        "self.array, source.array",
        "self.memory, source.memory",
    ),
    (
        "assign leaves the last column",
        "host/apart float32",
        "self.array, source.array",
        "self.array[:, :-1], source.array[:, :-1]",
    ),
    (
        "the memory is read before it is finished",
        "host/finished float32",
        "_finish()\n        return",
        "return",
    ),
    (
        "a product adds to what is there",
        "host/shared float32",
        "np.matmul(a, b, out=memory)",
        "memory += a @ b",
    ),
    (
        "assign loses the sign of zeros",
        "host/apart float32",
        "np.copyto(self.array, source.array)",
        "np.copyto(self.array, source.array + self.array.dtype.type(0))",
    ),
    (
        "a matrix that is assigned to itself is cleared",
        "host/apart float32",
        "np.copyto(self.array, source.array)",
        "self.array.fill(0); np.add(self.array, source.array, out=self.array)",
    ),
    (
        "synchronize waits for nothing",
        "host/shared float32",
        "def synchronize(cls) -> None:\n        _finish()",
        "def synchronize(cls) -> None: ...",
    ),
    (
        "full fills no more than 4096 elements",
        "host/full float32",
        "cls(np.full((rows, cols), value, dtype), dtype)",
        "cls(np.where(np.arange(rows * cols).reshape(rows, cols) < 4096, value, 0).astype(dtype), dtype)",
    ),
    (
        "a kernel's name is misspelt",
        "signatures/names",
        "def sigmoid(self",
        "def sigmod(self",
    ),
]
