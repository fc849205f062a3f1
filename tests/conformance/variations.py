"""Backends that are right in ways of their own: `honest` with lines changed where the contract leaves it open."""

from __future__ import annotations

_PROMISES = 'frozenset({"float64", "host_memory", "deterministic", "exact_capture"})'
_SUM = "x.sum(axis=axis, keepdims=True), out=out"
_WRITTEN = "np.copyto(out.array, values)\n            return out"

VARIATIONS: dict[str, list[tuple[str, str]]] = {
    "float32 alone, denormals are flushed, out is ignored": [
        (_PROMISES, 'frozenset({"deterministic"})'),
        (
            "formula(self.array, *[x.array for x in others])",
            "np.where(np.abs(y := formula(self.array, *[x.array for x in others])) < 2.0**-126, np.copysign(0, y), y)",
        ),
        (_WRITTEN, "pass"),
        ("out or Honest(np", "Honest(np"),
    ],
    "nothing is promised, sums are in any order, memory is not shared, programs are declined": [
        (_PROMISES, 'frozenset({"float64"})'),
        (_SUM, "np.random.default_rng().permuted(x, axis=axis).sum(axis=axis, keepdims=True), out=out"),
        ("return self.array.data", "return self.array.tobytes()"),
        ("return cls(array, dtype)", "return cls(array.copy(), dtype)"),
        ("np.copyto(self.array, source.array)", "self.memory = source.array.copy()"),
        ("if program.stacked", "if program"),
    ],
    "products are made at once and backwards, sums one by one, exponentials are a little off, out is spoilt": [
        (_PROMISES, 'frozenset({"float64", "host_memory", "deterministic"})'),
        ("_WORK.append(partial(_product, a, b, y.memory))", "_product(a[:, ::-1], b[::-1], y.memory)"),
        (_SUM, f"np.cumsum(x, axis=axis).take([-1], axis).reshape({_SUM[:-9]}.shape) if x.size else {_SUM}"),
        ("(np.exp, out=out)", "(lambda x: np.exp(x) * np.where(x == 0, 1, 1 + 2 * np.finfo(x.dtype).eps), out=out)"),
        (_WRITTEN, "out.array.fill(7)"),
    ],
}
