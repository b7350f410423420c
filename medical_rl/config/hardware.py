"""Which accelerators this host has, found without importing torch (so that `--cfg job` stays instant)."""

import os
import re
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
    if listed.returncode != 0:
        return 0
    gpus = len(re.findall(r"^GPU ", listed.stdout, re.MULTILINE))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    devices = [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    return min(gpus, len(devices))
