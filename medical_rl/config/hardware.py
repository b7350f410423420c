"""Whether this host has an accelerator, found without importing torch (so that `--cfg job` stays instant)."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache


@lru_cache(maxsize=1)
def count_gpus() -> int:
    """Number of NVIDIA GPUs this process may use: nvidia-smi's, narrowed by CUDA_VISIBLE_DEVICES.

    MEDICAL_RL_DEVICE=cpu hides them all (to try the CPU engine on a GPU host).
    """
    if os.environ.get("MEDICAL_RL_DEVICE", "").lower() == "cpu":
        return 0
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return 0
    try:
        listed = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = (
        sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([d for d in visible.split(",") if d.strip() not in ("", "-1")]))
