"""The c-kernels backend."""
