"""Stage `prepare`: datasets to parquet with a card, and the tiny model where the recipe builds one."""

from __future__ import annotations

from itertools import islice

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import prepare
from medical_rl.data.prompts import messages, target
from medical_rl.rewards.proof import prove
from medical_rl.run_folder import RunFolder

PROVED = 200  # training rows whose gold answers are scored by the run's own rewards before anything is trained
TEXTS = 400  # samples of each split whose texts the tiny tokenizer learns


def run(config: DictConfig, folder: RunFolder) -> dict:
    """The prepared data folder and, for `conf/model=tiny`, the model folder copied below the run."""
    data, prompt = settings(config)
    card = prepare(
        data, prompt, folder.path / "data", seed=int(config.conf.seed), batch_size=int(config.data.train_batch_size)
    )
    rewards = OmegaConf.to_container(config.conf.rewards, resolve=True)
    proved = list(islice(read_samples(folder.path / "data" / "train.parquet"), PROVED))
    prove(proved, rewards, prompt)
    outputs, notes = {"data": "data"}, [f"{split}: {found['rows']} rows" for split, found in card["splits"].items()]
    if prompt["name"] == "visual_attributes" and not any(sample.knowledge for sample in proved):
        notes.append("these data have no visual attributes (knowledge), so the prompt names the classes only")
    if config.conf.model.path is None:
        build_model(config, folder, prompt)
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


def build_model(config: DictConfig, folder: RunFolder, prompt: dict) -> None:
    """None; builds the tiny model for this task's texts and copies it to checkpoints/base/huggingface."""
    import shutil

    from medical_rl.tiny.model import build_tiny_model

    texts = set()
    for split in ("warm_start", "train"):
        path = folder.path / "data" / f"{split}.parquet"
        for i, sample in enumerate(read_samples(path) if path.exists() else ()):
            if i == TEXTS:
                break
            texts |= {m["content"] for m in messages(sample, prompt)} | {target(sample, prompt)}
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
