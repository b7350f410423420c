"""Stage `prepare`: datasets to parquet with a card, and the tiny model where the recipe builds one.

Sets that a warm start learns besides the run's own (conf.warm_start.also): the stand-in for an Instruct model knows several forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.gold import prove
from medical_rl.data.prepare.prepare import prepare
from medical_rl.data.prompts import messages, target
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.data.reports import read_reports
from medical_rl.errors import UserError
from medical_rl.run.folder import RunFolder
from medical_rl.stages import REINFORCED, SUPERVISED, reinforces
from medical_rl.stages.common.eval_sets import further_sets, prepare_further

PROVED = (
    200  # training rows whose gold answers are scored by the run's own rewards before anything is trained
)
TEXTS = 400  # samples of each split whose texts the tiny tokenizer learns


def run(config: DictConfig, folder: RunFolder) -> dict:
    """The prepared data folder and, for `conf/model=tiny`, the model folder copied below the run."""
    data, prompt = settings(config)
    card = prepare(
        data,
        prompt,
        folder.path / "data",
        seed=int(config.conf.seed),
        batch_size=int(config.data.train_batch_size),
    )
    refuse_missing(config, card)
    rewards = OmegaConf.to_container(config.conf.rewards, resolve=True)
    proved = list(islice(read_samples(folder.path / "data" / f"{learned(card)}.parquet"), PROVED))
    prove(proved, rewards, prompt, whole=reinforces(config.conf.stages))
    outputs, notes = (
        {"data": "data"},
        [f"{split}: {found['rows']} rows" for split, found in card["splits"].items()],
    )
    if prompt["name"] == "visual_attributes" and not any(sample.knowledge for sample in proved):
        notes.append("these data have no visual attributes (knowledge), so the prompt names the classes only")
    also = prepare_also(config, folder.path)
    if also:
        outputs["also"] = FOLDER
    if config.conf.model.path is None:
        build_model(config, folder, prompt, also)
        outputs["model"] = "checkpoints/base/huggingface"
    return {"outputs": outputs, "notes": [*notes, *card["about"].get("notes", []), *card["notes"]]}


def settings(config: DictConfig) -> tuple[dict, dict]:
    """The data (with their knowledge, where the configuration has any) and the prompt as plain dicts."""
    chosen = {
        k: OmegaConf.to_container(config.conf[k], resolve=True)
        for k in ("data", "prompt", "knowledge")
        if k in config.conf
    }
    return {**chosen["data"], "knowledge": chosen.get("knowledge")}, chosen["prompt"]


def learned(card: Mapping) -> str:
    """The split that is looked at before training: train, or the first there is where a set is only tested on."""
    splits = card.get("splits") or ("train",)
    return "train" if "train" in splits else next(iter(splits))


def refuse_missing(config: DictConfig, card: Mapping) -> None:
    """None; UserError for a stage that reads a split which was not prepared."""
    warm = config.conf.warm_start
    learning = dict.fromkeys((*SUPERVISED, *REINFORCED, "loop"), ("train", "val"))
    needs = learning | {"evaluate": (str(config.conf.evaluation.split),)}
    if warm.enabled:
        needs["warm_start"] = (str(warm.split) if warm.split in card["splits"] else "train", "val")
    for stage in config.conf.stages:
        missing = [split for split in needs.get(stage, ()) if split not in card["splits"]]
        if missing:
            raise UserError(
                f"The stage {stage} reads the split {missing[0]}, and {card['name']} was prepared with "
                f"{', '.join(card['splits'])} only. To test a model and train nothing: conf.stages=[prepare,evaluate]."
            )


def graded_texts(config: DictConfig, train: Path, prompt: dict) -> set[str]:
    """What R_phi will read besides the rows' own texts, in synonyms: spelt in letters they would be hard to tell apart."""
    settings = config.conf.get("reward_training")
    if not settings or not train.exists():
        return set()
    from medical_rl.reward_model.grading.grades import graded_rows
    from medical_rl.reward_model.grading.synonyms import load

    rows = list(islice(read_samples(train), TEXTS))
    return {
        row.text for row in graded_rows(rows, prompt, int(config.conf.seed), load(str(settings.synonyms)))
    }


def build_model(
    config: DictConfig, folder: RunFolder, prompt: dict, also: Sequence[tuple[Path, dict]] = ()
) -> None:
    """None; builds the tiny model for this task's texts and copies it to checkpoints/base/huggingface."""
    import shutil

    from medical_rl.tiny.model import build_tiny_model

    texts, data = set(), folder.path / "data"
    # A tested row's text is looked at only where nothing will be trained.
    trained = [path for split in ("warm_start", "train") if (path := data / f"{split}.parquet").exists()]
    for path, asked in [
        *(
            (path, prompt)
            for path in trained or sorted(path for path in data.glob("*.parquet") if path.name != REPORTS)
        ),
        *also,
    ]:
        for sample in islice(read_samples(path), TEXTS):
            texts |= {m["content"] for m in messages(sample, asked)} | {target(sample, asked)}
    if (data / REPORTS).exists():
        texts |= {report.text for report in islice(read_reports(data / REPORTS, with_images=False), TEXTS)}
    texts |= graded_texts(config, data / "train.parquet", prompt)
    model = config.conf.model
    built = build_tiny_model(
        texts,
        seed=int(model.build.seed),
        vocab_size=int(model.build.vocab_size),
        size={"min_pixels": int(model.min_pixels), "max_pixels": int(model.max_pixels)},
    )
    goal = folder.path / "checkpoints" / "base" / "huggingface"
    shutil.rmtree(goal, ignore_errors=True)
    shutil.copytree(built, goal)


FOLDER = "data_also"


def also_sets(config: DictConfig) -> list[tuple[dict, dict]]:
    """(data, prompt) of each set, its rows of conf.warm_start.split (train where it has no such split) alone; [] without a warm start."""
    warm = config.conf.warm_start
    if not warm.enabled or not warm.get("also"):
        return []
    return [(_of_split(data, str(warm.split)), prompt) for data, prompt in further_sets(config, warm.also)]


def prepare_also(config: DictConfig, home: Path) -> list[tuple[Path, dict]]:
    """(rows, prompt) of each set, prepared below `home`; a second call with the same settings does nothing."""
    found = []
    for data, prompt in also_sets(config):
        out = home / FOLDER / data["name"]
        prepare_further(data, prompt, out, config)
        found.append((out / f"{data['only'][0]}.parquet", prompt))
    return found


def _of_split(data: Mapping, wanted: str) -> dict:
    from medical_rl.data.prepare.readers import load_reader, splits

    known = splits(load_reader(data["reader"]), data.get("params") or {}, None)
    return {**data, "only": [wanted if wanted in known else "train"]}
