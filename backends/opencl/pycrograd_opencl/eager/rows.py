"""Softmax, its logarithm, cross-entropy with its gradient, and the count of right answers: a work-item for each row.

A row is `length` elements, `step` apart, so that softmax down a column is one too.
"""

SOURCE = """
real row_greatest(__global const real *x, int length, size_t step)
{
    real greatest = -INFINITY;
    for (int i = 0; i < length; i++) {
        const real v = x[i * step];
        greatest = (greatest > v) | (greatest != greatest) ? greatest : v;
    }
    return greatest;
}

/* The sum of the exponentials of x - greatest, in blocks. */
real row_sum(__global const real *x, int length, size_t step, real greatest)
{
    real total = 0;
    for (int i = 0; i < length;) {
        const int stop = min(length, i + BLOCK * BLOCK);
        real block = 0;
        for (; i < stop; i++)
            block += exp(x[i * step] - greatest);
        total += block;
    }
    return total;
}

__kernel void softmax(__global real *y, __global const real *x, int count, int length, int stride, int step)
{
    for (size_t item = get_global_id(0); item < count; item += get_global_size(0)) {
        __global const real *from = x + item * stride;
        __global real *to = y + item * stride;
        const real greatest = row_greatest(from, length, step);
        const real total = row_sum(from, length, step, greatest);
        for (int i = 0; i < length; i++)
            to[(size_t)i * step] = exp(from[(size_t)i * step] - greatest) / total;
    }
}

__kernel void log_softmax(__global real *y, __global const real *x, int count, int length, int stride, int step)
{
    for (size_t item = get_global_id(0); item < count; item += get_global_size(0)) {
        __global const real *from = x + item * stride;
        __global real *to = y + item * stride;
        const real greatest = row_greatest(from, length, step);
        const real less = log(row_sum(from, length, step, greatest));
        for (int i = 0; i < length; i++)
            to[(size_t)i * step] = from[(size_t)i * step] - greatest - less;
    }
}

/* The loss of each row. */
__kernel void cross_entropy(__global real *y, __global const real *x, __global const int *labels, int rows, int cols)
{
    for (size_t row = get_global_id(0); row < rows; row += get_global_size(0)) {
        __global const real *from = x + row * cols;
        const real greatest = row_greatest(from, cols, 1);
        y[row] = log(row_sum(from, cols, 1, greatest)) - (from[labels[row]] - greatest);
    }
}

__kernel void cross_entropy_gradient(
    __global real *y, __global const real *g, __global const real *x, __global const int *labels, int rows, int cols)
{
    const real share = g[0] / rows;
    for (size_t row = get_global_id(0); row < rows; row += get_global_size(0)) {
        __global const real *from = x + row * cols;
        __global real *to = y + row * cols;
        const real greatest = row_greatest(from, cols, 1);
        const real total = row_sum(from, cols, 1, greatest);
        for (int col = 0; col < cols; col++)
            to[col] = (exp(from[col] - greatest) / total - (col == labels[row])) * share;
    }
}

/* 1 where the first greatest element of a row (the first nan, if there is one) is at its label, else 0. */
__kernel void correct(__global real *y, __global const real *x, __global const int *labels, int rows, int cols)
{
    for (size_t row = get_global_id(0); row < rows; row += get_global_size(0)) {
        __global const real *from = x + row * cols;
        const int label = labels[row];
        const real v = from[label];
        int right = 1;
        for (int col = 0; col < label; col++)
            right &= v != v ? from[col] == from[col] : from[col] < v;
        for (int col = label + 1; col < cols; col++)
            right &= v != v || from[col] <= v;
        y[row] = right;
    }
}
"""
