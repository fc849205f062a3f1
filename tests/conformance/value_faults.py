"""Faults at special values, and of derived ops.

Each is its name, the check that finds it, and what a line of `honest` has, and has instead.
"""

from __future__ import annotations

FAULTS = [
    (
        "a mask is wrong unless it is 1",
        "values/where crossed float32",
        "mask != 0,",
        "mask > 0,",
    ),
    (
        "a root of a negative number is 0",
        "values/sqrt float32",
        "np.sqrt, out=out",
        "lambda x: np.sqrt(np.where(x < 0, 0, x)), out=out",
    ),
    (
        "the logarithm of 0 is a large number",
        "values/log float32",
        "np.log, out=out",
        "lambda x: np.log(np.where(x == 0, np.finfo(x.dtype).tiny, x)), out=out",
    ),
    (
        "what is divided by 0 is 0",
        "values/divide float32",
        "np.divide,",
        "lambda a, b: np.where(b == 0, 0, a / b),",
    ),
    (
        "division is by a reciprocal",
        "values/divide float32",
        "np.divide,",
        "lambda a, b: a * (1 / b),",
    ),
    (
        "maximum passes over nan",
        "values/maximum float32",
        "np.maximum,",
        "np.fmax,",
    ),
    (
        "max passes over nan",
        "values/max float32",
        "x: x.max(axis=axis, keepdims=True)",
        "x: np.fmax.reduce(x, axis=axis, keepdims=True)",
    ),
    (
        "max starts at the least finite number",
        "values/max float32",
        "x: x.max(axis=axis, keepdims=True)",
        "x: x.max(axis=axis, keepdims=True, initial=np.finfo(x.dtype).min)",
    ),
    (
        "argmax passes over nan",
        "values/argmax float32",
        "self.array.argmax(axis=axis, keepdims=True)",
        "np.nan_to_num(self.array, nan=-np.inf, posinf=np.inf, neginf=-np.inf).argmax(axis=axis, keepdims=True)",
    ),
    (
        "nan is greater than anything",
        "values/greater float32",
        "np.greater",
        "lambda a, b: ~(a <= b)",
    ),
    (
        "a choice is computed, and nan leaks",
        "values/where crossed float32",
        "np.where(mask != 0, a, b)",
        "(mask != 0) * a + (mask == 0) * b",
    ),
    (
        "a product passes over nan",
        "values/matmul float32",
        "np.matmul(a, b, out=memory)",
        "memory[:] = np.nan_to_num(a @ b, nan=0.0, posinf=np.inf, neginf=-np.inf)",
    ),
    (
        "relu passes over nan",
        "values/relu float32",
        "np.maximum(x, 0)",
        "np.fmax(x, 0)",
    ),
    (
        "the gradient of relu at 0 is 1",
        "values/relu_gradient float32",
        "y > 0, g, g",
        "y >= 0, g, g",
    ),
    (
        "the gradient of relu is a product",
        "values/relu_gradient float32",
        "np.where(y > 0, g, g.dtype.type(0))",
        "g * (y > 0)",
    ),
    (
        "a sigmoid overflows",
        "values/sigmoid float32",
        "1 / (1 + np.exp(-x))",
        "np.exp(x) / (1 + np.exp(x))",
    ),
    (
        "a small sigmoid is cut off",
        "values/sigmoid float32",
        "np.exp(-x)",
        "np.exp(-np.maximum(x, -16))",
    ),
    (
        "numbers that are close are equal",
        "values/equal float32",
        "np.equal, other",
        "np.isclose, other",
    ),
    (
        "softmax overflows",
        "values/softmax float32",
        "np.exp(self._shifted(axis))",
        "np.exp(self.array)",
    ),
    (
        "softmax always goes along rows",
        "values/softmax float32",
        "e.sum(axis=axis, keepdims=True)",
        "e.sum(axis=1, keepdims=True)",
    ),
    (
        "log_softmax is the logarithm of softmax",
        "values/log_softmax float32",
        "z - np.log(np.exp(z).sum(axis=axis, keepdims=True))",
        "np.log(np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True))",
    ),
    (
        "cross_entropy overflows",
        "values/cross_entropy float32",
        "self._shifted(1)",
        "self.array",
    ),
    (
        "cross_entropy is the logarithm of a share",
        "values/cross_entropy float32",
        "shares - np.take_along_axis(z, labels.array, 1)",
        "-np.log(np.take_along_axis(np.exp(z - shares), labels.array, 1))",
    ),
    (
        "the gradient of cross_entropy overflows",
        "values/cross_entropy float32",
        "logits._shifted(1)",
        "logits.array",
    ),
    (
        "minimum passes over nan",
        "values/minimum float32",
        "np.minimum,",
        "np.fmin,",
    ),
    (
        "gelu is the one with the error function",
        "gradients/gelu float32",
        "np.tanh(scale * (x + 0.044715 * x * x * x))",
        "np.vectorize(__import__('math').erf, otypes='d')(x / np.sqrt(2))",
    ),
    (
        "dropout has a rate of its own",
        "gradients/dropout float32",
        "(1 - rate)",
        "0.75",
    ),
    (
        "a mean is divided by the rows",
        "gradients/mean float32",
        "x.mean(axis=axis, keepdims=True)",
        "x.sum(axis=axis, keepdims=True) / len(x)",
    ),
    (
        "the gradient of cross_entropy is no mean",
        "gradients/cross_entropy float32",
        "(self.array / len(shares))",
        "self.array",
    ),
    (
        "a gradient overwrites that which comes in",
        "gradients/cross_entropy float32",
        "* (self.array / len(shares))",
        "/ len(shares)",
    ),
    (
        "clip is wrong where nothing is left",
        "gradients/clip float32",
        "np.minimum(np.maximum(x, low), high)",
        "np.where(low < high, np.minimum(np.maximum(x, low), high), x)",
    ),
    (
        "a bias is added to the first row",
        "gradients/linear float32",
        "return y.add(bias, out=out or y)",
        "y.array[:1] += bias.array; return y if out is None else y.add(y.full(1, 1, 0, y.dtype), out=out)",
    ),
    (
        "a variance is a difference of squares",
        "fused/layer_norm float32",
        "(centred * centred).mean(axis=1, keepdims=True)",
        "(self.array**2).mean(axis=1, keepdims=True) - self.array.mean(axis=1, keepdims=True) ** 2",
    ),
    (
        "a variance is divided by n - 1",
        "fused/layer_norm float32",
        "(centred * centred).mean(axis=1, keepdims=True)",
        "(centred * centred).sum(axis=1, keepdims=True) / max(self.cols - 1, 1)",
    ),
    (
        "gelu writes to out before it has read",
        "fused/gelu out float32",
        "0.5 * x * (1 + np.tanh(scale * (x + 0.044715 * x * x * x)))",
        "(1 + np.tanh(scale * (x + 0.044715 * x * x * x), out=None if out is None else out.array)) * 0.5 * x",
    ),
    (
        "layer_norm has an epsilon of its own",
        "fused/layer_norm float32",
        "variance + epsilon",
        "variance + 1e-5",
    ),
    (
        "a moving average overwrites",
        "fused/accumulate float32",
        "old * decay + new",
        "new",
    ),
    (
        "weights are those of a moving average",
        "fused/accumulate float32",
        "new * weight",
        "new * (1 - decay)",
    ),
    (
        "Adam's epsilon is inside the root",
        "fused/adam_update float32",
        "np.sqrt(square.array / square_share.array) + epsilon",
        "np.sqrt(square.array / square_share.array + epsilon)",
    ),
    (
        "an update in place has the wrong sign",
        "fused/sgd_update out float32",
        "w - rate *",
        "w - rate * g if out is None else w + rate *",
    ),
    (
        "equal logits count as correct",
        "fused/count_correct float32",
        "self.array.argmax(axis=1, keepdims=True) == labels.array",
        "self.array.max(axis=1, keepdims=True) == np.take_along_axis(self.array, labels.array, 1)",
    ),
    (
        "a network without inputs has no bias",
        "fused/linear float32",
        "y.add(bias, out=out or y)",
        "y.add(bias, out=out or y) if self.cols else y",
    ),
    (
        "softmax knows no batch without rows",
        "fused/softmax float32",
        "e.sum(axis=axis, keepdims=True)",
        "e.sum(axis=axis, keepdims=True) + 0 * e[0, 0]",
    ),
    (
        "relu of positive numbers is its operand",
        "fused/relu apart float32",
        "self._computed(lambda x: np.maximum(x, 0), out=out)",
        (
            "self._computed(lambda x: np.maximum(x, 0), out=out) if (self.array < 0).any() else "
            "Honest(self.array, self.dtype)"
        ),
    ),
    (
        "broadcast_to shares memory",
        "fused/broadcast_to apart float32",
        "np.broadcast_to(self.array, (rows, cols)).copy()",
        "np.broadcast_to(self.array, (rows, cols))",
    ),
    (
        "dropout of nothing is its operand",
        "fused/dropout apart float32",
        "return self._computed(lambda x, keep: x",
        "return Honest(self.array, self.dtype) if rate == 0 and keep.array.all() else self._computed(lambda x, keep: x",
    ),
]
