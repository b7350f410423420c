"""Stage `prepare`: datasets to parquet with a card, and the tiny base model where the recipe builds one."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import chain, islice, product
from operator import attrgetter, itemgetter
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.gold import check_rewards_on_gold
from medical_rl.data.prompts import messages, target
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.data.reports import read_reports
from medical_rl.errors import UserError
from medical_rl.run.folder import RunFolder
from medical_rl.stages import LOOP, declared, reinforces
from medical_rl.stages.common.further_sets import WARM_START_FOLDER, prepare_in_run, prepare_warm_start_sets
from medical_rl.stages.common.models import image_limits
from medical_rl.stages.stage import Stage

# Training rows whose gold answers are scored by the run's own rewards before anything is trained.
CHECKED_ROWS = 200


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Prepare the data folder and, for `conf/model=tiny`, build the model and copy it below the run."""
    data, prompt = settings(config)
    batch_size = int(config.data.train_batch_size)
    seed = int(config.conf.seed)
    card = prepare_in_run(folder.path, data, prompt, folder.path / "data", seed, batch_size)
    refuse_missing_splits(config, card)
    rewards = plain(config.conf.rewards)
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
    return {**plain(config.conf.data), "knowledge": plain(config.conf.get("knowledge"))}, plain(
        config.conf.prompt
    )


def first_split(card: Mapping) -> str:
    """The split that is looked at before training: train, or the first of a set that is only tested on."""
    splits = card.get("splits") or ("train",)
    return "train" if "train" in splits else next(iter(splits))


def refuse_missing_splits(config: DictConfig, card: Mapping) -> None:
    """Raise UserError for a recipe one of whose stages reads a split that was not prepared."""
    for stage in config.conf.stages:
        if stage == "warm_start" and not config.conf.warm_start.enabled:
            continue
        # The loop's rounds learn from what GRPO learns from.
        reading = declared("rl" if stage == LOOP else stage).splits
        if callable(reading):
            reading = reading(config, card["splits"])
        missing = [split for split in reading if split not in card["splits"]]
        if missing:
            raise UserError(
                f"The stage {stage} reads the split {missing[0]}, and {card['name']} was prepared with "
                f"{', '.join(card['splits'])} only. To test a model and train nothing: "
                "conf.stages=[prepare,evaluate]."
            )


STAGE = Stage(
    "prepare", "data preparation", run,
    reads=(
        "conf.data", "conf.prompt", "conf.knowledge", "conf.seed", "conf.model.path", "conf.model.build",
        "conf.model.min_pixels", "conf.model.max_pixels", "data.train_batch_size",
        "conf.reward_training.synonyms", "conf.warm_start.also",
    ),
)  # fmt: skip


SAMPLES = 400  # of each split, whose texts the tokenizer learns


def build_tiny_base(
    config: DictConfig, folder: RunFolder, prompt: dict, further: Sequence[tuple[Path, dict]] = ()
) -> None:
    """Build checkpoints/base/huggingface for the texts of the run and of `further` (rows, prompt)."""
    from medical_rl.tiny.model import build_tiny_model

    data = folder.path / "data"
    texts = set()
    trained = [path for path in (data / "warm_start.parquet", data / "train.parquet") if path.exists()]
    # A tested row's text is looked at only where nothing is trained on.
    trained = trained or sorted(path for path in data.glob("*.parquet") if path.name != REPORTS)
    for path, rows_prompt in chain(product(trained, [prompt]), further):
        for sample in islice(read_samples(path), SAMPLES):
            texts.update(map(itemgetter("content"), messages(sample, rows_prompt)))
            texts.add(target(sample, rows_prompt))
    if (data / REPORTS).exists():
        for report in islice(read_reports(data / REPORTS, with_images=False), SAMPLES):
            texts.add(report.text)
    texts |= _graded_texts(config, data / "train.parquet", prompt)
    model = config.conf.model
    seed, vocabulary = int(model.build.seed), int(model.build.vocab_size)
    built = build_tiny_model(texts, seed=seed, vocab_size=vocabulary, size=image_limits(config))
    goal = folder.path / "checkpoints" / "base" / "huggingface"
    shutil.rmtree(goal, ignore_errors=True)
    shutil.copytree(built, goal)


def _graded_texts(config: DictConfig, train: Path, prompt: dict) -> set[str]:
    """The texts that R_phi will read besides the rows' own: spelt in letters they are hard to tell apart."""
    settings = config.conf.get("reward_training")
    if not settings or not train.exists():
        return set()
    from medical_rl.reward_model.grading.grades import graded_rows
    from medical_rl.reward_model.grading.synonyms import load

    rows = list(islice(read_samples(train), SAMPLES))
    graded = graded_rows(rows, prompt, int(config.conf.seed), load(str(settings.synonyms)))
    return set(map(attrgetter("text"), graded))
