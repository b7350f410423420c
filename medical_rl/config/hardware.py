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
        listed = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    gpus = len(re.findall(r"^GPU ", listed.stdout, re.MULTILINE))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all," * gpus).split(",")
    return min(gpus, len([device for device in visible if device.strip() not in ("", "-1")]))
