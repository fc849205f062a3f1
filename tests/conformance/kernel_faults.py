"""Faults of kernels: what they compute, and what they do to memory.

Each is its name, the check that finds it, and what a line of `honest` has, and has instead.
"""

from __future__ import annotations

FAULTS = [
    (
        "it promises float64, and rounds to float32",
        "kernels/log float64",
        "np.log, out=out",
        'lambda x: np.log(x.astype("float32")), out=out',
    ),
    (
        "a result says that it is float32",
        "kernels/concat float64",
        "self._made(np.concatenate([x.array for x in (self, *others)], axis))",
        'Honest(np.concatenate([x.array for x in (self, *others)], axis), "float32")',
    ),
    (
        "argmax gives floats",
        "kernels/argmax float32",
        'dtype="int32"',
        "",
    ),
    (
        "a result remembers when its operand was written",
        "kernels/where float32",
        "return Honest(np.ascontiguousarray(values, dtype or self.dtype), dtype or self.dtype)",
        (
            "y = Honest(np.ascontiguousarray(values, dtype or self.dtype), dtype or self.dtype); y.written = "
            "self.written; return y"
        ),
    ),
    (
        "a result has the limits of its operand",
        "kernels/slice int32",
        "return self._made(self.array[row_start:row_stop, col_start:col_stop].copy())",
        "y = self._made(self.array[row_start:row_stop, col_start:col_stop].copy()); y.limits = self.limits; return y",
    ),
    (
        "half precision inside",
        "kernels/tanh float32",
        "np.tanh, out=out",
        'lambda x: np.tanh(x.astype("float16")), out=out',
    ),
    (
        "a fast exponential",
        "kernels/exp float32",
        "np.exp, out=out",
        "lambda x: (1 + x / 4096) ** 4096, out=out",
    ),
    (
        "an exponential a little off",
        "kernels/exp float32",
        "np.exp, out=out",
        "lambda x: np.exp(x) * (1 + 1.2e-6), out=out",
    ),
    (
        "many rows are not finished",
        "kernels/exp float32",
        "np.exp, out=out",
        "lambda x: np.where(np.arange(len(x)).reshape(-1, 1) < 65535, np.exp(x), 0), out=out",
    ),
    (
        "long rows are not finished",
        "kernels/tanh float32",
        "np.tanh, out=out",
        "lambda x: np.where((np.arange(x.shape[1]) < 1024) | (len(x) == 1), np.tanh(x), 0), out=out",
    ),
    (
        "many elements are not finished",
        "kernels/add float32",
        "np.add, other",
        "lambda a, b: np.where(np.arange((a + b).size).reshape((a + b).shape) < 2**15, a + b, a), other",
    ),
    (
        "the last column is not finished",
        "kernels/sqrt float32",
        "np.sqrt, out=out",
        "lambda x: np.where(np.arange(x.shape[1]) < x.shape[1] - 1, np.sqrt(x), x), out=out",
    ),
    (
        "a mask is wrong beyond 1024 columns",
        "kernels/where float32",
        "mask != 0,",
        "(mask != 0) & (np.arange((a + b).shape[1]) <= 1024),",
    ),
    (
        "a square takes a column for a row",
        "kernels/subtract float32",
        "np.subtract",
        "lambda a, b: a - (b.T if b.shape == (len(a), 1) == (a.shape[1], 1) else b)",
    ),
    (
        "a second operand of one column is wrong",
        "kernels/greater float32",
        "np.greater",
        "lambda a, b: a > (b[:1] if b.shape[1] == 1 < a.shape[1] else b)",
    ),
    (
        "a first operand of one row is wrong",
        "kernels/maximum float32",
        "np.maximum,",
        "lambda a, b: np.maximum(a[:, :1] if len(a) == 1 < len(b) else a, b),",
    ),
    (
        "a matrix times itself is wrong",
        "kernels/multiply float32",
        "self._computed(np.multiply, other, out=out)",
        "self._computed(np.multiply, other, out=out) if other is not self else self.add(self, out=out)",
    ),
    (
        "a product with its own transpose is wrong",
        "kernels/matmul float32",
        "b, y.memory",
        "a.T if other is self else b, y.memory",
    ),
    (
        "a negative base loses its sign",
        "kernels/power float32",
        "np.power, other",
        "lambda a, b: np.power(np.abs(a), b), other",
    ),
    (
        "a power is an exponential of a logarithm",
        "kernels/power float32",
        "np.power, other",
        "lambda a, b: np.exp(b * np.log(a)), other",
    ),
    (
        "a sum drops the tail",
        "kernels/sum float32",
        "lambda x: x.sum",
        "lambda x: x[:, : x.shape[1] // 4 * 4 or None].sum",
    ),
    (
        "a sum drops what is beyond 2 ** 16",
        "kernels/sum float32",
        "lambda x: x.sum",
        "lambda x: (x if axis is not None else x.reshape(1, -1)[:, : 2**16]).sum",
    ),
    (
        "a sum of a square goes along the other axis",
        "kernels/sum float32",
        "lambda x: x.sum",
        "lambda x: (x.T if len(x) == x.shape[1] else x).sum",
    ),
    (
        "max starts at 0",
        "kernels/max float32",
        "x: x.max(axis=axis, keepdims=True)",
        "x: x.max(axis=axis, keepdims=True, initial=0)",
    ),
    (
        "argmax gives the last of equals",
        "kernels/argmax float32",
        "self.array.argmax(axis=axis, keepdims=True)",
        (
            "self.cols - 1 - self.array[:, ::-1].argmax(axis=1, keepdims=True) if axis == 1 else "
            "self.array.argmax(axis=axis, keepdims=True)"
        ),
    ),
    (
        "argmax counts in 16 bits",
        "kernels/argmax float32",
        "self.array.argmax(axis=axis, keepdims=True)",
        'self.array.argmax(axis=axis, keepdims=True).astype("int16")',
    ),
    (
        "a product drops the tail of the inner extent",
        "kernels/matmul float32",
        "_product, a, b",
        "_product, a[:, : len(b) // 8 * 8 or None], b[: len(b) // 8 * 8 or None]",
    ),
    (
        "a long product drops its tail",
        "kernels/matmul float32",
        "_product, a, b",
        (
            "_product, a[:, : len(b) // 16 * 16 if len(b) > 1024 else None], b[: len(b) // 16 * 16 if len(b) "
            "> 1024 else None]"
        ),
    ),
    (
        "a product forgets transpose_b if it is square",
        "kernels/matmul float32",
        "else other",
        "and other.rows != other.cols else other",
    ),
    (
        "a large product is in half precision",
        "kernels/matmul float32",
        "a, b, out=memory",
        "a if len(a) < 200 else a.astype('float16'), b, out=memory",
    ),
    (
        "a product is wrong beyond 128 columns",
        "kernels/matmul float32",
        "np.matmul(a, b, out=memory)",
        "np.matmul(a, b, out=memory); memory[:, 128:] = 0",
    ),
    (
        "a gradient of a product loses a part to a race",
        "kernels/matmul float32",
        "_product, a, b",
        "_product, a[:, int(transpose_a) :], b[int(transpose_a) :]",
    ),
    (
        "a wrong transpose",
        "kernels/transpose float32",
        "self.array.T",
        "self.array.reshape(self.cols, self.rows)",
    ),
    (
        "a transpose of a square is none",
        "kernels/transpose float32",
        "self.array.T",
        "(self.array.T if self.rows != self.cols else self.array)",
    ),
    (
        "int32 goes through float32 in transpose",
        "kernels/transpose int32",
        "self.array.T.copy()",
        "self.array.T.astype('float32' if self.dtype == 'int32' else self.dtype)",
    ),
    (
        "int32 goes through float32 in concat",
        "kernels/concat int32",
        "np.concatenate([x.array for x in (self, *others)], axis)",
        (
            "np.concatenate([x.array for x in (self, *others)], axis).astype('float32' if self.dtype == "
            "'int32' else self.dtype)"
        ),
    ),
    (
        "int32 goes through float32 in take_rows",
        "kernels/take_rows int32",
        "self.array[indices.array[:, 0]]",
        "self.array[indices.array[:, 0]].astype('float32' if self.dtype == 'int32' else self.dtype)",
    ),
    (
        "slice forgets the last column",
        "kernels/slice float32",
        "self.array[row_start:row_stop, col_start:col_stop].copy()",
        (
            "np.pad(self.array[row_start:row_stop, col_start:max(col_stop - 1, col_start)], ((0, 0), (0, "
            "int(col_stop > col_start))))"
        ),
    ),
    (
        "three operands change places",
        "kernels/concat float32",
        "[x.array for x in (self, *others)]",
        "[x.array for x in (self, *(others[::-1] if len(others) == 2 and axis else others))]",
    ),
    (
        "concat knows no matrix without elements",
        "kernels/concat float32",
        "[x.array for x in (self, *others)]",
        "[x.array for x in (self, *others) if x.array.size]",
    ),
    (
        "rows that repeat overwrite",
        "kernels/add_rows float32",
        "np.add.at(total, indices.array[:, 0], updates.array)",
        "total[indices.array[:, 0]] += updates.array",
    ),
    (
        "a kernel writes to its operand",
        "kernels/add_rows float32",
        "self.array.copy()",
        "self.array",
    ),
    (
        "out is returned as it was",
        "kernels/where out float32",
        "np.copyto(out.array, values)\n            return",
        "return",
    ),
    (
        "out is cleared",
        "kernels/where out float32",
        "out.array, values",
        "out.array, 0",
    ),
    (
        "of out the first row is written",
        "kernels/where out float32",
        "out.array, values",
        "out.array[:1], values[:1]",
    ),
    (
        "reshape shares memory",
        "kernels/reshape apart float32",
        "self.array.reshape(rows, cols).copy()",
        "self.array.reshape(rows, cols)",
    ),
    (
        "a transposed vector shares memory",
        "kernels/transpose apart float32",
        "self.array.T.copy()",
        "self.array.T",
    ),
    (
        "slice shares memory",
        "kernels/slice apart float32",
        "self.array[row_start:row_stop, col_start:col_stop].copy()",
        "self.array[row_start:row_stop, col_start:col_stop]",
    ),
    (
        "a sum of one row is that row",
        "kernels/sum float32",
        "return self._computed(lambda x: x.sum(",
        "return self if axis == 0 and self.rows == 1 else self._computed(lambda x: x.sum(",
    ),
    (
        "all rows are the matrix itself",
        "kernels/take_rows apart float32",
        "self._made(self.array[indices.array[:, 0]], out)",
        (
            "self if np.array_equal(indices.array[:, 0], np.arange(self.rows)) else "
            "self._made(self.array[indices.array[:, 0]], out)"
        ),
    ),
    (
        "what is multiplied by 1 is itself",
        "kernels/multiply apart float32",
        "self._computed(np.multiply, other, out=out)",
        (
            "self._computed(np.multiply, other, out=out) if other.shape != (1, 1) or other.array != 1 else "
            "Honest(self.array, self.dtype)"
        ),
    ),
    (
        "a result lies where the last one was",
        "kernels/matmul held float32",
        "np.empty((len(a), b.shape[1]), self.dtype)",
        "self.constants.setdefault((len(a), b.shape[1], self.dtype), np.empty((len(a), b.shape[1]), self.dtype))",
    ),
    (
        "results take turns in 32 places",
        "kernels/where held float32",
        "return Honest(np.ascontiguousarray(values, dtype or self.dtype), dtype or self.dtype)",
        (
            "y = Honest(self.constants.setdefault((next(self.constants.setdefault('turns', "
            "__import__('itertools').cycle(range(32)))), np.shape(values), dtype or self.dtype), "
            "np.empty(np.shape(values), dtype or self.dtype)), dtype or self.dtype); np.copyto(y.memory, "
            "values); return y"
        ),
    ),
    (
        "a transpose is kept with its matrix",
        "kernels/transpose held float32",
        "self._made(self.array.T.copy())",
        "self.constants.setdefault(id(self), (self, self._made(self.array.T.copy())))[1]",
    ),
    (
        "a transposed operand is kept, whatever is written to it",
        "kernels/matmul current float32",
        "= other.memory",
        "= self.constants.setdefault(id(other), (other, other.array.copy()))[1]",
    ),
    (
        "a kernel writes behind the end",
        "kernels/where bounds float32",
        "np.copyto(out.array, values)",
        (
            "np.copyto(out.array, values); __import__('ctypes').memset(out.memory.ctypes.data + "
            "out.memory.nbytes, 0, 4 * (getattr(out.memory.base, 'size', 0) > out.memory.size))"
        ),
    ),
    (
        "a kernel reads behind the end",
        "kernels/max bounds float32",
        "lambda x: x.max",
        (
            "lambda x: (np.lib.stride_tricks.as_strided(x, (len(x), x.shape[1] + 1)) if getattr(x.base, "
            "'size', 0) > x.size and axis == 1 else x).max"
        ),
    ),
    (
        "a kernel reseeds the global generator",
        "kernels/process",
        "return cls(np.full((rows, cols), value, dtype), dtype)",
        "np.random.seed(0); return cls(np.full((rows, cols), value, dtype), dtype)",
    ),
    (
        "a kernel ends the program",
        "kernels/power float32",
        "return self._computed(np.power, other, out=out)",
        "raise SystemExit(0)",
    ),
    (
        "matmul leaves out as it is where there is nothing to add up",
        "kernels/matmul out float32",
        "_WORK.append(partial(_product, a, b, y.memory))",
        "(len(b) or out is None) and _WORK.append(partial(_product, a, b, y.memory))",
    ),
    (
        "the sum of nothing leaves out as it is",
        "kernels/sum out float32",
        "return self._computed(lambda x: x.sum",
        "return out if out is not None and not self.rows else self._computed(lambda x: x.sum",
    ),
    (
        "a square in place is forgotten",
        "kernels/multiply out float32",
        "return self._computed(np.multiply, other, out=out)",
        "return out if out is self is other else self._computed(np.multiply, other, out=out)",
    ),
    (
        "products are no more than 2048 columns wide",
        "kernels/matmul float32",
        "np.matmul(a, b, out=memory)",
        "np.matmul(a, b, out=memory); memory[:, 2048:] = 0",
    ),
    (
        "slice counts rows in 16 bits",
        "kernels/slice float32",
        "self.array[row_start:row_stop, col_start:col_stop].copy()",
        "np.take(self.array, np.arange(row_start, row_stop) % 65536, 0)[:, col_start:col_stop].copy()",
    ),
    (
        "take_rows takes 4096 columns",
        "kernels/take_rows float32",
        "self._made(self.array[indices.array[:, 0]], out)",
        (
            "self._made(np.where(np.arange(self.cols) < 4096, self.array[indices.array[:, 0]], "
            "self.array.dtype.type(0)), out)"
        ),
    ),
    (
        "transpose is not contiguous",
        "kernels/transpose float32",
        "self._made(self.array.T.copy())",
        "Honest(self.array.T, self.dtype)",
    ),
    (
        "greater is of bytes",
        "kernels/greater float32",
        "self._computed(np.greater, other, out=out)",
        "Honest(np.greater(self.array, other.array), self.dtype)",
    ),
]
