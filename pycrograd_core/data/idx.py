"""IDX, the file format of MNIST: a magic number, the dimensions, and then the values, all big-endian.

The magic number is 0, 0, a code for the type of the values (8: unsigned byte) and the number of dimensions; each
dimension is a 32-bit unsigned integer. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pycrograd_core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The unsigned bytes in the IDX file `path`, which may be gzipped, as a read-only array of `dimensions` dimensions.

    Raises DataError, naming the file, if it cannot be read or is anything else.
    """
    import numpy as np

    content = memoryview(_read(path))
    if len(content) < 4 or content[0] or content[1]:
        raise DataError(f"{path}: not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}")
    if content[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: its values are of IDX type 0x{content[2]:02x}, not 0x08 (unsigned bytes)")
    if content[3] != dimensions:
        raise DataError(f"{path}: it has {content[3]} dimension(s), not {dimensions}")
    header, values = content[4 : 4 + 4 * dimensions], content[4 + 4 * dimensions :]
    if len(header) < 4 * dimensions:
        raise DataError(f"{path}: truncated: it ends within its header, after {len(content)} bytes")
    shape = tuple(int.from_bytes(header[4 * axis : 4 * axis + 4], "big") for axis in range(dimensions))
    if len(values) != math.prod(shape):
        fault = "truncated" if len(values) < math.prod(shape) else "trailing bytes"
        promise = f"{' × '.join(map(str, shape))} = {math.prod(shape)}"
        raise DataError(f"{path}: {fault}: its header promises {promise} values, it has {len(values)}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped: its content tells, since browsers unpack and keep the name."""
    import gzip
    import zlib

    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
