"""verl's view of a host with no accelerator: gloo, shared memory, a logical "GPU" a Ray worker.

verl counts only GPU and NPU as Ray resources, so a CPU rank takes a logical GPU
(`ray_init.num_gpus`); nothing here touches CUDA.
"""

from __future__ import annotations

import contextlib
import os
import types

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


def _memory_module() -> types.SimpleNamespace:
    """The calls of `torch.cuda` that verl makes on a device module, answered for main memory."""
    process = psutil.Process()

    def used(*_):
        return process.memory_info().rss

    def total_and_free(*_):
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def nothing(*_, **__):
        return None

    return types.SimpleNamespace(
        is_available=lambda: True,
        current_device=lambda: "cpu",
        device_count=lambda: 1,
        set_device=nothing,
        synchronize=nothing,
        empty_cache=nothing,
        ipc_collect=nothing,
        reset_peak_memory_stats=nothing,
        memory_allocated=used,
        memory_reserved=used,
        max_memory_allocated=used,
        max_memory_reserved=used,
        mem_get_info=total_and_free,
        get_device_name=lambda *_: "cpu",
        get_device_properties=lambda *_: types.SimpleNamespace(
            total_memory=psutil.virtual_memory().total, name="cpu"
        ),
        get_rng_state=lambda *_: torch.random.get_rng_state(),
        set_rng_state=lambda state, *_: torch.random.set_rng_state(state),
        manual_seed=torch.manual_seed,
        manual_seed_all=torch.manual_seed,
    )


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """A device named "cpu": backend gloo, weights through shared memory, no profiler."""

    device_name = "cpu"
    vendor_name = "cpu"

    def __init__(self):
        self._module = _memory_module()

    @property
    def device_module(self):
        return self._module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check=False) -> bool:
        # Chosen by `set_platform` in plugin.py, never by detection: on a GPU host it must not win.
        return False

    def current_device(self):
        return "cpu"  # verl passes it to Tensor.to

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index) -> None:
        return None

    def synchronize(self, device_index=None) -> None:
        return None

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None:
        return None

    def empty_cache(self) -> None:
        return None

    def get_device_capability(self, device_index: int = 0):
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"  # logical: Ray numbers the workers by it

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        names = (
            "VLLM_CPU_OMP_THREADS_BIND",
            "VLLM_CPU_KVCACHE_SPACE",
            "VLLM_TARGET_DEVICE",
            "OMP_NUM_THREADS",
        )
        return {name: os.environ[name] for name in names if name in os.environ}

    @contextlib.contextmanager
    def nvtx_range(self, msg: str):
        yield

    def profiler_start(self) -> None:
        return None

    def profiler_stop(self) -> None:
        return None

    def cudart(self):
        return None
