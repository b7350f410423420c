"""What Slurm gave this job, and the Ray that fits it: its own, of the job's cores, GPUs and memory, in a folder of its own.

Ray counts the cores of the whole node, which others may share, and its default folder is the same for everybody there.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

# Ray's sockets lie below its folder: /session_<date>_<pid>/sockets/plasma_store takes 64 of the 107 bytes of a socket's path.
LONGEST_FOLDER = 43
# Ray's own share of memory for objects.
OBJECT_SHARE = 0.3
OBJECTS_AT_LEAST = 200 << 20


@dataclass(frozen=True)
class Allocation:
    """A job's part of this node: `job` its id, `memory` in bytes; None where Slurm does not say."""

    job: str
    cores: int | None
    gpus: int | None
    memory: int | None


def allocation(environment: Mapping[str, str]) -> Allocation | None:
    """What SLURM_* variables say this job has on this node; None outside Slurm.

    >>> allocation({"SLURM_JOB_ID": "12", "SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "1024"})
    Allocation(job='12', cores=4, gpus=None, memory=4294967296)
    """
    job = environment.get("SLURM_JOB_ID")
    if not job:
        return None
    cores = _number(environment, "SLURM_CPUS_PER_TASK") or _number(environment, "SLURM_CPUS_ON_NODE")
    gpus = _number(environment, "SLURM_GPUS_ON_NODE")
    if gpus is None and (listed := environment.get("SLURM_JOB_GPUS") or environment.get("SLURM_STEP_GPUS")):
        gpus = len(listed.split(","))
    node, core = _number(environment, "SLURM_MEM_PER_NODE"), _number(environment, "SLURM_MEM_PER_CPU")
    megabytes = node or (core * cores if core and cores else None)  # 0 is all of the node's memory
    return Allocation(job, cores, gpus, megabytes << 20 if megabytes else None)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """The leading number of a variable: SLURM_GPUS_ON_NODE may be "2" or "a100:2"."""
    found = re.search(r"(\d+)\D*$", environment.get(name, ""))
    return int(found[1]) if found else None


def ray_settings(
    given: Mapping,
    found: Allocation | None,
    *,
    device: str,
    needed: int,
    folder: str = "/tmp",
    shared_memory: int = 0,
) -> dict:
    """ray.init's settings: `given` (verl's ray_kwargs.ray_init) fitted to the allocation.

    needed         logical cores below which verl's actors would wait for ever; an actor takes one while it starts
    folder         where the host keeps temporary files
    shared_memory  bytes of /dev/shm that are free; 0 if unknown
    Attached to a Ray that is there (`address`), nothing may be said of its size. Without an address a Ray of its own is
    started, whatever RAY_ADDRESS or another Ray of this host says. What a user set is kept.
    """
    settings = dict(given)
    if settings.get("address") not in (None, "local"):
        sizes = ("num_cpus", "num_gpus", "object_store_memory", "include_dashboard", "_temp_dir")
        return {name: value for name, value in settings.items() if name not in sizes}
    settings["address"] = "local"
    if found is None:
        return settings
    settings.setdefault("_temp_dir", ray_folder(found.job, folder))
    if settings.get("num_cpus") is None and found.cores:
        settings["num_cpus"] = max(found.cores, needed)
    if device != "cpu" and settings.get("num_gpus") is None and found.gpus:
        settings["num_gpus"] = found.gpus
    if settings.get("object_store_memory") is None and found.memory:
        objects = int(found.memory * OBJECT_SHARE)
        settings["object_store_memory"] = max(
            OBJECTS_AT_LEAST, min(objects, int(shared_memory * 0.95) or objects)
        )
    return settings


def ray_folder(job: str, folder: str) -> str:
    """Ray's folder of a job, below `folder` where a socket's path allows, else below /tmp.

    >>> ray_folder("123", "/tmp"), ray_folder("123", "/local/scratch/of/a/very/long/name/here")
    ('/tmp/medical_rl-ray-123', '/tmp/medical_rl-ray-123')
    """
    wanted = os.path.join(folder, f"medical_rl-ray-{job}")
    return wanted if len(wanted) <= LONGEST_FOLDER else f"/tmp/medical_rl-ray-{job}"


def own_token(environment: Mapping[str, str]) -> dict[str, str]:
    """{"RAY_AUTH_TOKEN": a new one} for a job's own Ray; {} outside Slurm, where one is set, or where a Ray is attached to.

    Else Ray makes one in the home folder, and of jobs that begin there for the first time at once each would overwrite the
    others'.
    """
    if (
        not environment.get("SLURM_JOB_ID")
        or environment.get("RAY_ADDRESS")
        or environment.get("RAY_AUTH_TOKEN")
    ):
        return {}
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def needed_cores(ranks: int, storage_units: int) -> int:
    """Logical cores that verl's actors hold on one node: three a rank, the runner, TransferQueue's parts, and one to start others.

    >>> needed_cores(8, 8)
    35
    """
    return 3 * ranks + 1 + (1 + storage_units) + 1


def threads(asked: int, found: Allocation | None, ranks: int) -> int:
    """OMP threads of a process: `asked`, or a rank's share of the job's cores where that is less.

    >>> threads(8, Allocation("1", 32, 8, None), 8), threads(8, None, 8)
    (4, 8)
    """
    if found is None or not found.cores:
        return asked
    return max(1, min(asked, found.cores // max(1, ranks)))


def free_shared_memory() -> int:
    """Free bytes of /dev/shm, where Ray keeps objects; 0 if there is none."""
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize


def host_folder() -> str:
    """The folder of temporary files that this host, or Slurm for this job, names."""
    return tempfile.gettempdir()
