"""Products on a GPU: work-groups that share tiles of both operands in local memory.

Each item holds `item_rows` × `item_cols` sums in registers, in squares of four by four that lie apart, so that the
items of a warp read consecutive vectors of a tile and no two of them the same bank. Tiles lie in local memory with
`inner` down. With two buffers the next tile is on its way from memory while this one is multiplied. Products with few
results and a long `inner` fill a device when `slices` of a group's items take turns along it; their sums are added at
the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pycrograd_core.capture.program import WIDTHS
from pycrograd_opencl.c_types import CType

from .product import Launch, Product, definitions, own_names, signature


@dataclass(frozen=True)
class Tiles:
    """Parameters of this style. A group is `slices` times `group_rows` × `group_cols` items."""

    group_rows: int = 16
    group_cols: int = 16
    item_rows: int = 8
    item_cols: int = 8
    depth: int = 16
    slices: int = 1
    buffers: int = 2

    @property
    def items(self) -> int:
        """The size of a group."""
        return self.group_rows * self.group_cols * self.slices

    @property
    def tile_rows(self) -> int:
        """Rows of the result that a group computes."""
        return self.group_rows * self.item_rows

    @property
    def tile_cols(self) -> int:
        """Columns of the result that a group computes."""
        return self.group_cols * self.item_cols

    def valid(self) -> bool:
        """Whether slices share a tile's depth evenly, and vectors an item's sums."""
        powers = all(extent & (extent - 1) == 0 for extent in (self.items, self.item_rows, self.item_cols))
        return powers and self.depth % self.slices == 0 and self.depth % 4 == 0 and self.buffers in (1, 2)

    def elements(self) -> tuple[int, int]:
        """Elements of local memory: of the left and of the right tile, each with what keeps its rows apart."""
        return self.depth * (self.tile_rows + 4), self.depth * (self.tile_cols + 4)

    def local_memory(self, product: Product, fixed: bool = True) -> int:
        """Bytes of local memory that the kernel takes: tiles, and afterwards in the same place the sums of slices."""
        sums = self.tile_rows * self.tile_cols * (self.slices - 1)
        return max(sum(self.elements()) * self.buffers, sums) * WIDTHS[product.dtype]

    def groups(self, product: Product) -> tuple[int, int]:
        """How many groups, across and down."""
        return -(-product.cols // self.tile_cols), -(-product.rows // self.tile_rows)

    def fitted(self, product: Product, units: int, local_memory: int, largest_group: int) -> Tiles:
        """Tiles that the device can hold, no larger than the product asks for, and enough of them for every unit."""
        own = self
        while own.items > largest_group and own != (less := own.narrower()):
            own = less
        if own.local_memory(product) > local_memory:
            own = replace(own, buffers=1)
        while own.local_memory(product) > local_memory and own != (less := own.smaller() or own.narrower()):
            own = less
        while (spared := own.spared(product, units)) is not None:
            own = spared
        return own

    def spared(self, product: Product, units: int) -> Tiles | None:
        """Smaller tiles, if half of one's rows or columns are beyond the result, or units have nothing to do."""
        if self.tile_rows >= 2 * product.rows and self.tile_rows > 1:
            return self._lower()
        if self.tile_cols >= 2 * product.cols and self.tile_cols > 1:
            return self._slimmer()
        across, down = self.groups(product)
        return self.smaller() if across * down < units else None

    def smaller(self) -> Tiles | None:
        """Fewer sums for each item; None if they are few."""
        if max(self.item_rows, self.item_cols) <= 2:
            return None
        return self._lower() if self.item_rows >= self.item_cols else self._slimmer()

    def _lower(self) -> Tiles:
        """Half the rows."""
        if self.item_rows > 1:
            return replace(self, item_rows=self.item_rows // 2)
        return replace(self, group_rows=self.group_rows // 2)

    def _slimmer(self) -> Tiles:
        """Half the columns."""
        if self.item_cols > 1:
            return replace(self, item_cols=self.item_cols // 2)
        return replace(self, group_cols=self.group_cols // 2)

    def narrower(self) -> Tiles:
        """Fewer items."""
        if self.slices > 1:
            return replace(self, slices=self.slices // 2)
        if self.group_rows > 1 and self.group_rows >= self.group_cols:
            return replace(self, group_rows=self.group_rows // 2)
        return replace(self, group_cols=max(1, self.group_cols // 2))

    def launch(self, product: Product, fixed: bool = True) -> Launch:
        """The kernel; with extents as arguments if they are not fixed. Items are numbered in one dimension."""
        across, down = self.groups(product)
        return Launch(_source(self, product, fixed), "product", (across * self.items, down), (self.items, 1))


def _source(own: Tiles, product: Product, fixed: bool) -> str:
    """The kernel: fetch a tile, multiply the one before it, change buffers; at last add slices, and store."""
    left, right = own.elements()
    size = max((left + right) * own.buffers, own.tile_rows * own.tile_cols * (own.slices - 1))
    both = left + right
    fetch_left = _Fetch(own, "left", "a", own.tile_rows, "HEIGHT", "top", not product.transpose_a)
    fetch_right = _Fetch(own, "right", "b", own.tile_cols, "WIDTH", "first", product.transpose_b)
    sums = " ".join(f"{_chunk(own)} c{r}_{q} = 0;" for r in range(own.item_rows) for q in _chunks(own))
    turn = f"now = {both} - now;" if own.buffers == 2 else ""
    ahead = "barrier(CLK_LOCAL_MEM_FENCE);" if own.buffers == 1 else ""
    body = f"""  __local real tiles[{size}] __attribute__((aligned(32)));
  const int item = get_local_id(0), place = item % {own.group_rows * own.group_cols};
  const int slice = item / {own.group_rows * own.group_cols};
  const int x = place % {own.group_cols}, y = place / {own.group_cols};
  const int top = (int)get_group_id(1) * {own.tile_rows}, first = (int)get_group_id(0) * {own.tile_cols};
  {sums}
  int now = 0, start = 0;
{fetch_left.registers()}{fetch_right.registers()}
{fetch_left.read()}{fetch_right.read()}
{fetch_left.write("tiles + now")}{fetch_right.write(f"tiles + now + {left}")}
  barrier(CLK_LOCAL_MEM_FENCE);
  for (;;) {{
    start += {own.depth};
    const int more = start < INNER;
    if (more) {{
{fetch_left.read()}{fetch_right.read()}
    }}
{_multiplied(own, left)}
    if (!more) break;
    {ahead}{turn}
{fetch_left.write("tiles + now")}{fetch_right.write(f"tiles + now + {left}")}
    barrier(CLK_LOCAL_MEM_FENCE);
  }}
{_added(own)}
{_stored(own)}"""
    return f"""{definitions(product, fixed, "ROWS", "COLS")}
#define STORE(VALUE, ROW, COL) {{ const size_t row = ROW, col = COL; \\
  if (row < HEIGHT && col < WIDTH) {{ const real value = VALUE; {" ".join(product.store.split())} }} }}
__kernel __attribute__((reqd_work_group_size({own.items}, 1, 1)))
void product({signature(product, fixed)}) {{
{own_names(body)}
}}
"""


def _chunk(own: Tiles) -> CType:
    """The vector that holds some of an item's columns."""
    return CType("real", min(own.item_cols, 4))


def _chunks(own: Tiles) -> range:
    """The vectors of an item's columns."""
    return range(max(1, own.item_cols // 4))


@dataclass(frozen=True)
class _Fetch:
    """How a group brings a tile of one operand from memory: four consecutive elements for an item at a time.

    `along`: consecutive elements in memory lie along `inner`, and go below each other in local memory.
    """

    own: Tiles
    name: str
    operand: str
    extent: int
    limit: str
    origin: str
    along: bool

    @property
    def _count(self) -> int:
        """Vectors of a tile."""
        return self.extent * self.own.depth // self.lanes

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return 4 if self.along or self.extent % 4 == 0 else 1

    @property
    def vector(self) -> CType:
        """What is read and written at once."""
        return CType("real", self.lanes)

    @property
    def _turns(self) -> range:
        """Which vectors an item brings, one after the other."""
        return range(-(-self._count // self.own.items))

    def _where(self, turn: int) -> str:
        """Where in the tile: `k` along inner, `i` along the other extent."""
        per_row = (self.own.depth if self.along else self.extent) // self.lanes
        e = f"const int e = item + {turn * self.own.items};"
        inward, outward = f"e % {per_row} * {self.lanes}", f"e / {per_row}"
        return f"{e} const int k = {inward if self.along else outward}, i = {outward if self.along else inward};"

    def _whole(self, turn: int) -> str:
        """A condition, if some items have nothing to bring in this turn."""
        return f"if (e < {self._count}) " if (turn + 1) * self.own.items > self._count else ""

    def registers(self) -> str:
        return "".join(f"  {self.vector} {self.name}{turn} = 0;\n" for turn in self._turns)

    def read(self) -> str:
        """Into registers, from `start` on; zeros beyond the operand. Vectors that are aligned are read as such."""
        stride, span = ("INNER" if self.along else self.limit), self.vector
        lines = []
        for turn in self._turns:
            at = (
                f"(size_t)({self.origin} + i) * INNER + start + k"
                if self.along
                else (f"(size_t)(start + k) * {self.limit} + {self.origin} + i")
            )
            lanes = []
            for lane in range(self.lanes):
                k, i = (f"k + {lane}", "i") if self.along else ("k", f"i + {lane}")
                inside = f"start + {k} < INNER && {self.origin} + {i} < {self.limit}"
                lanes.append(f"{inside} ? from[{lane}] : 0")
            last = self.lanes - 1
            k, i = (f"k + {last}", "i") if self.along else ("k", f"i + {last}")
            down = f"((INNER > 0 && INNER % {self.own.depth} == 0) || start + {k} < INNER)"
            over = f"({self.limit} % {self.extent} == 0 || {self.origin} + {i} < {self.limit})"
            aligned = f"{stride} % {self.lanes} == 0 && {down} && {over}"
            parts = ", ".join(lanes)
            edge = f"({span})({parts})" if self.lanes > 1 else parts
            lines.append(
                f"    {{ {self._where(turn)} {self._whole(turn)}{{ __global const real* from = {self.operand} + {at};\n"
                f"      if ({aligned}) {self.name}{turn} = *(__global const {span}*)from;\n"
                f"      else {self.name}{turn} = {edge}; }} }}\n"
            )
        return "".join(lines)

    def write(self, to: str) -> str:
        """From registers into local memory."""
        row, lines = self.extent + 4, []
        for turn in self._turns:
            name = f"{self.name}{turn}"
            if self.along:
                writes = " ".join(
                    f"to[{lane * row}] = {self.vector.component(name, lane)};" for lane in range(self.lanes)
                )
            else:
                writes = f"*(__local {self.vector}*)to = {name};"
            lines.append(
                f"    {{ {self._where(turn)} {self._whole(turn)}"
                f"{{ __local real* to = {to} + k * {row} + i; {writes} }} }}\n"
            )
        return "".join(lines)


def _multiplied(own: Tiles, left: int) -> str:
    """This item's share of the product of two tiles."""
    tall, wide = min(own.item_rows, 4), min(own.item_cols, 4)
    xs, ys = _chunk(own), CType("real", tall)
    per_slice = own.depth // own.slices
    lines = [
        f"    #pragma unroll\n    for (int step = 0; step < {per_slice}; step++) {{",
        f"      const int k = slice * {per_slice} + step;",
        f"      __local const real* l = tiles + now + k * {own.tile_rows + 4} + y * {tall};",
        f"      __local const real* r = tiles + now + {left} + k * {own.tile_cols + 4} + x * {wide};",
    ]
    lines += [
        f"      const {ys} l{p} = *(__local const {ys}*)(l + {p * own.group_rows * tall});"
        for p in range(own.item_rows // tall)
    ]
    lines += [f"      const {xs} r{q} = *(__local const {xs}*)(r + {q * own.group_cols * wide});" for q in _chunks(own)]
    for row in range(own.item_rows):
        factor = ys.component(f"l{row // tall}", row % tall)
        lines += [f"      c{row}_{q} = fma(({xs})({factor}), r{q}, c{row}_{q});" for q in _chunks(own)]
    return "\n".join([*lines, "    }"])


def _added(own: Tiles) -> str:
    """The sums of all slices, for the items of the first, in the place of the tiles."""
    if own.slices == 1:
        return ""
    span, items = _chunk(own), own.group_rows * own.group_cols
    sums = [f"c{r}_{q}" for r in range(own.item_rows) for q in _chunks(own)]
    # vectors of one position lie together, so that neighbours write beside each other
    places = [f"(({n} * {own.slices - 1} + other) * {items} + place) * {span.lanes}" for n in range(len(sums))]
    writes = " ".join(f"*(__local {span}*)(tiles + {at}) = {name};" for name, at in zip(sums, places, strict=True))
    reads = " ".join(f"{name} += *(__local {span}*)(tiles + {at});" for name, at in zip(sums, places, strict=True))
    return f"""  barrier(CLK_LOCAL_MEM_FENCE);
  if (slice > 0) {{ const int other = slice - 1; {writes} }}
  barrier(CLK_LOCAL_MEM_FENCE);
  if (slice > 0) return;
  for (int other = 0; other < {own.slices - 1}; other++) {{ {reads} }}"""


def _stored(own: Tiles) -> str:
    """The statements of the product for each of an item's sums that is inside the result."""
    tall, span = min(own.item_rows, 4), _chunk(own)
    lines = []
    for r in range(own.item_rows):
        row = f"top + {r // tall * own.group_rows * tall + r % tall} + y * {tall}"
        for q in _chunks(own):
            for lane in range(span.lanes):
                col = f"first + {q * own.group_cols * span.lanes + lane} + x * {span.lanes}"
                lines.append(f"  STORE({span.component(f'c{r}_{q}', lane)}, {row}, {col})")
    return "\n".join(lines)
