"""The environment variables a stage's process starts with."""

import os
import re
from collections.abc import Mapping

from medical_rl.engine.host.allocation import omp_threads, ray_token, slurm_allocation
from medical_rl.run.processes import DEVICE, METRICS, RUN, STAGE

SECRET = re.compile(r"KEY|TOKEN(?!IZERS)|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
PLUGIN = "medical_rl.engine.verl.plugin"
DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_SILENT": "true",
}
CPU_DEFAULTS = {
    "VERL_ENGINE_DEVICE": "cuda",  # verl registers its FSDP engines for cuda and npu only
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_TARGET_DEVICE": "cpu",
    # threads that wait for others sleep: spinning, two processes on two cores take turns at doing nothing
    "OMP_WAIT_POLICY": "PASSIVE",
    # vLLM's worker lives in its engine process, which on CPU it does only with this set
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Ray starts one idle Python a logical core at once; on two cores that costs the first seconds
    "RAY_prestart_worker_first_driver": "0",
}
WORKER_PREFIXES = ("MEDICAL_RL_", "VERL_", "VLLM_")
WORKER_NAMES = ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "HF_HOME")


def has_accelerator() -> bool:
    """True on the GPU engine: as the driver said, else as this host looks."""
    device = os.environ.get(DEVICE)
    if device:
        return device != "cpu"
    from medical_rl.config.hardware import count_gpus

    return count_gpus() > 0


def stage_environment(
    engine: Mapping, run_id: str, stage: str, metrics_file: str, base: Mapping | None = None
) -> dict[str, str]:
    """Variables for a stage: `base` (os.environ) plus what verl, vLLM and Ray read.

    A variable the user has set already is kept, except those that name the engine and the run.
    """
    environment = dict(os.environ if base is None else base)
    device = str(engine["device"])
    environment.update({DEVICE: device, RUN: run_id, STAGE: stage, METRICS: metrics_file})
    modules = environment.get("VERL_USE_EXTERNAL_MODULES", "").split(",")
    environment["VERL_USE_EXTERNAL_MODULES"] = ",".join(dict.fromkeys([*filter(None, modules), PLUGIN]))
    allocation, ranks = slurm_allocation(environment), int(engine.get("ranks", 1))
    defaults = DEFAULTS | ray_token(environment)
    defaults["OMP_NUM_THREADS"] = str(omp_threads(int(engine.get("threads", 2)), allocation, ranks))
    if device == "cpu":
        defaults |= CPU_DEFAULTS | {"VLLM_CPU_KVCACHE_SPACE": str(engine.get("kv_cache_gib", 1))}
    return defaults | environment


def names_for_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables Ray must hand to workers on other nodes, which do not inherit the driver's.

    verl prints them, so nothing that may be a secret (VLLM_API_KEY, say) is among them.
    """
    variables = {}
    for name, value in environment.items():
        if (name.startswith(WORKER_PREFIXES) or name in WORKER_NAMES) and not SECRET.search(name):
            variables[name] = value
    return variables
