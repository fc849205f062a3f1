"""MNIST: 70,000 handwritten digits of 28 × 28 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pycrograd_core.errors import DataError

from .dataset import Dataset
from .download import data_folder, download
from .idx import read_idx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_ADVICE = "Get the MNIST files by hand, and name the folder they are in: --set data.path=FOLDER"
_PREFIXES = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
_SIDE = 28


def mnist(path: str | None = None, part: Literal["train", "test", "all"] = "train") -> Dataset:
    """Images in [0, 1] (n × 784, rows of pixels from the top) with labels 0 … 9.

    `part` chooses the 60,000 training images, the 10,000 test images, or all, the training images first. The files are
    looked for in the folder `path`; without one, in the cache folder, to which those that are missing are downloaded.
    Raises DataError for files that are missing, damaged or do not fit each other, and if every mirror fails.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
    """
    import numpy as np

    parts = [_read(prefix, path) for prefix in _PREFIXES[part]]
    labels = np.concatenate([labels for _, labels in parts], dtype=np.int32)
    features = np.empty((len(labels), _SIDE * _SIDE), np.float32)
    start = 0
    for images, _ in parts:  # straight into place: the float32 array is the only large copy
        np.divide(images.reshape(-1, _SIDE * _SIDE), np.float32(255), out=features[start : start + len(images)])
        start += len(images)
    return Dataset("mnist", features, labels, classes=10)


def _read(prefix: str, path: str | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    images_file, labels_file = _cached(names) if path is None else _given(names, Path(path).expanduser())
    images, labels = read_idx(images_file, dimensions=3), read_idx(labels_file, dimensions=1)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"{images_file}: images of {images.shape[1]} × {images.shape[2]} pixels, not 28 × 28")
    if len(images) != len(labels):
        raise DataError(f"{images_file} has {len(images)} images, but {labels_file} has {len(labels)} labels")
    return images, labels


def _spellings(name: str) -> list[str]:
    """The names under which a file is met: as distributed, or unpacked, and with a dot as its author's page has it."""
    return [spelling + suffix for spelling in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]


def _find(name: str, folder: Path) -> Path | None:
    return next((folder / spelling for spelling in _spellings(name) if (folder / spelling).is_file()), None)


def _cached(names: tuple[str, ...]) -> list[Path]:
    folder = data_folder("mnist")
    return [
        _find(name, folder) or download(f"{name}.gz", MIRRORS, SHA256[f"{name}.gz"], folder, _ADVICE) for name in names
    ]


def _given(names: tuple[str, ...], folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: MNIST is to be read from this folder, but there is no such folder")
    found = [_find(name, folder) for name in names]
    missing = [" or ".join(_spellings(name)) for name, file in zip(names, found, strict=True) if file is None]
    if missing:
        raise DataError(f"{folder}: MNIST files are missing here; looked for {'; and for '.join(missing)}")
    return [file for file in found if file is not None]
