"""What `pycrograd doctor` says of OpenCL: of this machine, and of machines where something is wrong."""

import os
import sys
from pathlib import Path

import pytest

from pycrograd_core.cache import CACHE_VARIABLE
from pycrograd_opencl import device_files, devices, diagnosis, icd, isolated, library, smoke
from pycrograd_opencl.build_logs import Trouble
from pycrograd_opencl.devices import DEVICE_VARIABLE, Device, Listing

VALUES = ("OpenCL 1.2", "CPU", 4, 8, True, 2**30, 2**15, 256, True, True, None)
DEVICES = (Device(0, "EPYC", "AMD", "PoCL", "3.1", *VALUES), Device(1, "Xeon", "Intel", "NEO", "1.0", *VALUES))


@pytest.fixture
def vendors(tmp_path, monkeypatch):
    """A folder of `.icd` files in place of this machine's, empty, and nothing else that names runtimes."""
    for name in diagnosis.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "vendors"
    folder.mkdir()
    monkeypatch.setattr(icd, "SYSTEM", folder)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return folder


@pytest.fixture
def machine(monkeypatch):
    """Two devices in place of this machine's; some fail the smoke test, each for its reason."""

    def of(**failing):
        monkeypatch.setattr(devices, "_listing", Listing(DEVICES))
        monkeypatch.setattr(smoke, "trouble", lambda device, fresh=False: failing.get(device.name))
        monkeypatch.delenv(DEVICE_VARIABLE, raising=False)

    return of


def test_this_machine_has_a_device(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    found = diagnosis.findings()
    assert all(finding.mend for finding in found if not finding.ok)
    by_name = {finding.what: finding.detail for finding in found if finding.ok}
    assert "libOpenCL" in by_name["loader"]
    assert "pyopencl" in by_name["loader"]
    assert any(what.endswith(".icd") and "1 platform" in detail for what, detail in by_name.items())
    assert any(each.label in by_name.get(f"device {each.index}", "") for each in devices.devices())
    assert "the best one that passes the smoke test" in by_name["chosen"]
    assert by_name["cache"] == str(tmp_path / "opencl")


# Runtimes


def test_each_icd_file_is_tried_on_its_own(vendors):
    (vendors / "a-broken.icd").write_text("/nowhere/libbroken.so\n")
    (vendors / "b-empty.icd").write_text("\n")
    (vendors / "c-other.icd").write_text("libc.so.6\n")
    (vendors / "d-damaged.icd").write_bytes(b"\xff\xfe\x00")
    broken, empty, other, damaged = diagnosis._runtimes()
    assert (damaged.ok, "cannot be read" in damaged.detail) == (False, True)
    assert broken.what == str(vendors / "a-broken.icd")
    assert "/nowhere/libbroken.so failed" in broken.detail
    assert "cannot open shared object file" in broken.detail
    assert "ldd" in broken.mend
    assert ("the file is empty" in empty.detail, f"rm {vendors / 'b-empty.icd'}" in empty.mend) == (True, True)
    assert "is no OpenCL runtime" in other.detail
    assert "remove the file" in other.mend
    assert [finding.ok for finding in (broken, empty, other)] == [False] * 3


def test_without_any_runtime_the_packages_are_named(vendors):
    (finding,) = diagnosis._runtimes()
    assert not finding.ok
    assert str(vendors) in finding.detail
    assert "pocl-opencl-icd" in finding.mend
    assert "opencl-cpu" in finding.mend


def test_a_variable_that_hides_a_wheel_is_told(vendors, monkeypatch, tmp_path):
    monkeypatch.setattr(icd, "runtimes_of_wheels", lambda: [Path("/wheel/libintelocl.so")])
    monkeypatch.setattr(library, "loaded", lambda name: isolated.Ended(None, "1 platform"))
    (shown,) = diagnosis._runtimes()
    assert (shown.ok, shown.what) == (True, "/wheel/libintelocl.so, which came as a wheel")
    monkeypatch.setenv(icd.VENDORS_VARIABLE, str(vendors))
    (hidden,) = diagnosis._runtimes()
    assert not hidden.ok
    assert f"unset {icd.VENDORS_VARIABLE}" in hidden.mend
    (vendors / "intel.icd").write_text("/wheel/libintelocl.so")
    assert all(finding.ok for finding in diagnosis._runtimes())


def test_a_variable_that_hides_all_runtimes_is_told(vendors, monkeypatch, tmp_path):
    (vendors / "gpu.icd").write_text("libgpu.so")
    (tmp_path / "empty").mkdir()
    for name in (icd.PATH_VARIABLE, icd.VENDORS_VARIABLE):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
        (finding,) = diagnosis._runtimes()
        assert not finding.ok
        assert finding.mend == f"unset {name}, which hides those of {vendors}"
    monkeypatch.setenv(icd.VENDORS_VARIABLE, "/nowhere")
    assert list(diagnosis._runtimes()) == [], "the variable is told of already"
    monkeypatch.delenv(icd.VENDORS_VARIABLE)
    monkeypatch.setenv(icd.PATH_VARIABLE, str(vendors / "gpu.icd"))
    (wrong,) = diagnosis._variables()
    assert (wrong.ok, "no folder" in wrong.detail, wrong.mend) == (False, True, f"unset {icd.PATH_VARIABLE}")


def test_a_variable_may_name_a_library(vendors, monkeypatch):
    monkeypatch.setenv(icd.VENDORS_VARIABLE, "libc.so.6")
    (finding,) = diagnosis._runtimes()
    assert (finding.what, finding.ok) == (icd.VENDORS_VARIABLE, False)
    assert "libc.so.6 failed: the library is no OpenCL runtime" in finding.detail


def test_variables_are_told_with_what_they_decide(vendors, monkeypatch):
    assert list(diagnosis._variables()) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv(icd.VENDORS_VARIABLE, "/nowhere")
    wrong, right = diagnosis._variables()
    assert (right.ok, right.detail) == (True, "'1' (the GPUs that NVIDIA's runtime lists)")
    assert (wrong.ok, wrong.mend) == (False, f"unset {icd.VENDORS_VARIABLE}")


# Devices


def test_a_device_that_fails_is_told_with_its_mending_line(machine):
    machine(Xeon=Trouble("crashed in the smoke test", "reboot"))
    works, fails = diagnosis._devices()
    assert (works.ok, fails.ok) == (True, False)
    assert works.detail == "EPYC · PoCL 3.1 (CPU, AMD; 4 units, float8, 1 GiB, float64, command buffers)"
    assert (fails.detail, fails.mend) == ("Xeon · NEO 1.0 crashed in the smoke test", "reboot")
    (chosen,) = diagnosis._choice()
    assert chosen.detail.startswith("EPYC · PoCL 3.1, the best one")


@pytest.mark.parametrize(
    ("asked", "ok", "says"), [("xeon", True, "by PYC"), ("0", True, "EPYC"), ("zebra", False, "no d")]
)
def test_the_choice_of_the_environment_is_told(machine, monkeypatch, asked, ok, says):
    machine()
    monkeypatch.setenv(DEVICE_VARIABLE, asked)
    (chosen,) = diagnosis._choice()
    assert chosen.ok == ok
    assert says in chosen.detail
    assert ok == (not chosen.mend)


def test_no_usable_device_is_told(machine):
    machine(EPYC=Trouble("hung"), Xeon=Trouble("crashed"))
    (chosen,) = diagnosis._choice()
    assert not chosen.ok
    assert "opencl-cpu" in chosen.mend


def test_a_listing_that_crashes_is_not_tried_in_this_process(monkeypatch, tmp_path):
    (tmp_path / "pyopencl.py").write_text("import os\nclass Error(Exception): pass\ndef get_platforms(): os.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(devices, "_listing", None)
    finding, *_ = diagnosis._listing()
    assert (finding.what, finding.ok) == ("platform", False)
    assert "listing the devices crashed (Aborted)" in finding.detail
    assert icd.VENDORS_VARIABLE in finding.mend
    assert devices.devices() == ()


# Device files, the cache


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of three devices and of the cards behind them."""
    for name, vendor in {"dri/renderD128": "0x1002", "kfd": None, "nvidia0": None}.items():
        path = tmp_path / "dev" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        if vendor:
            identity = tmp_path / "drm" / path.name / "device" / "vendor"
            identity.parent.mkdir(parents=True)
            identity.write_text(f"{vendor}\n")
    monkeypatch.setattr(device_files, "DEV", tmp_path / "dev")
    monkeypatch.setattr(device_files, "DRM", tmp_path / "drm")
    return tmp_path / "dev"


def test_device_files_that_may_not_be_opened_are_told(files, monkeypatch):
    closed = {files / "kfd", files / "nvidia0"}
    monkeypatch.setattr(os, "access", lambda path, mode: path not in closed)  # root may open everything
    kfd, nvidia, others = device_files.device_files()
    assert (kfd.ok, nvidia.ok, others.ok) == (False, False, True)
    assert "permission denied" in kfd.detail
    assert "usermod -aG render,video" in kfd.mend
    assert "--gpus all" in nvidia.mend
    assert str(files / "dri/renderD128") in others.detail


def test_a_gpu_that_no_platform_lists_is_told(files):
    (finding,) = device_files.gpus_without_runtime(["NVIDIA Corporation"])
    assert (finding.ok, "AMD" in finding.detail, "rocm" in finding.mend) == (False, True, True)
    assert list(device_files.gpus_without_runtime(["Advanced Micro Devices, Inc."])) == []


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    (finding,) = diagnosis._cache()
    assert (finding.ok, CACHE_VARIABLE in finding.mend) == (False, True)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    (finding,) = diagnosis._cache()
    assert not finding.ok
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    (finding,) = diagnosis._cache()
    assert (finding.ok, finding.detail) == (True, f"off, by {CACHE_VARIABLE}")
