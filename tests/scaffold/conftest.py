"""The command line, as the tests of its own call it."""

from cli.conftest import cli

__all__ = ["cli"]  # a fixture
