"""The scaffold: the package of a new backend, which installs, passes the kit, and is there to be edited."""

from .package import LANGUAGES, write

__all__ = ["LANGUAGES", "write"]
