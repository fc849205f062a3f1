"""What moves elements and changes none, on words of their size; and rows that are added to.

`copy` is every one of transpose, reshape, slice, concat and broadcast_to, by strides. In `add_rows` a work-item has a
column to itself, so that repeated indices add up in their order.
"""

SOURCE = """
__kernel void fill(__global word *y, int count, word value)
{
    for (size_t i = get_global_id(0); i < count; i += get_global_size(0))
        y[i] = value;
}

__kernel void copy(__global word *y, __global const word *x, int rows, int cols,
                   int y_start, int y_row, int x_start, int x_row, int x_col)
{
    const int pieces = (cols + PIECE - 1) / PIECE;
    for (size_t item = get_global_id(0); item < (size_t)rows * pieces; item += get_global_size(0)) {
        const size_t row = item / pieces;
        const int start = (int)(item % pieces) * PIECE, stop = min(start + PIECE, cols);
        __global word *to = y + y_start + row * y_row;
        __global const word *from = x + x_start + row * x_row;
        if (x_col == 1)
            for (int col = start; col < stop; col++)
                to[col] = from[col];
        else
            for (int col = start; col < stop; col++)
                to[col] = from[(size_t)col * x_col];
    }
}

__kernel void take_rows(__global word *y, __global const word *x, __global const int *indices, int rows, int cols)
{
    const int pieces = (cols + PIECE - 1) / PIECE;
    for (size_t item = get_global_id(0); item < (size_t)rows * pieces; item += get_global_size(0)) {
        const size_t row = item / pieces;
        const int start = (int)(item % pieces) * PIECE, stop = min(start + PIECE, cols);
        __global word *to = y + row * cols;
        __global const word *from = x + (size_t)indices[row] * cols;
        for (int col = start; col < stop; col++)
            to[col] = from[col];
    }
}

__kernel void add_rows(__global real *y, __global const int *indices, __global const real *updates, int rows, int cols)
{
    for (size_t col = get_global_id(0); col < cols; col += get_global_size(0))
        for (int row = 0; row < rows; row++)
            y[(size_t)indices[row] * cols + col] += updates[(size_t)row * cols + col];
}

__kernel void one_hot(__global word *y, __global const int *labels, int rows, int cols, word one)
{
    for (size_t i = get_global_id(0); i < (size_t)rows * cols; i += get_global_size(0))
        y[i] = labels[i / cols] == (int)(i % cols) ? one : 0;
}
"""
