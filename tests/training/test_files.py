"""A run's files and its folder: whole or absent, never of two runs, whatever the disk does."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from places import BACKENDS
from pycrograd_core.cache import CACHE_VARIABLE, cache_folder
from pycrograd_core.errors import CheckpointError, ConfigError
from pycrograd_core.training import Callback, Interrupted, build
from pycrograd_core.training.files import write_atomically
from pycrograd_core.training.folder import CONTENTS

RUN = Path("run")
FULL = os.strerror(errno.ENOSPC)


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def epoch_ended(self, trainer, record):
        trainer.stop_requested = record["epoch"] == self.epoch


@pytest.fixture
def begun(start):
    """A run that was interrupted after its second epoch."""
    with pytest.raises(Interrupted):
        start(out=RUN, callbacks=[StopAfter(2)]).execute()
    assert [path.name for path in sorted((RUN / "checkpoints").iterdir())] == [
        "step-00000003.safetensors",
        "step-00000006.safetensors",
    ]
    return RUN


@pytest.fixture
def whole(start, numbers):
    """What the run leaves if nothing goes wrong."""
    start(out=Path("whole")).execute()
    return numbers(Path("whole"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attempt(function):
    try:
        function()
    except CheckpointError as error:
        return error
    return None


def failing(monkeypatch, owner, name, error, after=0):
    """Make a function fail when it has been called `after` times. Returns the number of calls, in a list."""
    original, calls = getattr(owner, name), [0]

    def call(*arguments, **options):
        calls[0] += 1
        if calls[0] > after:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, FULL), KeyboardInterrupt()], ids=["full", "interrupted"])
@pytest.mark.parametrize(("owner", "name"), [(Path, "write_bytes"), (os, "fsync"), (Path, "replace")])
def test_a_file_that_cannot_be_replaced_is_as_it_was(tmp_path, monkeypatch, owner, name, error):
    file = tmp_path / "file"
    file.write_bytes(b"before")
    failing(monkeypatch, owner, name, error)
    with pytest.raises((CheckpointError, KeyboardInterrupt)) as caught:
        write_atomically(file, b"after")
    monkeypatch.undo()
    assert isinstance(caught.value, KeyboardInterrupt) or str(caught.value) == f"cannot write {file}: {FULL}"
    assert contents(tmp_path) == {file: b"before"}


@pytest.mark.parametrize(("owner", "name", "every"), [(os, "fsync", 3), (Path, "replace", 1)])
def test_a_run_whose_disk_is_full_for_a_time_can_go_on(here, start, numbers, whole, monkeypatch, owner, name, every):
    for moment in range(0, 100, every):
        out = here / f"full-{moment}"
        with monkeypatch.context() as patch:
            calls = failing(patch, owner, name, OSError(errno.ENOSPC, FULL), after=moment)
            error = attempt(start(out=out).execute)
        if calls[0] <= moment:
            break
        assert str(error).startswith(f"cannot write {out}")
        assert str(error).endswith(f": {FULL}")
        assert not list(out.rglob(".*")), "nothing half-written stays"
        start(out=out, resume=(out / "config.yaml").exists()).execute()
        assert numbers(out) == whole
    assert moment > 8, "each file of the run was written once at least"


def test_a_disk_that_is_full_in_truth(begun, start, numbers, whole):
    kept = contents(begun)
    limit = (begun / "checkpoints" / "step-00000006.safetensors").stat().st_size - 200
    assert limit > 1.2 * max(len(content) for path, content in kept.items() if path.suffix != ".safetensors")
    program = f"""if True:
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {resource.RLIM_INFINITY}))
        from pycrograd_core.cli import main
        main()"""
    words = ["run", "tiny.yaml", "--out", begun, "--resume"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error: cannot write run/checkpoints/step-00000009.safetensors: ")
    assert os.strerror(errno.EFBIG) in told
    assert told.endswith("; once that is mended: pycrograd run run/config.yaml --out run --resume")
    assert "Traceback" not in done.stderr
    after = contents(begun)
    assert after.keys() == kept.keys()
    assert {path for path in kept if after[path] != kept[path]} == {begun / "metrics.jsonl"}
    assert len((begun / "metrics.jsonl").read_text().splitlines()) == 3, "the epoch that was done is recorded"
    start(out=begun, resume=True).execute()
    assert numbers(begun) == whole


def metadata(content, **changes):
    """A safetensors file with other metadata."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"a checkpoint",
    "another format": lambda content: metadata(content, position="{}x"),
    "a list": lambda content: metadata(content, position="[]"),
    "unknown counters": lambda content: metadata(content, position='{"speed": 3}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_serves(begun, start, numbers, whole, damage):
    newest = begun / "checkpoints" / "step-00000006.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.raises(CheckpointError, match=rf"^{newest} is damaged \(.+\): remove it to resume from the one before"):
        start(out=begun, resume=True)
    newest.unlink()
    start(out=begun, resume=True).execute()
    assert numbers(begun) == whole


def test_a_checkpoint_of_another_configuration_is_refused(begun, start):
    (begun / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match="belongs to another configuration"):
        start("seed=1", out=begun, resume=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[:1], "1 lines for the 2 epochs done"),
        (lambda lines: [lines[0][:20], lines[1]], "Expecting"),
        (lambda lines: [], "0 lines for the 2 epochs done"),
    ],
)
def test_damaged_metrics_are_told(begun, start, change, reason):
    metrics = begun / "metrics.jsonl"
    metrics.write_text("\n".join(change(metrics.read_text().splitlines())))
    with pytest.raises(CheckpointError, match=rf"^run/metrics.jsonl is damaged: .*{reason}"):
        start(out=begun, resume=True)


def test_checkpoints_are_in_the_order_of_their_steps(begun, start):
    late = [begun / "checkpoints" / f"step-{step}.safetensors" for step in (99999999, 100000000)]
    for path in late:
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-100000000\.safetensors is damaged"):
        start(out=begun, resume=True)


def test_what_a_killed_run_had_begun_to_write_is_removed(begun, start):
    for folder in (begun, begun / "checkpoints"):
        (folder / ".file.partial").write_text("half of")
    start(out=begun, resume=True)
    assert not list(begun.rglob(".*"))


# Folders


@pytest.mark.parametrize("name", CONTENTS)
def test_a_folder_with_anything_of_a_run_is_refused(start, name):
    RUN.mkdir()
    (RUN / name).write_text("mine")
    with pytest.raises(ConfigError, match=rf"^run: there is a {name} here already: go on with that run by --resume"):
        start(out=RUN)
    assert contents(RUN) == {RUN / name: b"mine"}


def test_an_empty_folder_will_do(start):
    RUN.mkdir()
    (RUN / "notes.txt").write_text("mine")
    start(out=RUN).execute()
    assert (RUN / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("out", "reason"), [("file", errno.EEXIST), ("file/run", errno.ENOTDIR), ("n" * 300, errno.ENAMETOOLONG)]
)
def test_a_folder_that_cannot_be_made(here, start, out, reason):
    (here / "file").write_text("")
    with pytest.raises(CheckpointError, match=rf"^cannot make the folder {out}: {os.strerror(reason)}$"):
        start(out=Path(out))
    with pytest.raises((ConfigError, CheckpointError), match=r"there is no run in this folder to resume|too long"):
        start(out=Path(out), resume=True)


def test_a_file_in_the_place_of_a_folder(here, start):
    (here / "runs").write_text("")
    with pytest.raises(CheckpointError, match=r"^cannot make the folder runs/tiny: "):
        start()


@pytest.mark.parametrize("part", ["config.yaml", "metrics.jsonl", "checkpoints"])
def test_a_folder_that_cannot_be_written(here, start, part):
    run = start(out=RUN)
    (RUN / part).mkdir() if "." in part else (RUN / part).write_text("")
    with pytest.raises(CheckpointError, match=f"^cannot write run/{part}"):
        run.execute()


def test_runs_are_numbered(here, start):
    folders = here / "runs"
    for name in ("tiny-07", "tiny-x", "tiny-²", "tiny-1", "tinys", "other-9"):
        (folders / name).mkdir(parents=True)
    made = [start().folder.path.name for _ in range(3)]
    (folders / "tiny-40").write_text("a file has the name")
    assert [*made, start().folder.path.name] == ["tiny", "tiny-2", "tiny-3", "tiny-41"]


@pytest.mark.parametrize("name", ["a[1]*?", "ä b", "-x", "3", "a.b", "tiny-2"])
def test_a_run_may_be_called_almost_anything(start, name):
    made = [start(f"name={json.dumps(name)}").folder.path.name for _ in range(2)]
    assert made == [name, f"{name}-2"]


@pytest.mark.parametrize("name", ["a/b", "../b", "/b", "..", ".", "a\\b", "a\0b"])
def test_a_run_cannot_lead_out_of_its_folder(here, start, name):
    setting = f"name={json.dumps(name)}"
    with pytest.raises(ConfigError, match="the run's folder cannot be called") as caught:
        start(setting)
    assert str(caught.value).startswith(f"--set {setting}: ")
    assert not (here / "runs").exists()
    assert start(setting, out=RUN).execute()["name"] == name


def test_a_run_that_cannot_begin_leaves_no_folder(here, start):
    for options in ({}, {"out": here / "runs" / "mine"}):
        with pytest.raises(ConfigError, match="ends in 4 outputs"):
            start("model.2.linear=4", **options)
    assert list((here / "runs").iterdir()) == []


def test_a_folder_has_one_run_at_a_time(start, numbers, whole):
    first = start(out=RUN)
    for resume in (False, True):
        with pytest.raises((CheckpointError, ConfigError), match=r"another run is using|no run in this folder"):
            start(out=RUN, resume=resume)
    first.folder.started(first.trainer)
    with pytest.raises(CheckpointError, match="another run is using the folder run"):
        start(out=RUN, resume=True)
    first.execute()
    assert start(out=RUN, resume=True).execute()["epochs"] == 3
    assert numbers(RUN) == whole


def test_two_runs_of_a_name_at_once_have_folders_of_their_own(start, numbers, whole):
    first, second = start(), start()
    second.execute()
    first.execute()
    assert numbers(first.folder.path) == numbers(second.folder.path) == whole
    assert first.folder.path != second.folder.path


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_can_be_read_without_this_package(start, name):
    from safetensors.numpy import load_file

    run = start(f"backend={name}", out=RUN)
    run.execute()
    state = load_file(RUN / "model.safetensors")
    assert {key: values.shape for key, values in state.items()} == {
        "0.weight": (3, 32), "0.bias": (1, 32), "2.weight": (32, 3), "2.bias": (1, 3),
    }  # fmt: skip
    assert {values.dtype.name for values in state.values()} == {"float32"}


@pytest.mark.parametrize(("chosen", "kept"), [("on", True), ("off", False)])
def test_a_run_may_ask_its_backend_to_keep_nothing(start, monkeypatch, chosen, kept):
    """While the backend is found and loaded, while the model is built, and in every step."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    found = []

    class Watching(Callback):
        def epoch_ended(self, trainer, record):
            found.append(cache_folder("a") is not None)

    def watched(name):
        function = getattr(build, name)

        def call(*given):
            found.append(cache_folder("a") is not None)
            return function(*given)

        monkeypatch.setattr(build, name, call)

    for name in ("find_backend", "build_model", "build_optimiser"):
        watched(name)
    start(f"cache={chosen}", out=RUN, callbacks=[Watching()]).execute()
    assert set(found) == {kept}
    assert len(found) > 3
    assert cache_folder("a") is not None
