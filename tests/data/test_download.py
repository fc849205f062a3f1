import hashlib
import importlib
import socket
from pathlib import Path

import pytest

from pycrograd_core.data.download import data_folder, download
from pycrograd_core.errors import DataError

CONTENT = b"the right bytes" * 10_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def fetch(folder, *mirrors):
    return download("file.gz", mirrors, DIGEST, folder, "Do it by hand.")


@pytest.fixture
def dead():
    """A mirror that refuses connections: a port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.fixture
def silent():
    """A mirror that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_the_folder_is_made_and_holds_the_file_alone(tmp_path, serve):
    folder = tmp_path / "a" / "b"
    assert fetch(folder, serve({"file.gz": CONTENT})) == folder / "file.gz"
    assert (folder / "file.gz").read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == ["file.gz"]


def test_the_second_mirror_is_tried(tmp_path, serve, dead, caplog):
    assert fetch(tmp_path, dead, serve({"file.gz": CONTENT})).read_bytes() == CONTENT
    assert f"{dead}file.gz" in caplog.text


def test_after_a_wrong_checksum_the_next_mirror_is_tried(tmp_path, serve, caplog):
    wrong, right = serve({"file.gz": b"wrong"}), serve({"file.gz": CONTENT})
    assert fetch(tmp_path, wrong, right).read_bytes() == CONTENT
    found = hashlib.sha256(b"wrong").hexdigest()
    assert f"wrong checksum: the SHA-256 of file.gz is {found}, not {DIGEST}" in caplog.text


def test_when_all_fail_each_reason_is_given_and_nothing_is_left(tmp_path, serve, dead, silent, monkeypatch):
    monkeypatch.setattr(importlib.import_module("pycrograd_core.data.download"), "TIMEOUT", 0.1)
    missing, wrong = serve({}), serve({"file.gz": b"wrong"})
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, dead, silent, missing, wrong)
    head, *reasons, advice = str(caught.value).splitlines()
    assert head == "file.gz could not be downloaded:"
    assert advice == "Do it by hand."
    expected = ["refused", "timed out", "HTTP Error 404", f"is {hashlib.sha256(b'wrong').hexdigest()}, not {DIGEST}"]
    for reason, mirror, part in zip(reasons, (dead, silent, missing, wrong), expected, strict=True):
        assert reason.startswith(f"  {mirror}file.gz: ")
        assert part in reason
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_transfer_leaves_no_file(tmp_path, serve):
    half = serve({"file.gz": CONTENT}, cut=1000)
    with pytest.raises(DataError, match="the transfer ended after 149000 of 150000 bytes"):
        fetch(tmp_path, half)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_survives_a_failure(tmp_path, dead):
    (tmp_path / "file.gz").write_bytes(b"old")
    with pytest.raises(DataError):
        fetch(tmp_path, dead)
    assert (tmp_path / "file.gz").read_bytes() == b"old"


def test_a_cache_that_cannot_be_written(tmp_path, dead):
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=f"{tmp_path}/file/cache: cannot keep file.gz here: Not a directory. Do it by hand"
    ):
        fetch(tmp_path / "file" / "cache", dead)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PYCROGRAD_DATA": "/data", "XDG_CACHE_HOME": "/cache"}, "/data/mnist"),
        ({"PYCROGRAD_DATA": "~/data"}, "/home/me/data/mnist"),
        ({"PYCROGRAD_DATA": "", "XDG_CACHE_HOME": "/cache"}, "/cache/pycrograd/mnist"),
        ({}, "/home/me/.cache/pycrograd/mnist"),
    ],
)
def test_where_files_are_kept(monkeypatch, variables, expected):
    for name in ("PYCROGRAD_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert data_folder("mnist") == Path(expected)
