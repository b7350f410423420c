"""The processes of a run: a stage as a child that dies with its parent, and the end of all it leaves.

Ray and vLLM start processes in sessions of their own; all are found by MEDICAL_RL_RUN in their environment.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil

# What the driver tells its children by environment variables: the run's id, metrics.jsonl, the stage, the
# device. A Ray actor without a GPU of its own must not look for one and conclude that the host has none.
RUN = "MEDICAL_RL_RUN"
METRICS = "MEDICAL_RL_METRICS"
STAGE = "MEDICAL_RL_STAGE"
DEVICE = "MEDICAL_RL_ENGINE_DEVICE"
# Lines that only say that something inside failed; the line to show is the one inside.
WRAPPERS = re.compile("CalledProcessError|ChildFailedError|RayTaskError|ActorDiedError")
_ERROR = re.compile(r"\b\w*(Error|Exception)\b: ")
_PR_SET_PDEATHSIG = 1


def start(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Start a child in a session of its own (no Ctrl-C), killed with its parent; its output goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip


def _die_with_parent() -> None:
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def processes_of_run(run_id: str) -> list[psutil.Process]:
    """Processes other than this one that carry the run's mark."""
    marked = []
    for process in psutil.process_iter():
        with contextlib.suppress(
            psutil.Error, OSError
        ):  # ended meanwhile, or another user's: not ours to end
            if process.pid != os.getpid() and process.environ().get(RUN) == run_id:
                marked.append(process)
    return marked


def end_all(run_id: str, wait_s: float = 3.0) -> int:
    """End the run's processes, the killing `wait_s` seconds after the asking; return how many there were."""
    processes = processes_of_run(run_id)
    _send(processes, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=wait_s)
    _send(alive + processes_of_run(run_id), signal.SIGKILL)
    psutil.wait_procs(alive, timeout=wait_s)
    return len(processes)


def _send(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def last_error(log: Path, begins: int = 0) -> str:
    """The last line after byte `begins` of the log that names an error, as a sentence; "" without one."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode("utf-8", "replace").splitlines()[-2000:]
    last = inner = ""
    for line in filter(_ERROR.search, lines):
        last = line.strip()
        if not WRAPPERS.search(line):
            inner = last
    return f"The last error in its log: {(inner or last)[:300]} " if last else ""
