"""verl's asynchronous reward manager over our mixes: scores one trajectory, keeps every component.

Loaded by `reward.reward_manager: {source: importlib, name: MedicalRewardManager, module.path:
pkg://medical_rl.engine.verl.reward_manager}` inside verl's reward workers; the mix is `conf.rewards`.
"""

import dataclasses
import functools
from collections.abc import Mapping

from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from medical_rl.engine.verl.tokens import response_decoder
from medical_rl.errors import RewardFailed, UserError
from medical_rl.rewards.failures import FailureLog
from medical_rl.rewards.load import connect, load_mix
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.score import encode_image, sample_of
from medical_rl.sample import Sample


class MedicalRewardManager(RewardManagerBase):
    """Scores a finished response by the configured mix; every path returns the same keys (`Mix.keys`)."""

    def __init__(
        self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None
    ):
        super().__init__(config, tokenizer, compute_score)
        self.mix = self._load_mix(config)
        self.decode = response_decoder(tokenizer)
        self.parsed = functools.lru_cache(maxsize=1024)(Sample.from_json)  # a group's rows are the same text

    def _load_mix(self, config) -> Mix:
        mix = Mix.from_config(config.conf.rewards)
        mix.on_failed = FailureLog.of_run(config.conf.run_dir).add
        mix.services = connect(mix, config.conf, config.conf.run_dir, desk=shared_desk(mix, config))
        return mix

    def _sample(self, columns: Mapping) -> Sample:
        """The row's sample, without images."""
        return self.parsed(columns["sample"][-1])

    async def run_single(self, data: DataProto) -> dict:
        """{"reward_score": total, "reward_extra_info": all components} of the last sequence of `data`."""
        columns = data.non_tensor_batch
        ids = data.batch["responses"][-1].tolist()
        mask = data.batch["attention_mask"][-1].tolist()[-len(ids) :] if ids else []
        text = self.decode(ids[: sum(mask)])
        sample = self._sample(columns)
        try:
            if self.mix.needs:
                sample = dataclasses.replace(sample, images=images_of(columns["raw_prompt"][-1]))
            result = await self.mix.score(text, sample)
        except Exception as error:
            # verl would fail the whole group in silence; here it is counted, its reason kept, and many of
            # them end the run
            result = self.mix.failed_result(sample, RewardFailed(f"{type(error).__name__}: {error}"))
        return {"reward_score": result["score"], "reward_extra_info": result}


@register("medical")
class PlainRewardManager(MedicalRewardManager):
    """The same in plain verl, whose configuration is verl's alone: `reward.reward_manager.name=medical`.

    The mix is chosen by `+reward.medical.mix=medfact_r1_offline` (default: vrft_aug) and changed by
    `"+reward.medical.overrides=['conf.rewards.terms.fact.cap=1']"`; `+reward.medical.run_dir=FOLDER` keeps
    failures and the judge's ledger. verl's own trainer does not mend failed terms, nor stop for them: they
    add nothing. Rows prepared by medical_rl carry all they need; of others `data_source`,
    `reward_model.ground_truth` and `extra_info` are read.
    """

    def _load_mix(self, config) -> Mix:
        settings = config.reward.get("medical") or {}
        overrides = list(map(str, settings.get("overrides") or ()))
        if settings.get("mix"):
            overrides.insert(0, f"conf/rewards={settings['mix']}")
        run_dir = settings.get("run_dir")
        mix, name = load_mix(overrides, run_dir=run_dir)
        if "judge" in mix.needs and not run_dir:
            raise UserError(
                f"The mix {name} asks a judge, whose limits, budget and answers all reward workers share "
                "through files: give their folder, +reward.medical.run_dir=FOLDER."
            )
        if run_dir:
            mix.on_failed = FailureLog.of_run(run_dir).add
        return mix

    def _sample(self, columns: Mapping) -> Sample:
        if "sample" in columns:
            return super()._sample(columns)
        row = dict(columns["extra_info"][-1] or {}) if "extra_info" in columns else {}
        row["data_source"] = str(columns["data_source"][-1])
        row["answer"] = None
        if "reward_model" in columns:
            row["answer"] = columns["reward_model"][-1].get("ground_truth")
        return sample_of(row)


def images_of(raw_prompt) -> tuple[bytes, ...]:
    """The encoded images of a prompt, in order: as stored, or PNG where verl has decoded them."""
    images = []
    for message in raw_prompt:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part.get("type") == "image":
                images.append(encode_image(part["image"]))
    return tuple(images)


def shared_desk(mix: Mix, config):
    """The run's one desk for judge calls (an actor of the cluster), or None where no term asks a judge."""
    if "judge" not in mix.needs or not (config.conf.get("judge") or {}).get("enabled"):
        return None
    import ray

    if not ray.is_initialized():  # outside a cluster (a test, a script) the files of the run folder do
        return None
    from medical_rl.engine.verl.judge_desk import RayDesk

    return RayDesk.of_run(config.conf)
