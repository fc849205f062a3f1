/* The kernels. This file is compiled three times (see kernels_build.py): `real` is int32_t, float, then double, and
   NAME(copy) is copy_i32, copy_f32, then copy_f64. By <tgmath.h> exp(x) is expf(x) where x is a float.

   Several threads may be in a kernel at the same time, since cffi lets go of Python's lock: keep nothing between calls.
   `out` holds anything, and is an operand of elementwise kernels alone. Extents may be 0. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tgmath.h>

#define Matrix NAME(Matrix)
#define at(x, i, j) (x)->data[(i) * (x)->row_step + (j) * (x)->col_step]

typedef struct {
    real *data;
    size_t rows, cols, row_step, col_step; /* where an extent is 1 its step is 0, so that it repeats */
} Matrix;

/* What each element of out is, of x, y and z: those of a, b and c at its place. */
#define ELEMENTWISE(name, formula)                                                       \
    void NAME(name)(const Matrix *a, const Matrix *b, const Matrix *c, Matrix *out)      \
    {                                                                                    \
        for (size_t i = 0; i < out->rows; i++)                                           \
            for (size_t j = 0; j < out->cols; j++) {                                     \
                const real x = at(a, i, j), y = at(b, i, j), z = at(c, i, j);            \
                (void)y, (void)z;                                                        \
                at(out, i, j) = formula;                                                 \
            }                                                                            \
    }

ELEMENTWISE(copy, x)

void NAME(take_rows)(const Matrix *x, const Matrix_i32 *indices, Matrix *out)
{
    for (size_t i = 0; i < out->rows; i++)
        memcpy(out->data + i * out->cols, x->data + indices->data[i] * x->cols, out->cols * sizeof(real));
}

#if COMPUTING /* which nobody does with int32_t: those are row numbers and labels */
ELEMENTWISE(exp, exp(x))
ELEMENTWISE(log, log(x))
ELEMENTWISE(sqrt, sqrt(x))
ELEMENTWISE(tanh, tanh(x))
ELEMENTWISE(add, x + y)
ELEMENTWISE(subtract, x - y)
ELEMENTWISE(multiply, x * y)
ELEMENTWISE(divide, x / y)
ELEMENTWISE(power, pow(x, y))
ELEMENTWISE(maximum, x > y || x != x ? x : y)
ELEMENTWISE(greater, x > y)
ELEMENTWISE(where, x != 0 ? y : z)
ELEMENTWISE(relu, x > 0 || x != x ? x : 0)
ELEMENTWISE(relu_gradient, y > 0 ? x : 0)
ELEMENTWISE(sgd_update, x - z * y)

/* What each element of out is of a block of x (a column, a row, or all of it), whose elements y come in turn. */
#define REDUCTION(name, Result, begin, each, end)                                        \
    void NAME(name)(const Matrix *x, Result *out)                                        \
    {                                                                                    \
        for (size_t i = 0; i < out->rows; i++)                                           \
            for (size_t j = 0; j < out->cols; j++) {                                     \
                const size_t height = x->rows / out->rows, width = x->cols / out->cols;  \
                const real *block = x->data + i * height * x->cols + j * width;          \
                begin;                                                                   \
                for (size_t r = 0; r < height; r++)                                      \
                    for (size_t c = 0; c < width; c++) {                                 \
                        const real y = block[r * x->cols + c];                           \
                        each;                                                            \
                    }                                                                    \
                out->data[i * out->cols + j] = end;                                      \
            }                                                                            \
    }
#define IF_GREATER if (y > best || (y != y && best == best)) /* nan is the greatest; the first of equals counts */

REDUCTION(sum, Matrix, double total = 0, total += y, (real)total) /* in float a long sum would lose digits */
REDUCTION(max, Matrix, real best = *block, IF_GREATER best = y, best)
REDUCTION(argmax, Matrix_i32, real best = *block; int32_t n = 0, IF_GREATER { best = y; n = r * width + c; }, n)

/* Four rows of b at a time, in stripes that stay in the cache while each row of out takes in what they add to it. */
void NAME(matmul)(const Matrix *a, const Matrix *b, Matrix *out)
{
    const size_t inner = a->cols, cols = b->cols;
    memset(out->data, 0, out->rows * cols * sizeof(real));
    for (size_t start = 0, stop; start < cols; start = stop) {
        stop = start + 512 < cols ? start + 512 : cols;
        for (size_t k = 0, depth; k < inner; k += depth) {
            depth = k + 4 <= inner ? 4 : 1;
            for (size_t i = 0; i < out->rows; i++) {
                const real *x = a->data + i * inner + k, *y = b->data + k * cols;
                real *row = out->data + i * cols;
                if (depth == 4)
                    for (size_t j = start; j < stop; j++)
                        row[j] += x[0] * y[j] + x[1] * y[cols + j] + x[2] * y[2 * cols + j] + x[3] * y[3 * cols + j];
                else
                    for (size_t j = start; j < stop; j++)
                        row[j] += x[0] * y[j];
            }
        }
    }
}

void NAME(add_rows)(const Matrix *x, const Matrix_i32 *indices, const Matrix *updates, Matrix *out)
{
    NAME(copy)(x, x, x, out);
    for (size_t i = 0; i < updates->rows; i++)
        for (size_t j = 0; j < out->cols; j++)
            out->data[indices->data[i] * out->cols + j] += updates->data[i * out->cols + j];
}
#endif
