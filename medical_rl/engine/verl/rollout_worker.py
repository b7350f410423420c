"""vLLM's worker extension on CPU hosts: verl's own, with weights that can be updated."""

from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from medical_rl.engine.host.patches import keep_weights_plain


class PlainWeightsExtension(vLLMColocateWorkerExtension):
    """verl's extension for vLLM's worker; its creation comes before the model loads."""

    def __new__(cls, **kwargs):
        keep_weights_plain()
        return super().__new__(cls, **kwargs)
