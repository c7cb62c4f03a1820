"""Only what pyproject.toml cannot say: the C kernel is built by cffi."""

from setuptools import setup

setup(cffi_modules=["sim/kernel/build_kernel.py:ffibuilder"])
