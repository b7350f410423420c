"""Stage `prepare`: datasets to parquet with a card, and the tiny model where the recipe builds one."""

from collections.abc import Mapping
from itertools import islice

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.gold import check_rewards_on_gold
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError
from medical_rl.run.folder import RunFolder
from medical_rl.stages import LOOP, declared, reinforces
from medical_rl.stages.common.further_sets import WARM_START_FOLDER, prepare_warm_start_sets
from medical_rl.stages.common.tiny_base import build_tiny_base
from medical_rl.stages.stage import Stage

# Training rows whose gold answers are scored by the run's own rewards before anything is trained.
CHECKED_ROWS = 200


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Prepare the data folder and, for `conf/model=tiny`, build the model and copy it below the run."""
    data, prompt = settings(config)
    batch_size = int(config.data.train_batch_size)
    card = prepare(data, prompt, folder.path / "data", seed=int(config.conf.seed), batch_size=batch_size)
    refuse_missing_splits(config, card)
    rewards = OmegaConf.to_container(config.conf.rewards, resolve=True)
    first = folder.path / "data" / f"{first_split(card)}.parquet"
    first_rows = list(islice(read_samples(first), CHECKED_ROWS))
    check_rewards_on_gold(first_rows, rewards, prompt, whole=reinforces(config.conf.stages))
    outputs = {"data": "data"}
    notes = [f"{split}: {facts['rows']} rows" for split, facts in card["splits"].items()]
    if prompt["name"] == "visual_attributes" and not any(sample.knowledge for sample in first_rows):
        notes.append("these data have no visual attributes (knowledge), so the prompt names the classes only")
    warm_start_sets = prepare_warm_start_sets(config, folder.path)
    if warm_start_sets:
        outputs["also"] = WARM_START_FOLDER
    if config.conf.model.path is None:
        build_tiny_base(config, folder, prompt, warm_start_sets)
        outputs["model"] = "checkpoints/base/huggingface"
    notes += card["about"].get("notes", [])
    return {"outputs": outputs, "notes": notes + card["notes"]}


def settings(config: DictConfig) -> tuple[dict, dict]:
    """The (data, prompt) as plain dicts, the data with their knowledge where the configuration has any."""
    plain = {}
    for name in ("data", "prompt", "knowledge"):
        if name in config.conf:
            plain[name] = OmegaConf.to_container(config.conf[name], resolve=True)
    return {**plain["data"], "knowledge": plain.get("knowledge")}, plain["prompt"]


def first_split(card: Mapping) -> str:
    """The split that is looked at before training.

    It is train, or the first there is where a set is only tested on.
    """
    splits = card.get("splits") or ("train",)
    return "train" if "train" in splits else next(iter(splits))


def refuse_missing_splits(config: DictConfig, card: Mapping) -> None:
    """Refuse a recipe one of whose stages reads a split that was not prepared.

    Raises UserError.
    """
    for stage in config.conf.stages:
        if stage == "warm_start" and not config.conf.warm_start.enabled:
            continue
        # The loop's rounds learn from what GRPO learns from.
        reading = declared("rl" if stage == LOOP else stage).splits(config, card["splits"])
        missing = [split for split in reading if split not in card["splits"]]
        if missing:
            raise UserError(
                f"The stage {stage} reads the split {missing[0]}, and {card['name']} was prepared with "
                f"{', '.join(card['splits'])} only. "
                "To test a model and train nothing: conf.stages=[prepare,evaluate]."
            )


STAGE = Stage(
    name="prepare",
    title="data preparation",
    run=run,
    reads=(
        "conf.data", "conf.prompt", "conf.knowledge", "conf.seed", "conf.model.path", "conf.model.build",
        "conf.model.min_pixels", "conf.model.max_pixels", "data.train_batch_size",
        "conf.reward_training.synonyms", "conf.warm_start.also",
    ),
)  # fmt: skip
