import gzip
import struct

import numpy as np
import pytest

from pycrograd_core.data.idx import read_idx
from pycrograd_core.errors import DataError

VALUES = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
CONTENT = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 2) + VALUES.tobytes()
PACKED = gzip.compress(CONTENT, mtime=0)


@pytest.mark.parametrize("content", [CONTENT, PACKED])
@pytest.mark.parametrize("name", ["values", "values.gz"])
def test_gzipped_or_not_whatever_the_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    values = read_idx(tmp_path / name, dimensions=3)
    assert values.dtype == np.uint8
    assert np.array_equal(values, VALUES)


def test_no_rows(tmp_path):
    (tmp_path / "none").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 0))
    assert read_idx(tmp_path / "none", dimensions=1).shape == (0,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"\0\0\x08", "not an IDX file: it begins with 00 00 08"),
        (b"<html>", "not an IDX file: it begins with 3c 68 74 6d"),
        (b"\0\0\x0d\x03" + CONTENT[4:], "its values are of IDX type 0x0d, not 0x08"),
        (b"\0\0\x08\x01" + CONTENT[4:], r"it has 1 dimension\(s\), not 3"),
        (CONTENT[:10], "truncated: it ends within its header, after 10 bytes"),
        (CONTENT[:-1], "truncated: its header promises 2 × 3 × 2 = 12 values, it has 11"),
        (CONTENT + b"\0", "trailing bytes: its header promises 2 × 3 × 2 = 12 values, it has 13"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "truncated: its header promises 4294967295 × "),
        (PACKED[:-12], "damaged gzip file"),
        (PACKED[:-8] + b"\0" * 8, "damaged gzip file"),
        (PACKED[:10] + b"\xff" * 20, "damaged gzip file"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "values").write_bytes(content)
    with pytest.raises(DataError, match=rf"{tmp_path}/values: {message}"):
        read_idx(tmp_path / "values", dimensions=3)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: cannot be read: Is a directory"):
        read_idx(tmp_path, dimensions=3)
