"""Sums and greatest elements, of rows and of columns, and where the greatest is.

A long row is reduced in parts, whose results are a shorter row that the same kernel reduces. Within a part, blocks of
blocks are added up, each by itself: so float32 keeps its digits, and infinities stay what they are, as they would not
if the error of each addition were carried along. Nothing depends on the order in which work-items run.
"""

from __future__ import annotations

BLOCK = 32  # vectors of a block, and blocks of a block of blocks

_STRIDED = """
/* `count` {kind}s, `stride` elements apart. */
{kind} {name}_of_{kind}s(__global const real *x, int count, size_t stride)
{{
    {kind} total = ({kind})({empty});
    for (int i = 0; i < count;) {{
        const int far = min(count, i + BLOCK * BLOCK);
        {kind} blocks = ({kind})({empty});
        while (i < far) {{
            const int near = min(far, i + BLOCK);
            {kind} block = ({kind})({empty});
            for (; i < near; i++) {{
                const {kind} v = {load};
                block = {block};
            }}
            blocks = {blocks};
        }}
        total = {total};
    }}
    return total;
}}
"""
_KERNELS = """
real {name}_lanes(vector x)
{{
#if LANES > 1
    real lanes[LANES];
    STORE(x, 0, lanes);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int lane = 0; lane < width; lane++)
            lanes[lane] = {halves};
    return lanes[0];
#else
    return x;
#endif
}}

/* Part `p` of `parts` of each row, to y[row * parts + p]. Work-items that need not work in vectors take turns. */
__kernel void {name}_rows(__global real *y, __global const real *x, int rows, int cols, int parts, real scale)
{{
    for (size_t item = get_global_id(0); item < (size_t)rows * parts; item += get_global_size(0)) {{
        const int part = item % parts;
        __global const real *row = x + item / parts * cols;
#if LANES > 1
        const int share = (cols + parts - 1) / parts, start = min(part * share, cols);
        const int count = min(cols - start, share), vectors = count / LANES;
        real result = {name}_lanes({name}_of_vectors(row + start, vectors, LANES));
        for (int col = start + vectors * LANES; col < start + count; col++) {{
            const real v = row[col];
            result = {result};
        }}
#else
        real result = {name}_of_vectors(row + part, (cols - part + parts - 1) / parts, parts);
#endif
        y[item] = result * scale;
    }}
}}

/* Part `p` of `parts` of each column, to y[p * cols + col]. */
__kernel void {name}_columns(__global real *y, __global const real *x, int rows, int cols, int parts, real scale)
{{
    const int pieces = (cols + LANES - 1) / LANES, share = (rows + parts - 1) / parts;
    for (size_t item = get_global_id(0); item < (size_t)pieces * parts; item += get_global_size(0)) {{
        const int part = item / pieces, start = min(part * share, rows), count = min(rows - start, share);
        const int col = (int)(item % pieces) * LANES;
        __global const real *from = x + (size_t)start * cols + col;
        __global real *to = y + (size_t)part * cols + col;
        if (col + LANES <= cols) {{
            STORE({name}_of_vectors(from, count, cols) * scale, 0, to);
        }} else {{
            for (int rest = 0; col + rest < cols; rest++)
                to[rest] = {name}_of_reals(from + rest, count, cols) * scale;
        }}
    }}
}}
"""
_ARGMAX = """
/* Of `count` sequences of `length` elements, each `step` apart. */
__kernel void argmax(__global int *y, __global const real *x, int count, int length, int stride, int step)
{
    for (size_t item = get_global_id(0); item < count; item += get_global_size(0)) {
        __global const real *from = x + item * stride;
        real greatest = from[0];
        int position = 0;
        for (int i = 1; i < length; i++) {
            const real v = from[(size_t)i * step];
            if (v > greatest || (v != v && greatest == greatest)) {
                greatest = v;
                position = i;
            }
        }
        y[item] = position;
    }
}
"""


def _reduction(name: str, combine: str, empty: str) -> str:
    """The kernels of a reduction, by what combines `{0}` and `{1}`, and what it gives of nothing."""
    strided = [
        _STRIDED.format(
            name=name,
            kind=kind,
            empty=empty,
            load=load,
            block=combine.format("block", "v"),
            blocks=combine.format("blocks", "block"),
            total=combine.format("total", "blocks"),
        )
        for kind, load in (("real", "x[i * stride]"), ("vector", "LOAD(0, x + i * stride)"))
    ]
    kernels = _KERNELS.format(
        name=name,
        halves=combine.format("lanes[lane]", "lanes[lane + width]"),
        result=combine.format("result", "v"),
    )
    return "".join([*strided, kernels])


SOURCE = (
    f"#define BLOCK {BLOCK}\n"
    + _reduction("sum", "{0} + {1}", "0")
    + _reduction("max", "({0} > {1}) | ({0} != {0}) ? {0} : {1}", "-INFINITY")
    + _ARGMAX
)
