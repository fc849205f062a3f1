"""What is to be multiplied, and what a device needs to be told to do it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pycrograd_opencl.c_types import CType, preamble


@dataclass(frozen=True)
class Product:
    """`a @ b` of row-major matrices, rows × inner and inner × cols, either of them stored transposed.

    `store` is what is done with each element: statements of OpenCL C in which `value`, `row` and `col` are scalars.
    They may use `real` (the C type of the dtype), ROWS, COLS, INNER and the kernel parameters that `parameters`
    declares. They run once for each element, in any order; they hold no `//` comment and no line of the preprocessor.
    `a`, `b` and names that begin with `p_` are the generator's own.
    """

    rows: int
    cols: int
    inner: int
    transpose_a: bool = False
    transpose_b: bool = False
    dtype: str = "float32"
    parameters: tuple[str, ...] = ("__global real* restrict c",)
    store: str = "c[row * COLS + col] = value;"

    @property
    def flops(self) -> int:
        """Floating-point operations, a multiply-add as two."""
        return 2 * self.rows * self.cols * self.inner

    @property
    def elements(self) -> int:
        """Elements of both operands and of the result."""
        return self.rows * self.inner + self.inner * self.cols + self.rows * self.cols

    @property
    def shape(self) -> str:
        """Extents, transposed operands and dtype, as stored and shown: `32×4096×8192 a bT float32`."""
        a, b = ("aT" if self.transpose_a else "a"), ("bT" if self.transpose_b else "b")
        return f"{self.rows}×{self.inner}×{self.cols} {a} {b} {self.dtype}"


@dataclass(frozen=True)
class Launch:
    """A kernel's source and its work-groups. Its arguments are a, b and those that the product's `store` needs.

    Where the extents are arguments too (see `eager_product`) they come first: rows, cols, inner, as 32-bit integers.
    """

    source: str
    name: str
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]


def definitions(product: Product, fixed: bool, height: str, width: str) -> str:
    """The C types of elements and the names of the extents, which are constants unless they come as arguments."""
    extents = {"ROWS": product.rows, "COLS": product.cols, "INNER": product.inner} if fixed else {}
    defined = "".join(f"#define {name} {extent}\n" for name, extent in extents.items())
    lanes = (1, 2, 4, 8, 16)
    types = "".join(f"typedef {CType.of(product.dtype, n)} {CType('real', n)};\n" for n in lanes)
    return f"{preamble(CType.of(product.dtype))}{types}{defined}#define HEIGHT {height}\n#define WIDTH {width}\n"


def signature(product: Product, fixed: bool) -> str:
    """The kernel's parameters."""
    sizes = () if fixed else ("const int ROWS", "const int COLS", "const int INNER")
    operands = ("__global const real* restrict a", "__global const real* restrict b")
    return ", ".join((*sizes, *operands, *product.parameters))


_OWN = re.compile(
    r"(?<!\.)\b(c\d+_\d+|(?:x|y|l|r|s|e|k|i|j|from|line|left|right)\d*|at|to|top|first|height|width|start|depth|ahead|share"
    r"|end|lane|kept|sums|tile|tiles|item|place|slice|other|now|more|step)\b"
)


def own_names(body: str) -> str:
    """A kernel's body with its variables renamed, so that `store` and its parameters may use any short name."""
    return _OWN.sub(r"p_\1", body)
