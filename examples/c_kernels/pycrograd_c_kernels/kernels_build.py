"""How kernels.c becomes the module `_kernels` at installation: what Python may call, and how it is compiled."""

from cffi import FFI

MOVING = """
typedef struct { real *data; size_t rows, cols, row_step, col_step; } Matrix_T;
void copy_T(Matrix_T *a, Matrix_T *b, Matrix_T *c, Matrix_T *out);
void take_rows_T(Matrix_T *x, Matrix_i32 *indices, Matrix_T *out);
"""
COMPUTING = """
void sum_T(Matrix_T *x, Matrix_T *out);
void max_T(Matrix_T *x, Matrix_T *out);
void argmax_T(Matrix_T *x, Matrix_i32 *out);
void matmul_T(Matrix_T *a, Matrix_T *b, Matrix_T *out);
void add_rows_T(Matrix_T *x, Matrix_i32 *indices, Matrix_T *updates, Matrix_T *out);
"""
UNARY = ("exp", "log", "sqrt", "tanh", "relu")
BINARY = ("add", "subtract", "multiply", "divide", "power", "maximum", "greater", "relu_gradient")
for name in (*UNARY, *BINARY, "where", "sgd_update"):
    COMPUTING += f"void {name}_T(Matrix_T *a, Matrix_T *b, Matrix_T *c, Matrix_T *out);\n"
INCLUDED = """
#define real {real}
#define NAME(name) name##_{suffix}
#define COMPUTING {computing:d}
#include "kernels.c"
#undef COMPUTING
#undef NAME
#undef real
"""
TYPES = {"i32": "int32_t", "f32": "float", "f64": "double"}

builder = FFI()
source = ""
for suffix, real in TYPES.items():
    computing = suffix != "i32"
    declarations = MOVING + COMPUTING * computing
    builder.cdef(declarations.replace("_T", f"_{suffix}").replace("real", real))
    source += INCLUDED.format(real=real, suffix=suffix, computing=computing)
builder.set_source(
    "pycrograd_c_kernels._kernels",
    source,
    include_dirs=["pycrograd_c_kernels"],
    depends=["pycrograd_c_kernels/kernels.c"],
    # Never -ffast-math, nor -Ofast: the compiler may then take it that there are no nan and no infinities, and add in
    # any order. The check would find out.
    extra_compile_args=["-O3"],
)
