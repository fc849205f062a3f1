"""Faults of captured steps, and of what is not the same each time.

Each is its name, the check that finds it, and what a line of `honest` has, and has instead.
"""

from __future__ import annotations

FAULTS = [
    (
        "a captured step draws once for all",
        "training/normalised by sgd, captured float32",
        "cls.from_feed(draw, *value.shape, value.dtype)",
        "kept.setdefault((value, 0), cls.from_feed(draw, *value.shape, value.dtype))",
    ),
    (
        "a captured step keeps the rate",
        "training/relu by adam, captured float32",
        "program.states",
        "{value: x if x.shape != (1, 1) else x.reshape(1, 1) for value, x in program.states.items()}",
    ),
    (
        "a captured step forgets its last update",
        "training/softmax regression by momentum, captured float32",
        "target in program.updates",
        "target in list(program.updates)[: max(1, len(program.updates) - 1)]",
    ),
    (
        "captured steps with other numbers are one",
        "training/softmax regression by momentum, captured float32",
        "**step.params",
        (
            "**cls.constants.setdefault((len(program.body), step.op, *program.arguments[0].shape, "
            "*step.params), step.params)"
        ),
    ),
    (
        "a captured step reads what it has written",
        "capture/places changed float32",
        "new[target]",
        "values[program.updates[target]]",
    ),
    (
        "a captured step returns what it will write to",
        "capture/old and new float32",
        "values[value].reshape(*value.shape) for value",
        "values[value] for value",
    ),
    (
        "a captured step returns the same memory each time",
        "capture/places changed float32",
        "values[value].reshape(*value.shape) for value",
        "(kept.setdefault((value, 0), values[value]).assign(values[value]), kept[value, 0])[1] for value",
    ),
    (
        "a captured step writes to no argument",
        "capture/argument written float32",
        "target in program.updates",
        "target in [each for each in program.updates if each in program.states]",
    ),
    (
        "a captured step rounds otherwise, though it promises not to",
        "capture/old and new float64",
        "cls.kernels[step.op](*[values[x] for x in step.inputs], **step.params)",
        (
            "(cls.kernels[step.op](*[values[x] for x in step.inputs], **step.params) if step.op.name != "
            "'sum' else cls.kernels[step.op](values[step.inputs[0]].multiply(cls.full(1, 1, 1 + 2**-52, "
            "step.inputs[0].dtype)), **step.params))"
        ),
    ),
    (
        "a sum is in another order each time",
        "determinism/sum float32",
        "lambda x: x.sum",
        (
            "lambda x: (np.random.default_rng().permuted(x, axis=axis) if x.dtype == 'float32' and axis is "
            "not None else x).sum"
        ),
    ),
    (
        "a result of a captured step is its argument",
        "capture/results overwritten float32",
        "values[value].reshape(*value.shape) for value in program.outputs",
        (
            "(values[value] if value in program.arguments and value not in program.updates else "
            "values[value].reshape(*value.shape)) for value in program.outputs"
        ),
    ),
    (
        "a result of a captured step is its state",
        "capture/results overwritten float32",
        "values[value].reshape(*value.shape) for value in program.outputs",
        (
            "(values[value] if value in program.states and value not in program.updates else "
            "values[value].reshape(*value.shape)) for value in program.outputs"
        ),
    ),
    (
        "a result of a captured step is its constant",
        "capture/results overwritten float32",
        "values[value].reshape(*value.shape) for value in program.outputs",
        (
            "(values[value] if value in program.constants else values[value].reshape(*value.shape)) for value in "
            "program.outputs"
        ),
    ),
    (
        "equal results of a captured step are one matrix",
        "capture/results overwritten float32",
        "outputs = [values[value].reshape(*value.shape) for value in program.outputs]",
        (
            "made = {value: values[value].reshape(*value.shape) for value in program.outputs}; outputs = "
            "[made[value] for value in program.outputs]"
        ),
    ),
    (
        "long products are added up in any order",
        "determinism/matmul float32",
        "_product, a, b, y.memory",
        (
            "_product, *((a, b) if len(b) <= 512 or a.dtype != 'float32' else (a[:, (p := "
            "np.random.default_rng().permutation(len(b)))], b[p])), y.memory"
        ),
    ),
    (
        "long sums are added up in any order",
        "determinism/sum float32",
        "lambda x: x.sum",
        "lambda x: (x if x.size < 65536 else np.random.default_rng().permuted(x, axis=axis)).sum",
    ),
    (
        "float64 leaks",
        "growth/kernels",
        "self._computed(np.exp, out=out)",
        (
            "(self.dtype == 'float64' and __import__('ctypes').pythonapi.PyMem_RawMalloc(4800), "
            "self._computed(np.exp, out=out))[1]"
        ),
    ),
    (
        "programs are kept",
        "growth/dropped",
        "kept |= program.states",
        "kept |= program.states; cls.programs = [*getattr(cls, 'programs', ()), program]",
    ),
]
