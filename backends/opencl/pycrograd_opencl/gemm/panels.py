"""Products on a CPU: work-groups of one item, which copies panels of its operands and multiplies them in registers.

The loops are those of BLIS: a block of the right operand is copied so that `tile_cols` columns lie one row after the
other (consecutive memory, few pages, no two lines of a cache set in each other's way, zeros beyond the edge), and the
innermost loop multiplies it by `tile_rows` rows of the left operand, with all sums in registers. Transposed operands
differ only in how they are copied, and edges only in what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pycrograd_core.capture.program import WIDTHS
from pycrograd_opencl.c_types import CType

from .product import Launch, Product, definitions, own_names, signature

BUSY = 8  # sums that are added to in turn, so that none waits for itself
LINE = 64  # bytes that a prefetch brings
STORE = "@store@"  # where the statements of the product go


@dataclass(frozen=True)
class Panels:
    """Parameters of this style. A block is what one work-item computes, a tile what it holds in registers.

    `swapped`: the product is computed as the transpose of bᵀ @ aᵀ: the lanes of a vector are rows of the result.
    `packed`: the left operand is copied too. `prefetched`: the next block of the right operand is asked for while this
    one is multiplied; it pays where that operand is read once, from memory.
    """

    tile_rows: int = 6
    vectors: int = 2
    lanes: int = 8
    block_rows: int = 516
    block_cols: int = 64
    block_inner: int = 1024
    swapped: bool = False
    packed: bool = False
    prefetched: bool = False
    unrolled: int = 4

    @property
    def tile_cols(self) -> int:
        """Columns of a tile."""
        return self.vectors * self.lanes

    @property
    def vector(self) -> CType:
        """What the innermost loop multiplies."""
        return CType("real", self.lanes)

    def valid(self) -> bool:
        """Whether blocks are whole tiles."""
        return self.block_rows % self.tile_rows == 0 and self.block_cols % self.tile_cols == 0

    def local_memory(self, product: Product, fixed: bool = True) -> int:
        """Bytes of local memory that the kernel takes."""
        elements = self.block_cols * self.block_inner
        if self.packed:
            elements += self.block_rows * self.block_inner
        if self.block_inner < product.inner or not fixed:
            elements += self.block_rows * self.block_cols
        return elements * WIDTHS[product.dtype]

    def groups(self, product: Product) -> tuple[int, int]:
        """How many blocks the result has, down and across."""
        height, width = self.extents(product)
        return -(-height // self.block_rows), -(-width // self.block_cols)

    def extents(self, product: Product) -> tuple[int, int]:
        """Rows and columns of what is computed."""
        return (product.cols, product.rows) if self.swapped else (product.rows, product.cols)

    def fitted(self, product: Product, units: int, local_memory: int) -> Panels:
        """Blocks no larger than the product and the local memory, and enough of them for every unit."""
        height, width = self.extents(product)
        tall, vectors = self._registers(height, -(-width // self.lanes))
        own = replace(self, tile_rows=tall, vectors=vectors, block_inner=max(1, min(self.block_inner, product.inner)))
        rows, cols = min(self.block_rows, height), min(self.block_cols, width)
        own = replace(own, block_rows=-(-rows // tall) * tall, block_cols=-(-cols // own.tile_cols) * own.tile_cols)
        while (own.local_memory(product) > local_memory or _idle(own, product, units)) and own != (
            less := own.smaller()
        ):
            own = less
        return own

    def _registers(self, height: int, vectors: int) -> tuple[int, int]:
        """The tile's rows and vectors, no more than there are; fewer of one make room for more of the other."""
        tall, wide = min(self.tile_rows, height), min(self.vectors, vectors)
        if tall < self.tile_rows:
            wide = min(vectors, max(wide, BUSY // tall))
        elif wide < self.vectors:
            tall = min(height, max(tall, BUSY // wide))
        return tall, wide

    def smaller(self) -> Panels:
        """A smaller block: of half the rows, or columns, or depth, whichever there are most of."""
        if self.block_rows > max(self.tile_rows, self.block_cols):
            return replace(self, block_rows=-(-self.block_rows // 2 // self.tile_rows) * self.tile_rows)
        if self.block_cols > self.tile_cols:
            return replace(self, block_cols=-(-self.block_cols // 2 // self.tile_cols) * self.tile_cols)
        if self.block_rows > self.tile_rows:
            return replace(self, block_rows=-(-self.block_rows // 2 // self.tile_rows) * self.tile_rows)
        return replace(self, block_inner=max(1, self.block_inner // 2))

    def launch(self, product: Product, fixed: bool = True) -> Launch:
        """The kernel; with extents as arguments if they are not fixed."""
        return Launch(_source(self, product, fixed), "product", self.groups(product), (1, 1))


def _idle(own: Panels, product: Product, units: int) -> bool:
    down, across = own.groups(product)
    smallest = own.block_rows <= own.tile_rows and own.block_cols <= own.tile_cols
    return down * across < units and not smallest


def _source(own: Panels, product: Product, fixed: bool) -> str:
    """The kernel: for each block of `inner`, copy the operands; for each tile, multiply, and keep or store the sums."""
    height, width = ("COLS", "ROWS") if own.swapped else ("ROWS", "COLS")
    left, right = ("b", "a") if own.swapped else ("a", "b")
    # a matrix stored transposed and used as the other operand's transpose is as it was
    left_down = (not product.transpose_b) if own.swapped else product.transpose_a  # columns of it are rows in memory
    right_down = (not product.transpose_a) if own.swapped else product.transpose_b
    several = not fixed or own.block_inner < product.inner
    tiles = [f"for (int j = 0; j < width; j += {own.tile_cols})", f"for (int i = 0; i < height; i += {own.tile_rows})"]
    if fixed and product.inner <= 64:  # the left tile is small: rows of the result are written from end to end
        tiles.reverse()
    local = {"right": own.block_cols * own.block_inner}
    if own.packed:
        local["left"] = own.block_rows * own.block_inner
    if several:
        local["sums"] = own.block_rows * own.block_cols
    arrays = "\n".join(f"  __local real {n}[{size}] __attribute__((aligned(64)));" for n, size in local.items())
    # the first block is there even if `inner` is 0: nothing to add up is zero
    body = f"""{arrays}
  const int top = (int)get_group_id(0) * {own.block_rows}, first = (int)get_group_id(1) * {own.block_cols};
  const int height = min({own.block_rows}, HEIGHT - top), width = min({own.block_cols}, WIDTH - first);
  for (int start = 0; start == 0 || start < INNER; start += {own.block_inner}) {{
    const int depth = min({own.block_inner}, INNER - start);
{_right_by_columns(own, right) if right_down else _right_by_rows(own, right)}
{(_left_by_columns(own, left) if left_down else _left_by_rows(own, left)) if own.packed else ""}
    {tiles[0]} {tiles[1]} {{
{_prefetch(own, right, LINE // WIDTHS[product.dtype]) if own.prefetched and not right_down else ""}
{_multiplied(own, left, left_down, several)}
{_stored(own, several)}
    }}
  }}"""
    head = f"{definitions(product, fixed, height, width)}__kernel void product({signature(product, fixed)})"
    return f"{head} {{\n{own_names(body).replace(STORE, product.store)}\n}}\n"


def _right_by_rows(own: Panels, right: str) -> str:
    """Copy a block of the right operand whose rows are rows in memory."""
    panel = own.block_inner * own.tile_cols
    copies = " ".join(
        own.vector.store(own.vector.load(f"from + j + {at}"), f"to + {at}") for at in range(0, own.tile_cols, own.lanes)
    )
    return f"""    for (int k = 0; k < depth; k++) {{
      __global const real* from = {right} + (size_t)(start + k) * WIDTH + first;
      __local real* to = right + k * {own.tile_cols};
      int j = 0;
      for (; j + {own.tile_cols} <= width; j += {own.tile_cols}, to += {panel}) {{ {copies} }}
      if (j < width)
        for (int lane = 0; lane < {own.tile_cols}; lane++) to[lane] = j + lane < width ? from[j + lane] : 0;
    }}"""


def _right_by_columns(own: Panels, right: str) -> str:
    """Copy a block of the right operand whose columns are rows in memory, a square of a few lanes at a time."""
    side, panel = min(own.lanes, 8), own.block_inner * own.tile_cols
    span, positions = CType("real", side), range(side)
    pointers = " ".join(
        f"__global const real* from{q} = {right} + (size_t)min(first + j + {q}, WIDTH - 1) * INNER + start;"
        for q in positions
    )
    lines = " ".join(f"const {span} line{q} = {span.load(f'from{q} + k')};" for q in positions)
    turned = [", ".join(span.component(f"line{q}", p) for q in positions) for p in positions]
    writes = " ".join(span.store(f"({span})({turned[p]})", f"to + (k + {p}) * {own.tile_cols}") for p in positions)
    rest = " ".join(f"to[k * {own.tile_cols} + {q}] = from{q}[k];" for q in positions)
    return f"""    for (int j = 0; j < (width + {side - 1}) / {side} * {side}; j += {side}) {{
      {pointers}
      __local real* to = right + j / {own.tile_cols} * {panel} + j % {own.tile_cols};
      int k = 0;
      for (; k + {side} <= depth; k += {side}) {{ {lines} {writes} }}
      for (; k < depth; k++) {{ {rest} }}
    }}
    for (int j = (width + {side - 1}) / {side} * {side}; j % {own.tile_cols} != 0; j++) {{
      __local real* to = right + j / {own.tile_cols} * {panel} + j % {own.tile_cols};
      for (int k = 0; k < depth; k++) to[k * {own.tile_cols}] = 0;
    }}"""


def _left_by_rows(own: Panels, left: str) -> str:
    """Copy a block of the left operand whose rows are rows in memory; beyond the last row, that row again."""
    return f"""    for (int i = 0; i < (height + {own.tile_rows - 1}) / {own.tile_rows} * {own.tile_rows}; i++) {{
      __global const real* from = {left} + (size_t)min(top + i, HEIGHT - 1) * INNER + start;
      __local real* to = left + i * {own.block_inner};
      for (int k = 0; k < depth; k++) to[k] = from[k];
    }}"""


def _left_by_columns(own: Panels, left: str) -> str:
    """Copy a block of the left operand whose columns are rows in memory, with zeros beyond the last row."""
    copies = " ".join(f"to[{r}] = from[i + {r}];" for r in range(own.tile_rows))
    panel = own.block_inner * own.tile_rows
    return f"""    for (int k = 0; k < depth; k++) {{
      __global const real* from = {left} + (size_t)(start + k) * HEIGHT + top;
      __local real* to = left + k * {own.tile_rows};
      int i = 0;
      for (; i + {own.tile_rows} <= height; i += {own.tile_rows}, to += {panel}) {{ {copies} }}
      if (i < height)
        for (int r = 0; r < {own.tile_rows}; r++) to[r] = i + r < height ? from[i + r] : 0;
    }}"""


def _prefetch(own: Panels, right: str, line: int) -> str:
    """Ask for this tile's share of the next block. Compilers for processors know how."""
    share = -(-own.block_inner // (own.block_rows // own.tile_rows))
    lines = " ".join(f"__builtin_prefetch(ahead + {at}, 0, 2);" for at in range(0, own.tile_cols, line))
    return f"""#if defined(__x86_64__) || defined(__aarch64__)
      const int share = start + {own.block_inner} + i / {own.tile_rows} * {share};
      for (int k = share; k < min(share + {share}, INNER); k++) {{
        __global const real* ahead = {right} + (size_t)k * WIDTH + first + j;
        {lines}
      }}
#endif"""


def _sums(own: Panels) -> list[tuple[str, int]]:
    """The vectors of a tile's sums: each one's name, and where it begins in a copy of the tile."""
    places = [(r, v) for r in range(own.tile_rows) for v in range(own.vectors)]
    return [(f"c{r}_{v}", (r * own.vectors + v) * own.lanes) for r, v in places]


def _multiplied(own: Panels, left: str, left_down: bool, several: bool) -> str:
    """The sums of a tile over this block, in registers."""
    rows, span, across = range(own.tile_rows), own.vector, range(own.vectors)
    if own.packed:
        pointers = [f"__local const real* x = left + i * {own.block_inner};"]
        at = [f"x[k * {own.tile_rows} + {r}]" if left_down else f"x[k + {r * own.block_inner}]" for r in rows]
    elif left_down:
        origin = f"{left} + (size_t)start * HEIGHT"
        pointers = [f"__global const real* x{r} = {origin} + min(top + i + {r}, HEIGHT - 1);" for r in rows]
        at = [f"x{r}[(size_t)k * HEIGHT]" for r in rows]
    else:
        pointers = [
            f"__global const real* x{r} = {left} + (size_t)min(top + i + {r}, HEIGHT - 1) * INNER + start;"
            for r in rows
        ]
        at = [f"x{r}[k]" for r in rows]
    sums = _sums(own)
    zeros = f"{span} " + ", ".join(f"{name} = 0" for name, _ in sums) + ";"
    again = " ".join(f"{name} = {span.load(f'kept + {at}')};" for name, at in sums)
    terms = [
        f"{{ const {span} s = ({span})({at[r]}); "
        + " ".join(f"c{r}_{v} = fma(s, y{v}, c{r}_{v});" for v in across)
        + " }"
        for r in rows
    ]
    ys = " ".join(f"const {span} y{v} = {span.load(f'y + k * {own.tile_cols} + {v * own.lanes}')};" for v in across)
    kept = f"__local real* kept = sums + i * {own.block_cols} + j * {own.tile_rows};"
    lines = [
        *pointers,
        f"__local const real* y = right + j * {own.block_inner};",
        zeros,
        *([kept, f"if (start > 0) {{ {again} }}"] if several else []),
        f"#pragma unroll {own.unrolled}",
        f"for (int k = 0; k < depth; k++) {{ {ys}",
        *[f"  {term}" for term in terms],
        "}",
    ]
    return "\n".join(f"      {line}" for line in lines)


def _stored(own: Panels, several: bool) -> str:
    """Keep the sums of a tile for the next block, or store them: with loops of constant length where it is whole."""
    rows, cols = own.tile_rows, own.tile_cols
    keep = " ".join(own.vector.store(name, f"kept + {at}") for name, at in _sums(own))
    tile = " ".join(own.vector.store(name, f"tile + {at}") for name, at in _sums(own))
    down, across = ("col", "row") if own.swapped else ("row", "col")
    body = (
        f"{{ const real value = tile[r * {cols} + lane];"
        f" const size_t {down} = top + i + r, {across} = first + j + lane; {STORE} }}"
    )
    loops = ["for (int r = 0; r < {0}; r++)", "for (int lane = 0; lane < {1}; lane++)"]
    if own.swapped:  # the inner loop runs along the rows of the result
        loops.reverse()
    loop = " ".join(loops)
    whole, edge = (rows, cols), (f"min({rows}, height - i)", f"min({cols}, width - j)")
    lines = [
        *([f"if (start + depth < INNER) {{ {keep} continue; }}"] if several else []),
        f"real tile[{rows * cols}];",
        tile,
        f"if (i + {rows} <= height && j + {cols} <= width) {loop.format(*whole)} {body}",
        f"else {loop.format(*edge)} {body}",
    ]
    return "\n".join(f"      {line}" for line in lines)
