"""What of a region runs as one loop: which instruction makes its product, which are applied to each element."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pycrograd_core.capture.program import flat
from pycrograd_core.op import INDEX_DTYPE

from .expressions import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycrograd_core.capture.program import Instruction, Step, Value
    from pycrograd_core.errors import Shape

PRODUCTS = ("matmul", "linear")
REDUCTIONS = ("sum", "max")


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop over the elements of `shape`: of a product, if there is one, and of the other operands.

    `heads` reduce operands before the loop to that shape, `chain` is computed for each element, `tails` reduce what the
    loop made. `outputs` are needed outside.
    """

    shape: Shape
    product: Instruction | None
    heads: tuple[Instruction, ...]
    chain: tuple[Instruction, ...]
    tails: tuple[Instruction, ...]
    outputs: tuple[Value, ...]

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All of them."""
        product = () if self.product is None else (self.product,)
        return (*self.heads, *product, *self.chain, *self.tails)

    @cached_property
    def made(self) -> set[Value]:
        """The values that the loop makes element by element."""
        chained = {instruction.output for instruction in self.chain}
        return chained if self.product is None else chained | {self.product.output}

    @cached_property
    def lists(self) -> tuple[Value, ...]:
        """Those of them that must be kept: for use outside, or to be reduced."""
        made = self.made
        kept = [*self.outputs, *[tail.inputs[0] for tail in self.tails]]
        return tuple(dict.fromkeys(value for value in kept if value in made))


def as_loop(steps: Iterable[Step], outputs: Sequence[Value]) -> Loop | None:
    """The loop that these steps are, or None if they do not run as one."""
    body = list(flat(steps))
    if not all(map(_of_floats, body)):
        return None
    products = [instruction for instruction in body if instruction.op.name in PRODUCTS]
    elementwise = [instruction for instruction in body if instruction.op.name in EXPRESSIONS]
    reductions = [instruction for instruction in body if instruction.op.name in REDUCTIONS]
    if len(products) + len(elementwise) + len(reductions) < len(body) or len(products) > 1:
        return None
    loop = [*products, *elementwise]
    if not loop or any(instruction.output.shape != loop[0].output.shape for instruction in loop):
        return None
    shape = loop[0].output.shape
    inside = {instruction.output for instruction in body}
    made = {instruction.output for instruction in loop}
    tails = [instruction for instruction in reductions if instruction.inputs[0] in inside]
    heads = [instruction for instruction in reductions if instruction not in tails]
    reduced = {tail.output for tail in tails}
    if (
        any(value in inside for product in products for value in product.inputs)
        or any(tail.inputs[0] not in made for tail in tails)
        or any(value in reduced for instruction in body for value in instruction.inputs)
        or any(head.output.shape != shape for head in heads)
        or (heads and products)
    ):
        return None
    return Loop(
        shape, products[0] if products else None, tuple(heads), tuple(elementwise), tuple(tails), tuple(outputs)
    )


def _of_floats(instruction: Instruction) -> bool:
    """Whether all operands have elements, and are floats of one dtype."""
    values = (*instruction.inputs, instruction.output)
    dtype = instruction.output.dtype
    return dtype != INDEX_DTYPE and all(value.dtype == dtype and 0 not in value.shape for value in values)
