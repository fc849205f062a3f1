"""The OpenCL backend."""

import os

# pyopencl would keep how arguments are passed in a folder of its own, and fail where that cannot be made
os.environ.setdefault("PYOPENCL_NO_CACHE", "1")
