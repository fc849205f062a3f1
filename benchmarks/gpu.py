#!/usr/bin/env python3
"""All that is to be known of one OpenCL device: its tests, its tuning, its speed; `gpu.sh` makes an environment for it.

    python benchmarks/gpu.py [--device D] [--quick]

The device is the best one, unless named. Runs the tests that touch values on it, `pycrograd tune` on the networks,
`gemm.py` and `training_step.py`, and writes what came of each to `results/DEVICE-DRIVER.json` and `.md`. What
fails is written there too, and the rest still runs; then the exit status is 1. `--quick` shows whether all of it works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycrograd_opencl.devices import Device, choose  # noqa: TID251  its devices are what is measured

HERE = Path(__file__).parent
ROOT = HERE.parent
PYCROGRAD = [sys.executable, "-c", "from pycrograd_core.cli import main; main()"]
SHOWN = 4000  # characters of the output of a step that failed
NOT_IN_A_NAME = re.compile(r"[^a-z0-9.]+")


@dataclass
class Extent:
    """How much of each step is done."""

    tests: str = "opencl"
    configs: tuple[str, ...] = ("digits_normal", "digits_longer", "digits_bigger")
    seconds: int = 90
    products: tuple[str, ...] = ()
    networks: tuple[str, ...] = ("normal", "mnist", "longer", "bigger")
    rounds: int = 9


QUICK = Extent("opencl and test_forward", ("digits_normal",), 2, ("1024³",), ("normal",), 1)


def main() -> None:
    """Run every step, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="number, name or vendor; see `pycrograd backends`")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    device = choose(options.device)
    print(f"measuring {device.label}", flush=True)
    report = {"device": described(device), "machine": machine(), "quick": options.quick}
    report["steps"] = steps(device, QUICK if options.quick else Extent())
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / NOT_IN_A_NAME.sub("-", f"{device.name}-{device.driver}".lower()).strip("-")
    path.with_name(f"{path.name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_name(f"{path.name}.md").write_text(page(report), "utf-8")
    print(f"see {path}.md")
    sys.exit(any(step["status"] for step in report["steps"].values()))


def steps(device: Device, extent: Extent) -> dict[str, Any]:
    """What came of each step, by its name."""
    environment = os.environ | {"PYCROGRAD_OPENCL_DEVICE": device.label}
    on = ["--device", device.label]
    python = [sys.executable]
    tests = ["-m", "pytest", "tests", "-k", extent.tests, "--tb=short"]
    found = {
        "doctor": run([*PYCROGRAD, "doctor"], environment),
        "tests": run([*python, *tests], environment, summary=True),
    }
    for config in extent.configs:
        command = [*PYCROGRAD, "tune", f"configs/{config}.yaml", "--backend", "opencl", *on, "--json"]
        found[f"tune {config}"] = run([*command, "--seconds", str(extent.seconds)], environment)
    rounds = ["--rounds", str(extent.rounds), "--json"]
    products = ["--products", *extent.products] if extent.products else []
    found["gemm"] = run([*python, "benchmarks/gemm.py", *on, *products, *rounds], environment)
    for network in extent.networks:
        command = [*python, "benchmarks/training_step.py", "--networks", network, "--backends", "opencl"]
        found[f"step {network}"] = run([*command, *on, *rounds], environment)
    return found


def run(command: list[str], environment: dict[str, str], summary: bool = False) -> dict[str, Any]:
    """One step: how it ended, how long it took, and what it said, as JSON if that is what it is."""
    shown = " ".join(part for part in command[1:] if "\n" not in part)
    print(f"  {shown}", flush=True)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    ended = {"command": shown, "status": done.returncode, "seconds": round(time.perf_counter() - start, 1)}
    if done.returncode:
        print(f"  failed, status {done.returncode}\n{done.stderr[-SHOWN:]}", flush=True)
        return {**ended, "said": anywhere(done.stdout + done.stderr)[-SHOWN:]}
    if summary:
        return {**ended, "said": anywhere(done.stdout).strip().splitlines()[-1]}
    try:
        return {**ended, "result": json.loads(done.stdout)}
    except ValueError:
        return {**ended, "said": anywhere(done.stdout).strip()}


def anywhere(text: str) -> str:
    """A text without the folders of this machine's user."""
    own = {
        str(ROOT): ".",
        sys.prefix: "ENVIRONMENT",
        os.environ.get("PYCROGRAD_CACHE") or "": "CACHE",
        str(Path.home()): "~",
    }
    for folder, name in own.items():
        text = text.replace(folder, name) if folder else text
    return text


# What is recorded ----------------------------------------------------------------------------------------------------


def described(device: Device) -> dict[str, Any]:
    """The device, without the driver's own object."""
    return {name: value for name, value in vars(device).items() if name != "handle"} | {"label": device.label}


def machine() -> dict[str, Any]:
    """What else the numbers depend on."""
    from importlib.metadata import distributions

    named = ("pycrograd", "pycrograd-opencl", "pyopencl", "numpy", "torch", "jax")
    found = {each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"] in named}
    smi = shutil.which("nvidia-smi")
    gpus = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False).stdout if smi else ""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": found,
        "gpus": gpus.strip().splitlines(),
    }


def processor() -> str:
    """The processor's name, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def page(report: dict[str, Any]) -> str:
    """The report for readers."""
    device, where = report["device"], report["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in sorted(where["packages"].items()))
    lines = [
        f"# {device['label']}",
        "",
        f"{device['kind']}, {device['units']} units, {device['memory'] / 2**30:.1f} GiB; {device['version']}.",
        f"{where['processor']}, {where['cores']} cores; {where['system']}; Python {where['python']}; {packages}.",
        *(["", "A quick run: it shows that all works, and no speed."] if report["quick"] else []),
        "",
        "| step | status | seconds | |",
        "|---|---|---|---|",
    ]
    for name, step in report["steps"].items():
        said = step.get("said", "").splitlines()[-1:] if name == "tests" or step["status"] else []
        lines.append(f"| {name} | {step['status'] or 'passed'} | {step['seconds']} | {''.join(said)} |")
    for name, step in report["steps"].items():
        if "result" in step:
            lines += section(name, step["result"])
    return "\n".join(lines) + "\n"


def section(name: str, result: Any) -> list[str]:
    """The tables of one step."""
    if name == "gemm":
        return rates(result)
    if name.startswith("tune"):
        rows = [(x["what"], x["chosen"], x["before"] * 1e3, x["after"] * 1e3, x["kept"]) for x in result]
        head = ["", f"## {name}", "", "| what | parameters | ms before | ms after | kept |", "|---|---|---|---|---|"]
        return [*head, *(f"| {a} | {b} | {c:.3f} | {d:.3f} | {'yes' if e else 'no'} |" for a, b, c, d, e in rows)]
    ((_, rows),) = result.items()
    peers = [key for key in next(iter(rows.values())) if key.startswith("vs ")]
    head = ["", f"## {name}", "", f"| | µs | {' | '.join(peers)} |", f"|---|---|{'---|' * len(peers)}"]
    return [
        *head,
        *(
            f"| {who} | {row['seconds'] * 1e6:,.1f} | {' | '.join(f'{row[peer]:.2f}' for peer in peers)} |"
            for who, row in rows.items()
        ),
    ]


def rates(result: dict[str, Any]) -> list[str]:
    """Products: milliseconds and rates, and how many times as fast as others."""
    lines = ["", f"## products, batch {result['batch']}", "", "| product | | ms | GFLOP/s | |", "|---|---|---|---|---|"]
    for product, row in result["products"].items():
        for who, own in row.items():
            ratios = ", ".join(f"{key} {value:.2f}×" for key, value in own.items() if key.startswith("vs "))
            lines.append(f"| {product} | {who} | {own['seconds'] * 1e3:.2f} | {own['gflops']:,.0f} | {ratios} |")
    return lines


if __name__ == "__main__":
    main()
