"""Random operands of a product on a device, and what a kernel makes of them."""

import numpy as np
import pyopencl as cl

from pycrograd_opencl.runtime import runtime_of


class Operands:
    """Matrices a, b, c and a row of biases; `value` is a @ b in float64."""

    def __init__(self, product, device):
        random = np.random.default_rng(product.rows + 1000 * product.cols + product.inner)
        self.product, self.runtime = product, runtime_of(device)
        extents = (product.rows, product.inner, product.cols)
        shapes = (extents[:2], extents[1:], extents[::2], (1, product.cols))
        self.a, self.b, self.c, self.bias = (random.standard_normal(shape).astype(product.dtype) for shape in shapes)
        self.value = self.a.astype(float) @ self.b.astype(float)

    def results(self, launch, fixed=True):
        """What a kernel leaves in c and, if the product has the epilogue, in y: each beside what it should be."""
        p = self.product
        hosts = [self.a.T if p.transpose_a else self.a, self.b.T if p.transpose_b else self.b, self.c]
        expected = [self.value]
        if len(p.parameters) > 1:
            hosts += [self.bias, np.full_like(self.c, np.nan)]
            expected = [self.c - self.value / 4, np.maximum(self.value + self.bias, 0)]
        buffers = [self.runtime.memory.copied(np.ascontiguousarray(host)) for host in hosts]
        kernel = self.runtime.kernel(launch.source, launch.name)
        sizes = [] if fixed else [np.int32(extent) for extent in (p.rows, p.cols, p.inner)]
        kernel.set_args(*sizes, *buffers)
        cl.enqueue_nd_range_kernel(self.runtime.queue, kernel, launch.global_size, launch.local_size)
        for buffer, right in zip((buffers[2], buffers[-1]), expected, strict=False):
            found = np.empty_like(self.c)
            cl.enqueue_copy(self.runtime.queue, found, buffer)
            yield found, right
