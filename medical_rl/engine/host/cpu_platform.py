"""verl's view of a host with no accelerator: gloo, shared memory, a logical "GPU" a Ray worker.

verl counts only GPU and NPU as Ray resources, so a CPU rank takes a logical GPU
(`ray_init.num_gpus`); nothing here touches CUDA.
"""

import contextlib
import os
import types

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

ROLLOUT_VARIABLES = (
    "VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_KVCACHE_SPACE", "VLLM_TARGET_DEVICE", "OMP_NUM_THREADS",
)  # fmt: skip


def _always(answer=None):
    """A method that gives `answer` whatever it is asked."""
    return lambda *_, **__: answer


def _memory_module() -> types.SimpleNamespace:
    """The calls of `torch.cuda` that verl makes on a device module, answered for main memory."""
    process = psutil.Process()

    def used(*_):
        return process.memory_info().rss

    def free_and_total(*_):
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def properties(*_):
        return types.SimpleNamespace(total_memory=psutil.virtual_memory().total, name="cpu")

    names = ("set_device", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats")
    calls = dict.fromkeys(names, _always())
    names = ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved")
    calls |= dict.fromkeys(names, used)
    return types.SimpleNamespace(
        **calls,
        is_available=_always(True),
        current_device=_always("cpu"),
        device_count=_always(1),
        mem_get_info=free_and_total,
        get_device_name=_always("cpu"),
        get_device_properties=properties,
        get_rng_state=lambda *_: torch.random.get_rng_state(),
        set_rng_state=lambda state, *_: torch.random.set_rng_state(state),
        manual_seed=torch.manual_seed,
        manual_seed_all=torch.manual_seed,
    )


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """A device named "cpu": backend gloo, weights through shared memory, no profiler."""

    device_name = vendor_name = "cpu"
    device_count, current_device = _always(1), _always("cpu")  # verl passes the device to Tensor.to
    is_available = _always(True)
    # Chosen by `set_platform` in plugin.py, never by detection: on a GPU host it must not win.
    is_platform_available = _always(False)
    is_ipc_supported = _always(False)
    get_device_capability = _always((None, None))
    communication_backend_name = _always("gloo")
    ray_resource_name = _always("GPU")
    visible_devices_envvar = _always("CUDA_VISIBLE_DEVICES")  # logical: Ray numbers the workers by it
    ray_noset_envvars = _always(["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"])
    nvtx_range = _always(contextlib.nullcontext())
    set_device = synchronize = set_allocator_settings = empty_cache = _always()
    profiler_start = profiler_stop = cudart = _always()

    def __init__(self):
        self._module = _memory_module()

    @property
    def device_module(self):
        return self._module

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def rollout_env_vars(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ROLLOUT_VARIABLES if name in os.environ}
