"""What Slurm gave this job, and a Ray that fits it: of the job's cores, GPUs and memory alone.

Ray counts the cores of the whole node, which others may share, and its default folder is the same for
everybody there.
"""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

# Ray's sockets lie below its folder: /session_<date>_<pid>/sockets/plasma_store takes 64 of the 107 bytes of
# a path.
LONGEST_FOLDER = 43
# Ray's own share of memory for objects.
OBJECT_SHARE = 0.3
OBJECTS_AT_LEAST = 200 << 20
SIZES = ("num_cpus", "num_gpus", "object_store_memory", "include_dashboard", "_temp_dir")


@dataclass(frozen=True)
class Allocation:
    """A job's part of this node: `job` its id, `memory` in bytes; None where Slurm does not say."""

    job: str
    cores: int | None
    gpus: int | None
    memory: int | None


def slurm_allocation(environment: Mapping[str, str]) -> Allocation | None:
    """What SLURM_* variables say this job has on this node; None outside Slurm.

    >>> slurm_allocation({"SLURM_JOB_ID": "12", "SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_CPU": "1024"})
    Allocation(job='12', cores=4, gpus=None, memory=4294967296)
    """
    job = environment.get("SLURM_JOB_ID")
    if not job:
        return None

    def number(name: str) -> int | None:
        """The last number of a variable: SLURM_GPUS_ON_NODE may be "2" or "a100:2"."""
        match = re.search(r"(\d+)\D*$", environment.get(name, ""))
        return int(match[1]) if match else None

    cores, gpus = number("SLURM_CPUS_PER_TASK") or number("SLURM_CPUS_ON_NODE"), number("SLURM_GPUS_ON_NODE")
    gpu_ids = environment.get("SLURM_JOB_GPUS") or environment.get("SLURM_STEP_GPUS")
    if gpus is None and gpu_ids:
        gpus = len(gpu_ids.split(","))
    # in megabytes; 0 is all of the node's memory
    memory = number("SLURM_MEM_PER_NODE") or (number("SLURM_MEM_PER_CPU") or 0) * (cores or 0)
    return Allocation(job, cores, gpus, memory << 20 if memory else None)


def ray_settings(
    ray_init: Mapping,
    allocation: Allocation | None,
    *,
    device: str,
    needed: int,
    folder: str = "/tmp",
    shared_memory: int = 0,
) -> dict:
    """ray.init's settings: `ray_init` (verl's ray_kwargs.ray_init) fitted to the allocation.

    needed         logical cores below which verl's actors would wait for ever; an actor takes one while it
                   starts
    folder         where the host keeps temporary files
    shared_memory  bytes of /dev/shm that are free; 0 if unknown
    Attached to a Ray that is there (`address`), nothing may be said of its size. Without an address a Ray of
    its own is started, whatever RAY_ADDRESS or another Ray of this host says. What a user set is kept.
    """
    settings = dict(ray_init)
    if settings.get("address") not in (None, "local"):
        for name in SIZES:
            settings.pop(name, None)
        return settings
    settings["address"] = "local"
    if allocation is None:
        return settings
    fitted = {}
    if allocation.cores:
        fitted["num_cpus"] = max(allocation.cores, needed)
    if allocation.gpus and device != "cpu":
        fitted["num_gpus"] = allocation.gpus
    if allocation.memory:
        objects = int(allocation.memory * OBJECT_SHARE)
        objects = min(objects, int(shared_memory * 0.95) or objects)
        fitted["object_store_memory"] = max(OBJECTS_AT_LEAST, objects)
    for name, value in fitted.items():
        if settings.get(name) is None:
            settings[name] = value
    settings.setdefault("_temp_dir", ray_folder(allocation.job, folder))
    return settings


def ray_folder(job: str, folder: str) -> str:
    """Ray's folder of a job, below `folder` where a socket's path allows, else below /tmp.

    >>> ray_folder("123", "/tmp"), ray_folder("123", "/local/scratch/of/a/very/long/name/here")
    ('/tmp/medical_rl-ray-123', '/tmp/medical_rl-ray-123')
    """
    path = os.path.join(folder, f"medical_rl-ray-{job}")
    return path if len(path) <= LONGEST_FOLDER else f"/tmp/medical_rl-ray-{job}"


def ray_token(environment: Mapping[str, str]) -> dict[str, str]:
    """{"RAY_AUTH_TOKEN": a new one} for a job's own Ray; {} where none is started, or one is set.

    Else Ray makes one in the home folder, and of jobs that begin there for the first time at once each would
    overwrite the others'.
    """
    inside_slurm = bool(environment.get("SLURM_JOB_ID"))
    if not inside_slurm or environment.get("RAY_ADDRESS") or environment.get("RAY_AUTH_TOKEN"):
        return {}
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def needed_cores(ranks: int, storage_units: int) -> int:
    """Logical cores that verl's actors hold on one node.

    Three a rank, the runner, TransferQueue's parts, and one to start others.

    >>> needed_cores(8, 8)
    35
    """
    return 3 * ranks + 1 + (1 + storage_units) + 1


def omp_threads(wanted: int, allocation: Allocation | None, ranks: int) -> int:
    """OMP threads of a process: `wanted`, or a rank's share of the job's cores where that is less.

    >>> omp_threads(8, Allocation("1", 32, 8, None), 8), omp_threads(8, None, 8)
    (4, 8)
    """
    if allocation is None or not allocation.cores:
        return wanted
    return max(1, min(wanted, allocation.cores // max(1, ranks)))


def free_shared_memory() -> int:
    """Free bytes of /dev/shm, where Ray keeps objects; 0 if there is none."""
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
