"""verl's asynchronous reward manager over our mixes: unwraps one trajectory, scores it, keeps every component.

Loaded by `reward.reward_manager: {source: importlib, name: MedicalRewardManager, module.path:
pkg://medical_rl.engine.reward_manager}` inside verl's reward workers; the mix is `conf.rewards`.
"""

from __future__ import annotations

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from medical_rl.rewards.mix import Mix
from medical_rl.sample import Sample


class MedicalRewardManager(RewardManagerBase):
    """Scores a finished response by the configured mix; every path returns the same keys (`Mix.keys`)."""

    def __init__(self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None):
        super().__init__(config, tokenizer, compute_score)
        self.mix = Mix.from_config(config.conf.rewards)

    async def run_single(self, data: DataProto) -> dict:
        """{"reward_score": total, "reward_extra_info": all components} of the last sequence of `data`."""
        item = data[-1]
        responses = item.batch["responses"]
        valid = int(item.batch["attention_mask"][-responses.shape[-1] :].sum()) if responses.shape[-1] else 0
        text = self.tokenizer.decode(responses[:valid], skip_special_tokens=True)
        result = await self.mix.score(text, Sample.from_json(item.non_tensor_batch["sample"]))
        return {"reward_score": result["score"], "reward_extra_info": result}
