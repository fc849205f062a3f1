"""The part of the build that pyproject.toml has no words for: cffi compiles the kernels."""

from setuptools import setup

setup(cffi_modules=["pycrograd_c_kernels/kernels_build.py:builder"])
