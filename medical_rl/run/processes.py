"""The processes of a run: a stage as a child that dies with its parent, and the end of all it leaves behind.

Ray and vLLM start processes in sessions of their own. Each carries MEDICAL_RL_RUN in its
environment, by which all of them are found, those of an earlier run that was killed too.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from pathlib import Path

import psutil

RUN = "MEDICAL_RL_RUN"
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen:
    """The started child: own session (Ctrl-C reaches the parent alone), output appended to `log`, killed with its parent."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip


def of_run(run_id: str) -> list[psutil.Process]:
    """Processes other than this one that carry the run's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN) == run_id:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
            continue  # ended meanwhile, or another user's: not ours to end
    return found


def end_all(run_id: str, wait_s: float = 3.0) -> int:
    """Number of the run's processes ended: asked first, killed after `wait_s` seconds."""
    found = of_run(run_id)
    for process in found:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=wait_s)
    for process in [*alive, *of_run(run_id)]:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=wait_s)
    return len(found)


def _send(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return


# Lines that only say that something inside failed; the line to show is the one inside.
WRAPPERS = ("CalledProcessError", "ChildFailedError", "RayTaskError", "ActorDiedError")


def last_error(log: Path, begins: int = 0) -> str:
    """The last line after byte `begins` of the log that names an error, as a sentence; empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode("utf-8", "replace").splitlines()[-2000:]
    named = [line.strip() for line in lines if re.search(r"\b\w*(Error|Exception)\b: ", line)]
    found = [line for line in named if not any(w in line for w in WRAPPERS)] or named
    return f"The last error in its log: {found[-1][:300]} " if found else ""


# Set by the driver for its children: a Ray actor without a GPU of its own must not
# look for one and conclude that the host has none.
DEVICE = "MEDICAL_RL_ENGINE_DEVICE"


RUN = "MEDICAL_RL_RUN"


METRICS = "MEDICAL_RL_METRICS"


STAGE = "MEDICAL_RL_STAGE"
