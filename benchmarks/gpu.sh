#!/usr/bin/env bash
# Tests, tunes and measures an OpenCL device, and writes benchmarks/results/DEVICE-DRIVER.json and .md: see gpu.py.
#
#     benchmarks/gpu.sh [--device D] [--quick]
#
# Runs with the python3 that has the packages, if one does (an active environment, say): then it needs no network.
# Otherwise uv makes an environment, with PyTorch as a peer where there is an NVIDIA GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

if python3 -c "import pycrograd_core, pycrograd_opencl, hypothesis, pytest, xdist" 2>/dev/null; then
  exec python3 benchmarks/gpu.py "$@"
fi
if ! command -v uv >/dev/null; then
  python3 -m pip install --quiet uv || python3 -m pip install --quiet --break-system-packages uv
  PATH="$(python3 -c 'import sysconfig; print(sysconfig.get_path("scripts"))'):$PATH"
fi
peers=()
if command -v nvidia-smi >/dev/null; then peers=(--with torch); fi
exec uv run --quiet "${peers[@]}" python benchmarks/gpu.py "$@"
