"""Sweeps on Slurm: what must be there before jobs are submitted, and how Slurm ends a job.

A job that Slurm takes back (preempted, requeued by hand, its node failed) begins anew with the same
overrides, so its run folder is the same and it goes on there. Three ways lead to an end:
    SIGUSR2   near the time limit (hydra.launcher.signal_delay_s); submitit queues the job again, the run is
              ended as by Ctrl-C
    SIGTERM   taken back or cancelled; the run is ended in order here, and Slurm does the rest
    SIGKILL   the run's files are as after any kill; the next attempt goes on from the last checkpoint
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from medical_rl.errors import StageFailed, UserError

LAUNCHERS = ("slurm", "submitit_slurm")
PLUGIN = "hydra_plugins.hydra_submitit_launcher"
ANNOUNCED = """# Slurm: jobs are submitted and waited for; squeue shows them, {}/.submitit what they print. \
Ctrl-C ends the waiting, not the jobs."""
STOPPED = "Stopped waiting. Jobs that were submitted stay with Slurm: squeue shows them, scancel ends them."
# Longer than the grace time of most partitions; then the process ends by itself.
WAIT_S = 1800.0


def check_launcher(arguments: Sequence[str], engine: str) -> None:
    """Raise UserError where jobs cannot be submitted: no plugin, several nodes, no -m, no Slurm."""
    if not _installed(PLUGIN):
        raise UserError(
            "conf/launcher=slurm submits jobs by hydra-submitit-launcher, which is not installed in this "
            "environment: pip install hydra-submitit-launcher==1.2.0. Without it conf/launcher=local runs "
            "the jobs of a sweep one after the other."
        )
    if engine == "multi_node":
        raise UserError(
            "conf/launcher=slurm starts one driver a job on one node, and conf/engine=multi_node needs Ray "
            "on all nodes of an allocation before it starts: submit examples/slurm/multi_node.sh instead, "
            "or choose conf/engine=gpu_node."
        )
    if {"--cfg", "-c", "--info", "-i"} & set(arguments):
        return
    if not {"-m", "--multirun"} & set(arguments):
        raise UserError(
            "conf/launcher=slurm submits the jobs of a sweep, so it needs -m; without it everything would "
            "run here. A single job is a sweep too: -m conf.seed=1."
        )
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "conf/launcher=slurm needs Slurm's commands, and sbatch and srun are not on the PATH of this "
            "machine. Start the sweep on a login node of the cluster, or take conf/launcher=local."
        )


def submits(arguments: Sequence[str]) -> bool:
    """True if `arguments` ask for a sweep on Slurm."""
    named = [f"{group}/launcher={launcher}" for group in ("conf", "hydra") for launcher in LAUNCHERS]
    return not set(named).isdisjoint(arguments)


def explain_failure(error: Exception) -> UserError | StageFailed | None:
    """The error to show for jobs that were not taken or gave no result; None for any other error."""
    if not type(error).__module__.startswith("submitit."):
        return None
    message = " ".join(str(error).split())[:1500]
    if "sbatch" in str(getattr(error.__cause__, "cmd", "")):
        return UserError(
            f"Slurm did not take the jobs: {message} What a job asks for is set by hydra.launcher.KEY=VALUE "
            "(conf/launcher/slurm.yaml)."
        )
    return StageFailed(
        f"A job of the sweep ended without a result: {message} The other jobs go on; once none is left in "
        "squeue, the same command takes up what is unfinished."
    )


class TakenBack(KeyboardInterrupt):
    """Slurm asked this job to end (SIGTERM)."""


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """A block that SIGTERM ends as Ctrl-C would, after which the process waits to be killed by Slurm.

    submitit ignores SIGTERM, while some set-ups of Slurm send it to the engine's processes as well, and their
    end would be reported as the job's failure. The process does not exit by itself: a preempted job that
    exits within its grace time counts as ended, and Slurm does not queue it again (seen with Slurm 22.05,
    with exit codes 0 and 143).
    """
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":  # no job that submitit started on Slurm
        yield
        return
    signal.signal(signal.SIGTERM, _take_back)
    try:
        yield
    except TakenBack:
        message = "Slurm takes this job back. What was done is kept; queued again, it goes on from there."
        print(f"\n{message}", flush=True)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            time.sleep(1)
        sys.exit(128 + signal.SIGTERM)


def _take_back(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the ending
    raise TakenBack


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is not there
        return False
