"""What a run will ask of others and sample itself: requests, tokens and money, at most, by stage.

Tokens of a request are counted at their limits (prompt, images and answer), so a run stays below; money is
there where a price is configured (`prices`, for a million tokens).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.rewards.mix import Mix
from medical_rl.stages import LOOP, reinforces

# Pixels of a token of Qwen2.5-VL's pictures: patches of 14, merged two by two.
PIXELS_A_TOKEN = 28 * 28
INSTRUCTION_TOKENS = (
    1500  # of the questions put to a generator, labeller or judge, without pictures: an upper figure
)


@dataclass(frozen=True)
class Requests:
    """Requests of a stage to a service: how many, and tokens of each at most.

    service     the group of settings that has the endpoint
    """

    stage: str
    service: str
    count: int
    prompt_tokens: int
    answer_tokens: int

    def cost(self, prices: Mapping[str, float]) -> float:
        """Money at most, by prices for a million tokens."""
        a_request = self.prompt_tokens * float(prices["prompt"])
        a_request += self.answer_tokens * float(prices["completion"])
        return self.count * a_request / 1e6


def training_steps(config: DictConfig, rows: int) -> int:
    """Steps of GRPO: trainer.total_training_steps, else those of its epochs."""
    given = config.trainer.total_training_steps
    if given is not None:
        return int(given)
    return int(config.trainer.total_epochs) * max(1, rows // int(config.data.train_batch_size))


def sampled_responses(config: DictConfig, rows: Mapping[str, int]) -> tuple[int, int]:
    """(responses that GRPO samples to learn from, to validate with), of one round.

    rows  {split: number of rows}
    """
    steps = training_steps(config, rows.get("train", 0))
    learned = steps * int(config.data.train_batch_size) * int(config.actor_rollout_ref.rollout.n)
    most = int(config.data.get("val_max_samples") or -1)
    val = rows.get("val", 0) if most < 0 else min(rows.get("val", 0), most)
    return learned, val * (1 + steps // int(config.trainer.test_freq))


def requests(config: DictConfig, rows: Mapping[str, int]) -> list[Requests]:
    """The requests to services that bill or are shared, of the planned stages, at most."""
    conf, asked = config.conf, []
    rounds = int(conf.loop.rounds) if LOOP in conf.stages else 1
    picture = int(conf.model.max_pixels) // PIXELS_A_TOKEN
    asking = picture + INSTRUCTION_TOKENS
    judge = plain(conf.get("judge")) or {}
    if judge.get("enabled") and judge.get("mode", "live") == "live":
        answer = int(judge["endpoint"]["max_tokens"])
        if reinforces(conf.stages):
            terms = Mix.from_config(plain(conf.rewards)).terms.values()
            judged = sum("judge" in term.needs for term in terms)
            tokens = int(config.data.max_response_length) + asking
            count = sum(sampled_responses(config, rows)) * judged * rounds
            asked.append(Requests("GRPO", "judge", count, tokens, answer))
        if "pseudo_label" in conf.stages and conf.pseudo_label.concepts == "judge":
            asked.append(
                Requests("pseudo_label", "judge", rows.get("train", 0) + rows.get("val", 0), asking, answer)
            )
        if "reward_model" in conf.stages and conf.reward_training.seed_from == "judge":
            asked.append(Requests("reward_model", "judge", int(conf.reward_training.rows), asking, answer))
        if LOOP in conf.stages and conf.loop.preferences.soundness == "judge":
            count = int(conf.loop.preferences.rows) * int(conf.loop.preferences.n) * rounds
            asked.append(Requests("preferences", "judge", count, asking, answer))
    if LOOP in conf.stages and conf.generator.kind == "endpoint":
        replies = -(-int(conf.generator.per_image) // int(conf.generator.per_reply))
        tokens = int(conf.generator.max_new_tokens)
        count = int(conf.generator.images) * replies * rounds
        asked.append(Requests("generate", "generator", count, asking, tokens))
    if "pseudo_label" in conf.stages and not conf.pseudo_label.path and conf.labeller.kind == "endpoint":
        tested = rows.get(str(conf.evaluation.split), 0) if conf.pseudo_label.baseline else 0
        calibrated = int(rows.get("train", 0) * float(conf.calibration.share)) * len(
            conf.calibration.candidates
        )
        tokens = int(conf.labeller.max_new_tokens)
        asked.append(Requests("calibrate", "labeller", calibrated, asking, tokens))
        asked.append(Requests("pseudo_label", "labeller", rows.get("train", 0) + tested, asking, tokens))
    return [entry for entry in asked if entry.count]


def estimate(config: DictConfig, rows: Mapping[str, int]) -> str:
    """Sentences on what GRPO samples and what services are asked, with money where prices are configured."""
    conf, parts = config.conf, []
    if reinforces(conf.stages):
        learned, validated = sampled_responses(config, rows)
        tokens = (learned + validated) * int(config.data.max_response_length)
        each = " a round" if LOOP in conf.stages else ""
        parts.append(
            f"GRPO samples {learned:,} responses{each} and {validated:,} to validate, {tokens / 1e6:,.1f} M "
            "tokens at most"
        )
    total = 0.0
    for entry in requests(config, rows):
        settings = plain(conf[entry.service])
        prices = settings.get("service", settings)["endpoint"]["prices"]
        cost = entry.cost(prices)
        total += cost
        money = f", {cost:,.2f} by its prices" if any(prices.values()) else ", no price is configured"
        parts.append(
            f"{entry.stage} asks conf.{entry.service} up to {entry.count:,} times, "
            f"{entry.count * entry.prompt_tokens / 1e6:,.1f} M tokens of prompts and "
            f"{entry.count * entry.answer_tokens / 1e6:,.1f} M of answers{money}"
        )
    if total:
        parts.append(f"{total:,.2f} in all at most")
    return "; ".join(parts) or "no service is asked, nothing is sampled to learn from"
