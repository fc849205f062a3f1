"""Finding a device: what is listed, which one is chosen, and what the smoke test makes of drivers that are broken."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pycrograd_core.errors import BackendError
from pycrograd_opencl import build_logs, devices, icd, plugin, smoke
from pycrograd_opencl.build_logs import Trouble
from pycrograd_opencl.devices import DEVICE_VARIABLE, RANKING, Device, Listing, choose, ranked

POCL = "Portable Computing Language"


def device(index, name, kind="CPU", vendor="Maker", platform="Platform", **changes):
    fields = {
        "driver": "1.0",
        "version": "OpenCL 1.2",
        "units": 4,
        "lanes": 8,
        "float64": True,
        "memory": 2**30,
        "local_memory": 2**15,
        "largest_group": 256,
        "command_buffer": False,
        "unified": True,
        "handle": None,
    }
    return Device(index, name, vendor, platform, kind=kind, **fields | changes)


MACHINE = (
    device(0, "EPYC", "CPU", "AMD", "PoCL"),
    device(1, "GeForce 4090", "discrete GPU", "NVIDIA", "CUDA"),
    device(2, "GeForce 4090", "discrete GPU", "NVIDIA", "CUDA"),
    device(3, "Iris", "integrated GPU", "Intel", "NEO"),
    device(4, "Iris Max", "discrete GPU", "Intel", "NEO"),
)


@pytest.fixture
def machine(monkeypatch):
    """Puts devices in place of this machine's, some of which fail the smoke test for a reason."""

    def of(*listed, failing=(), troubles=()):
        reasons = dict(failing)
        monkeypatch.setattr(devices, "_listing", Listing(tuple(listed), troubles))
        monkeypatch.setattr(smoke, "trouble", lambda device, fresh=False: reasons.get(device.index))
        monkeypatch.delenv(DEVICE_VARIABLE, raising=False)

    return of


# The choice


def test_the_ranking_is_by_kind_and_then_in_the_order_of_the_listing():
    kinds = ["CPU", "accelerator", "integrated GPU", "discrete GPU", "CPU", "discrete GPU"]
    listed = [device(index, "x", kind) for index, kind in enumerate(kinds)]
    assert [each.index for each in ranked(listed)] == [3, 5, 2, 0, 4, 1]
    assert {each.kind for each in listed} == set(RANKING)


def test_the_best_usable_device_is_chosen(machine):
    machine(*MACHINE)
    assert choose().index == 1
    machine(*MACHINE, failing={1: Trouble("crashed"), 2: Trouble("hung"), 4: Trouble("failed")})
    assert choose().index == 3


@pytest.mark.parametrize(
    ("selector", "index"),
    [("0", 0), ("4", 4), ("epyc", 0), ("AMD", 0), (" iris ", 3), ("max", 4), ("pocl", 0), ("cpu", 0)],
)
def test_a_device_is_chosen_by_number_name_vendor_or_platform(machine, monkeypatch, selector, index):
    machine(*MACHINE)
    assert choose(selector).index == index
    monkeypatch.setenv(DEVICE_VARIABLE, selector)
    assert choose().index == index
    assert choose("max").index == 4, "what is asked for here comes before the environment"


def test_a_label_chooses_the_device_that_it_was_recorded_of(machine):
    machine(*MACHINE)
    assert choose(MACHINE[3].label).index == 3


def test_digits_that_are_no_index_may_be_part_of_a_name(machine):
    machine(*MACHINE[:2])
    assert choose("4090").index == 1


@pytest.mark.parametrize(
    ("selector", "how"), [("4090", "2 devices that match"), ("Intel", "2 "), ("Radeon", "no device")]
)
def test_an_ambiguous_or_unknown_name_is_told_with_the_list(machine, monkeypatch, selector, how):
    machine(*MACHINE)
    with pytest.raises(BackendError, match=how) as told:
        choose(selector)
    meant = [each for each in MACHINE if selector in each.label + each.vendor] or MACHINE
    assert str(told.value).splitlines()[1:] == [f"  {x.index}: {x.label} ({x.kind}, {x.vendor})" for x in meant]
    monkeypatch.setenv(DEVICE_VARIABLE, selector)
    with pytest.raises(BackendError, match=f"{how}.*of {DEVICE_VARIABLE}"):
        choose()


def test_no_other_device_takes_the_place_of_the_one_that_was_asked_for(machine, monkeypatch):
    machine(*MACHINE, failing={1: Trouble("failed in the smoke test: no ptx", "mend it so")})
    with pytest.raises(BackendError, match=r"GeForce 4090 · CUDA 1.0 was asked for, and failed .*no ptx; mend it so"):
        choose("1")
    monkeypatch.setenv(DEVICE_VARIABLE, "1")
    with pytest.raises(BackendError, match=rf"asked for \(of {DEVICE_VARIABLE}\), and failed"):
        choose()


def test_without_a_usable_device_every_reason_is_told(machine):
    machine(*MACHINE[:2], failing={0: Trouble("hung"), 1: Trouble("crashed", "reboot")}, troubles=(Trouble("NEO: -6"),))
    with pytest.raises(BackendError, match=r"4090 · CUDA 1.0 crashed; reboot; EPYC · PoCL 1.0 hung; NEO: -6.*doctor"):
        choose()
    machine(troubles=(Trouble("no platform"),))
    with pytest.raises(BackendError, match="there is none: no platform"):
        choose("epyc")


def test_a_probe_tells_usable_devices_the_best_first_and_why_others_are_not(machine):
    machine(*MACHINE[:2], failing={}, troubles=(Trouble("NEO: -6", "reboot"),))
    found = plugin.probe()
    assert found.devices == ("1: GeForce 4090 · CUDA 1.0 (discrete GPU)", "0: EPYC · PoCL 1.0 (CPU)")
    assert found.reason == "NEO: -6; reboot"
    assert found.version.startswith("pyopencl 20")
    machine(*MACHINE[:2], failing={0: Trouble("hung"), 1: Trouble("crashed", "reboot")})
    found = plugin.probe()
    assert (found.devices, found.reason) == ((), "GeForce 4090 · CUDA 1.0 crashed; reboot; EPYC · PoCL 1.0 hung")


def test_two_platforms_of_one_name_are_told_apart():
    platforms = [("PoCL", "OpenCL 3.0 5.0"), ("CUDA", "12"), ("PoCL", "OpenCL 3.0 3.1 "), ("X", "1"), ("X", "1")]
    titles = ["PoCL (OpenCL 3.0 5.0)", "CUDA", "PoCL (OpenCL 3.0 3.1)", "X #1", "X #2"]
    assert devices._titles(platforms) == titles


# This machine


def test_the_devices_of_this_machine():
    listed = devices.devices()
    assert [each.index for each in listed] == list(range(len(listed)))
    assert devices.devices() is listed, "a device is listed once in a process"
    for each in listed:
        assert each.kind in RANKING
        assert each.label == f"{each.name} · {each.platform} {each.driver}"
        assert each.version.startswith("OpenCL ")
        assert min(each.units, each.lanes, each.memory, each.largest_group) >= 1
        assert each.is_cpu <= each.unified
    pocl = next(each for each in listed if each.platform.startswith(POCL))
    assert (pocl.kind, pocl.float64, pocl.local_memory) == ("CPU", True, 0)
    assert choose(POCL) == pocl
    assert smoke.run(pocl) is None


LISTED = """
import json
from pycrograd_opencl.devices import choose, devices
from pycrograd_core.errors import BackendError
try:
    told = choose().platform
except BackendError as error:
    told = str(error)
print(json.dumps([told, [each.platform for each in devices()]]))
"""


@pytest.mark.parametrize("files", [{}, {"broken.icd": "/nowhere/libbroken.so\n"}], ids=["no .icd", "a broken .icd"])
def test_no_platform_is_told_with_the_packages_to_install(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    environment = os.environ | {icd.VENDORS_VARIABLE: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LISTED], env=environment, capture_output=True, text=True, check=True)
    told, listed = json.loads(done.stdout)
    assert listed == []
    for part in ("no OpenCL device is usable", "PLATFORM_NOT_FOUND_KHR", "pocl-opencl-icd", "opencl-cpu"):
        assert part in told


@pytest.mark.slow
def test_a_broken_icd_hides_no_other_platform(tmp_path):
    (tmp_path / "broken.icd").write_text("/nowhere/libbroken.so\n")
    for file in icd.icd_files():
        (tmp_path / file.name).write_text(icd.named_library(file))
    environment = os.environ | {icd.VENDORS_VARIABLE: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LISTED], env=environment, capture_output=True, text=True, check=True)
    assert POCL in json.loads(done.stdout)[0]


# Drivers that are broken, in a process of their own

DRIVER = '''
"""A driver that lists one device, and then does what the test says."""
import os, signal, time
from types import SimpleNamespace as Record

class Error(Exception): pass
class device_type: GPU, CPU = 4, 2
class device_local_mem_type: LOCAL = 1
class mem_flags: READ_ONLY = WRITE_ONLY = COPY_HOST_PTR = 0

DEVICE = Record(name="Card", vendor="Maker", driver_version="1.0", version="OpenCL 1.2", type=4, extensions="",
    host_unified_memory=0, max_compute_units=1, native_vector_width_float=1, global_mem_size=1, local_mem_type=1,
    local_mem_size=1, max_work_group_size=1)

def get_platforms():
    return [Record(name="Platform", version="1", get_devices=lambda: [DEVICE])]
def Context(devices): pass
def CommandQueue(context): pass
def Kernel(program, name): return lambda *arguments: None
def Buffer(*arguments, **named): pass
def enqueue_copy(*arguments): pass
class Program:
    def __init__(self, context, source): pass
    def build(self, options):
        {does}
'''
CARD = device(0, "Card", "discrete GPU", "Maker", "Platform")


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A binding of its own for the processes that are started: building a program does what is given."""

    def does(statement):
        (tmp_path / "pyopencl.py").write_text(DRIVER.replace("{does}", statement))
        monkeypatch.syspath_prepend(tmp_path)

    return does


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", ["crashed (Segmentation fault)", "update the driver of Platform"]),
        ("os.abort()", ["crashed (Aborted)", "update the driver of Platform"]),
        ("os._exit(7)", ["crashed (exit code 0x7)"]),
        ("raise Error(\"error: unknown target CPU 'generic'\")", ["failed", "unknown target CPU", "pocl-opencl-icd"]),
        ("print('unable to find library -lc', flush=True); os.abort()", ["crashed (Aborted)", "libc6-dev"]),
        ("raise MemoryError('clCreateContext failed: OUT_OF_HOST_MEMORY')", ["failed", "usermod"]),
        ("pass", ["failed", "of 1000 results are wrong: 0.0 instead of "]),
    ],
    ids=["segfault", "abort", "exit", "build", "linker", "memory", "wrong"],
)
def test_a_device_that_lists_and_does_not_work_is_told_with_its_reason(driver, statement, said):
    driver(statement)
    trouble = str(smoke.attempt(CARD, patience=60.0))
    for part in [*said, "in the smoke test"]:
        assert part in trouble


def test_a_driver_that_hangs_is_given_up(driver):
    driver("print('waiting for the GPU', flush=True); time.sleep(60)")
    trouble = smoke.attempt(CARD, patience=1.5)
    assert "hung, without an end after 1.5 s in the smoke test: waiting for the GPU" in trouble.what
    assert "update the driver" in trouble.mend


def test_a_device_that_a_new_process_does_not_list_is_unusable(driver):
    driver("pass")
    assert "does not list the device Other" in str(smoke.attempt(device(0, "Other"), patience=60.0))


@pytest.mark.parametrize(
    ("log", "mend"),
    [
        ("Device pthread-AMD Ryzen failed to build the program, log: error: unknown target CPU 'generic'", "PoCL 3.1"),
        ("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR", "opencl-cpu"),
        ("Failed to get number of platforms with clGetPlatformIDs(): -1001", "opencl-cpu"),
        ("Unable to open /dev/kfd read-write: Permission denied", "usermod -aG render,video"),
        ('openat(AT_FDCWD, "/dev/dri/renderD128", O_RDWR) = -1 EACCES (Permission denied)', "usermod -aG render,video"),
        ("NVRM: API mismatch: the client has the version 570.86.15", "reboot"),
        ("Failed to initialize NVML: Driver/library version mismatch", "reboot"),
        ("fatal error: cannot open file '/usr/share/clc/gfx1031-amdgcn-mesa-mesa3d.bc': No such file", "libclc"),
        ("clang-17: error: cannot find ROCm device library; provide its path via '--rocm-path'", "rocm-device-libs"),
        ("fatal error: malformed or corrupted AST file: 'could not find file 'opencl-c-base.h''", "headers"),
        ("ld.lld: error: unable to find library -lc\nFinal linking of kernel sum failed.", "libc6-dev"),
        ("libimf.so: cannot open shared object file: No such file or directory", "intel-cmplr-lib-rt"),
        ("libOpenCL_x.so: cannot open shared object file: No such file or directory", "ldd"),
        ("clBuildProgram failed: OUT_OF_HOST_MEMORY", "device file"),
        ("clGetDeviceIDs failed: DEVICE_NOT_FOUND", "lsmod"),
        ("Portable Computing Language: DEVICE_NOT_FOUND", "POCL_CACHE_DIR"),
        ("Portable Computing Language #1: clGetDeviceIDs failed: DEVICE_NOT_FOUND", "POCL_CACHE_DIR"),
    ],
)
def test_a_known_log_has_its_mending_line(log, mend):
    assert mend in build_logs.explain(log)


def test_an_unknown_log_has_none():
    assert build_logs.explain("error: expected ';' after expression") is None
    assert str(build_logs.trouble("failed", "error: expected ';'")) == "failed: error: expected ';'"


@pytest.mark.slow
def test_two_processes_test_one_device_at_once():
    pocl = next(each for each in devices.devices() if each.platform.startswith(POCL))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: smoke.attempt(pocl, patience=60.0), range(2))) == [None, None]


# What is remembered


@pytest.fixture
def attempts(monkeypatch, tmp_path):
    """Counts the tests that are run, each of which ends as the first of these says."""
    monkeypatch.setattr(smoke, "_verdicts", {})
    monkeypatch.setenv("PYCROGRAD_CACHE", str(tmp_path / "cache"))
    ends, run = [None], []
    monkeypatch.setattr(smoke, "attempt", lambda device: run.append(device) or ends[0])
    return ends, run


def test_a_verdict_is_remembered_by_the_process_and_by_the_next(attempts, monkeypatch):
    _, run = attempts
    assert smoke.trouble(CARD) is None
    assert smoke.trouble(CARD) is None
    assert len(run) == 1
    smoke._verdicts.clear()  # as a new process
    assert smoke.trouble(CARD) is None
    assert len(run) == 1
    assert smoke.trouble(CARD, fresh=True) is None
    assert smoke.trouble(device(0, "Card", driver="2.0")) is None
    assert len(run) == 3, "another driver is another device"


def test_a_failure_is_tried_again_after_a_while(attempts, monkeypatch):
    ends, run = attempts
    ends[0] = Trouble("crashed", "reboot")
    assert smoke.trouble(CARD) == ends[0]
    smoke._verdicts.clear()
    assert smoke.trouble(CARD) == ends[0]
    assert len(run) == 1
    monkeypatch.setattr(smoke, "FAILURE_STANDS", 0.0)
    smoke._verdicts.clear()
    ends[0] = None
    assert smoke.trouble(CARD) is None
    assert len(run) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"trouble": 1, "time": 2}', '{"trouble": null, "time": "x"}'])
def test_a_damaged_verdict_is_written_anew(attempts, tmp_path, damage):
    _, run = attempts
    smoke.trouble(CARD)
    (file,) = (tmp_path / "cache" / "opencl" / "smoke").iterdir()
    good = json.loads(file.read_text())
    file.write_text(damage)
    smoke._verdicts.clear()
    assert smoke.trouble(CARD) is None
    assert len(run) == 2
    assert json.loads(file.read_text()).keys() == good.keys()


@pytest.mark.parametrize("folder", ["off", "file", "file/inside"])
def test_a_cache_that_cannot_be_written_costs_a_test_in_every_process(attempts, tmp_path, monkeypatch, folder):
    _, run = attempts
    (tmp_path / "file").write_text("in the way")  # tests may run as root, whom no mode keeps out of a folder
    monkeypatch.setenv("PYCROGRAD_CACHE", folder if folder == "off" else str(tmp_path / folder))
    for count in (1, 2):
        smoke._verdicts.clear()
        assert smoke.trouble(CARD) is None
        assert smoke.trouble(CARD) is None
        assert len(run) == count
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Runtimes that came as wheels


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A runtime installed as its wheel is: its library two folders up, and an .icd file with another machine's path."""
    prefix = tmp_path / "prefix"
    site = prefix / "lib" / "python" / "site-packages"
    info = site / "intel_opencl_rt-2026.2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intel-opencl-rt\nVersion: 2026.2.0\n")
    (info / "RECORD").write_text("../../libintelocl.so,,\n../../../etc/OpenCL/vendors/intel-cpu.icd,,\n")
    library = prefix / "lib" / "libintelocl.so"
    library.write_text("no library")
    vendors = prefix / "etc" / "OpenCL" / "vendors"
    vendors.mkdir(parents=True)
    (vendors / "intel-cpu.icd").write_text("/opt/anaconda1anaconda2/lib/libintelocl.so\n")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.syspath_prepend(site)
    for name in (icd.VENDORS_VARIABLE, icd.PATH_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    system = tmp_path / "vendors"
    system.mkdir()
    (system / "gpu.icd").write_text("libgpu.so.1")
    monkeypatch.setattr(icd, "SYSTEM", system)
    return library


def shown():
    return sorted(icd.named_library(file) for file in Path(os.environ[icd.VENDORS_VARIABLE]).iterdir())


def test_a_runtime_from_a_wheel_is_shown_beside_those_of_the_system(wheel):
    assert icd.runtimes_of_wheels() == [wheel]
    with icd.with_runtimes_of_wheels():
        assert shown() == [str(wheel), "libgpu.so.1"]
        folder = os.environ[icd.VENDORS_VARIABLE]
    assert icd.VENDORS_VARIABLE not in os.environ
    assert not Path(folder).exists()
    assert icd.missing_runtimes() == [wheel], "what is no library is not loaded"


def test_the_folder_that_the_environment_names_is_kept(wheel, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.icd").write_text("libmine.so")
    monkeypatch.setenv(icd.PATH_VARIABLE, str(tmp_path / "mine"))
    with icd.with_runtimes_of_wheels():
        assert shown() == [str(wheel), "libmine.so"]


def test_a_users_own_choice_of_runtimes_is_respected(wheel, monkeypatch):
    monkeypatch.setenv(icd.VENDORS_VARIABLE, "libmine.so")
    with icd.with_runtimes_of_wheels():
        assert os.environ[icd.VENDORS_VARIABLE] == "libmine.so"
    assert icd.missing_runtimes() == []


def test_without_a_temporary_folder_those_of_the_system_are_left(wheel, monkeypatch, caplog):
    def nowhere(prefix):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(icd.tempfile, "TemporaryDirectory", nowhere)
    with icd.with_runtimes_of_wheels():
        assert icd.VENDORS_VARIABLE not in os.environ
    assert "for want of a temporary folder: No usable" in caplog.text
    assert icd.missing_runtimes() == [wheel]


def test_without_a_wheel_the_environment_is_left_alone(wheel):
    wheel.unlink()
    with icd.with_runtimes_of_wheels():
        assert icd.VENDORS_VARIABLE not in os.environ


# Forked processes

FORKED = """
import os
from pycrograd_core import Tensor, get_backend, use_backend
from pycrograd_core.errors import BackendError
from pycrograd_opencl.devices import devices

with use_backend(get_backend("opencl", "portable")):
    x = Tensor([[1.0]])
    assert (x * 2.0).item() == 2.0

    def first():
        return len(devices())

    def said(use):
        try:
            return f"used: {use()}"
        except BackendError as error:
            return str(error)

    child = os.fork()
    if not child:
        uses = (first, lambda: x * 2.0, lambda: x.numpy(), lambda: Tensor([[2.0]]))
        print(*[said(use) for use in uses], sep="\\n", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert (x * 3.0).item() == 3.0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_is_told_how_to_be_started():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    assert all("get_context('spawn')" in line for line in done.stdout.splitlines()), done.stdout


UNUSED = """
import os
from pycrograd_core import Tensor, get_backend, use_backend

if not os.fork():
    with use_backend(get_backend("opencl", "portable")):
        print((Tensor([[1.0]]) * 2.0).item(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_process_that_was_forked_before_any_use_may_use_it():
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "2.0\n"), done.stderr
