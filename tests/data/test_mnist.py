import gzip
import hashlib
import importlib
import struct

import numpy as np
import pytest

from pycrograd_core.data import mnist
from pycrograd_core.errors import DataError

module = importlib.import_module("pycrograd_core.data.mnist")  # the package's attribute is the function


@pytest.fixture
def folder(tmp_path, digit_files):
    for name, content in digit_files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def no_download(monkeypatch):
    monkeypatch.setattr(module, "MIRRORS", ())


@pytest.mark.parametrize(("part", "labels"), [("train", [5, 6, 7]), ("test", [5, 6]), ("all", [5, 6, 7, 5, 6])])
def test_parts(folder, part, labels):
    data = mnist(path=str(folder), part=part)
    assert data.targets.tolist() == labels
    assert (data.inputs, data.outputs) == (784, 10)
    expected = np.arange(784) % 256 / np.float32(255)
    assert np.array_equal(data.features[0], expected.astype(np.float32))
    assert (data.features.min(), data.features.max()) == (0, 1)


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_spellings_of_the_names(tmp_path, digit_files, dot, packed):
    for name, content in digit_files.items():
        spelling = name.replace("-idx", ".idx") if dot else name
        path = tmp_path / (spelling if packed else spelling.removesuffix(".gz"))
        path.write_bytes(content if packed else gzip.decompress(content))
    assert len(mnist(path=str(tmp_path))) == 3


def test_only_the_files_of_the_part_are_needed(folder):
    for file in folder.glob("t10k*"):
        file.unlink()
    assert len(mnist(path=str(folder), part="train")) == 3


@pytest.mark.usefixtures("no_download")
def test_missing_files_in_a_given_folder(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        mnist(path=str(folder))
    assert str(caught.value) == (
        f"{folder}: MNIST files are missing here; looked for train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz "
        "or train-labels.idx1-ubyte or train-labels.idx1-ubyte.gz"
    )


def test_a_given_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/nowhere: .* there is no such folder"):
        mnist(path=str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_counts_that_differ(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 2) + b"\1\2")
    message = "train-images-idx3-ubyte.gz has 3 images, but .*train-labels-idx1-ubyte.gz has 2 labels"
    with pytest.raises(DataError, match=message):
        mnist(path=str(folder))


def test_images_of_another_size(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 3, 1, 2) + bytes(6))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: images of 1 × 2 pixels, not 28 × 28"):
        mnist(path=str(folder))


def test_a_label_that_is_no_digit(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + b"\1\2\12")
    with pytest.raises(DataError, match="data set 'mnist': row 2: the label 10 is outside 0 … 9"):
        mnist(path=str(folder))


@pytest.mark.usefixtures("no_download")
def test_cached_files_are_not_downloaded(folder, monkeypatch):
    (folder / "mnist").mkdir()
    for file in folder.glob("*.gz"):
        file.rename(folder / "mnist" / file.name)
    monkeypatch.setenv("PYCROGRAD_DATA", str(folder))
    assert len(mnist(part="all")) == 5


def test_files_are_downloaded_to_the_cache(tmp_path, digit_files, serve, monkeypatch):
    monkeypatch.setenv("PYCROGRAD_DATA", str(tmp_path))
    monkeypatch.setattr(module, "MIRRORS", (serve(digit_files),))
    monkeypatch.setattr(
        module, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in digit_files.items()}
    )
    assert len(mnist()) == 3
    assert sorted(file.name for file in (tmp_path / "mnist").iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def test_when_every_mirror_fails_the_way_out_is_named(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("PYCROGRAD_DATA", str(tmp_path))
    monkeypatch.setattr(module, "MIRRORS", (serve({}),))
    with pytest.raises(DataError, match=r"HTTP Error 404(.|\n)*--set data.path=FOLDER"):
        mnist()


def test_every_file_has_a_digest_and_every_mirror_is_encrypted():
    assert all(len(bytes.fromhex(digest)) == 32 for digest in module.SHA256.values())
    assert len(module.SHA256) == 4
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in module.MIRRORS)
