"""verl's asynchronous reward manager over our mixes: unwraps one trajectory, scores it, keeps every component.

Loaded by `reward.reward_manager: {source: importlib, name: MedicalRewardManager, module.path:
pkg://medical_rl.engine.reward_manager}` inside verl's reward workers; the mix is `conf.rewards`.
"""

from __future__ import annotations

import dataclasses
import functools
import io

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from medical_rl.rewards.failures import FailureLog
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.services import connect
from medical_rl.sample import Sample


class MedicalRewardManager(RewardManagerBase):
    """Scores a finished response by the configured mix; every path returns the same keys (`Mix.keys`)."""

    def __init__(self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None):
        super().__init__(config, tokenizer, compute_score)
        self.mix = Mix.from_config(config.conf.rewards)
        self.mix.on_failed = FailureLog.of_run(config.conf.run_dir).add
        self.mix.services = connect(self.mix, config.conf, config.conf.run_dir, desk=shared_desk(config))
        self.sample = functools.lru_cache(maxsize=1024)(Sample.from_json)  # a group's rows are the same text

    async def run_single(self, data: DataProto) -> dict:
        """{"reward_score": total, "reward_extra_info": all components} of the last sequence of `data`."""
        columns = data.non_tensor_batch
        responses = data.batch["responses"][-1]
        valid = int(data.batch["attention_mask"][-1, -len(responses) :].sum()) if len(responses) else 0
        text = self.tokenizer.decode(responses[:valid], skip_special_tokens=True)
        sample = self.sample(columns["sample"][-1])
        if self.mix.needs:
            sample = dataclasses.replace(sample, images=images_of(columns["raw_prompt"][-1]))
        result = await self.mix.score(text, sample)
        return {"reward_score": result["score"], "reward_extra_info": result}


def images_of(raw_prompt) -> tuple[bytes, ...]:
    """The encoded images in a prompt's messages, in order: as they were stored, or PNG where verl has decoded them."""
    parts = [part for message in raw_prompt if not isinstance(message["content"], str) for part in message["content"]]
    images = [part["image"] for part in parts if part.get("type") == "image"]
    return tuple(_encoded(image) for image in images)


def _encoded(image) -> bytes:
    if isinstance(image, dict):
        return image["bytes"] if "bytes" in image else _encoded(image["image"])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def shared_desk(config):
    """The run's one desk for judge calls (an actor of the cluster), or None where no term asks a judge."""
    if not config.conf.get("judge"):
        return None
    from medical_rl.engine.judge_desk import RayDesk

    return RayDesk.of_run(config.conf)
