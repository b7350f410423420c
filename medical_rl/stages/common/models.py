"""The model and the rows a stage starts from, and where a trained model is left."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.errors import StageFailed, UserError
from medical_rl.loop.plan import policy_before, split_stage
from medical_rl.run.files import replacing_folder
from medical_rl.run.folder import RunFolder
from medical_rl.stages import declared

CARD = """---
license: other
---
# {name}

Trained by medical_rl, recipe `{recipe}`, stage `{stage}`, data `{data}`, scale `{scale}`, seed {seed}.
Base model: {base}. Settings and hashes: `manifest.json` of the run.

**Not for clinical use.** {phantom}
"""
PHANTOM = "It was trained on phantom images drawn by code, not on medical images."


def base_model(config: DictConfig, run: RunFolder) -> str:
    """The folder of the untrained model.

    Raises UserError where it cannot be had.
    """
    built = run.output("prepare", "model")
    if config.conf.model.path is None:
        if built is None:
            raise UserError(
                "The tiny model is built by the stage `prepare`, which has not run in this folder: add it "
                "to conf.stages."
            )
        return str(built)
    return resolve_model(str(config.conf.model.path))


def image_limits(config: DictConfig) -> dict[str, int]:
    """The {"min_pixels", "max_pixels"} of the run's images."""
    return {"min_pixels": int(config.conf.model.min_pixels), "max_pixels": int(config.conf.model.max_pixels)}


def chosen(settings: Mapping, names: Iterable[str]) -> dict:
    """Those of the `settings` that `names` names, in that order."""
    return {name: settings[name] for name in names}


def engine_request(config: DictConfig, model: str, rows: Path, prompt: Mapping, max_new_tokens: int) -> dict:
    """The request to a process of ours that runs a model under vLLM; greedy unless more is added."""
    conf = config.conf
    return {
        "model": str(model), "rows": str(rows), "limit": None, "prompt": dict(prompt),
        "limits": image_limits(config), "max_new_tokens": max_new_tokens,
        "batch": int(conf.evaluation.batch), "gpus": int(conf.evaluation.gpus),
        "device": str(conf.engine.device), "dtype": str(conf.engine.dtype),
        "gpu_memory_utilization": float(conf.engine.gpu_memory_utilization), "seed": int(conf.seed),
    }  # fmt: skip


def ranks_for_batch(batch: int, ranks: int) -> int:
    """The ranks that supervised training takes: all, or one a row where a batch has fewer rows.

    >>> ranks_for_batch(16, 8), ranks_for_batch(4, 8), ranks_for_batch(3, 8)
    (8, 4, 8)
    """
    return batch if 0 < batch < ranks and ranks % batch == 0 else ranks


def is_local(path: str) -> bool:
    """True if `path` means a folder rather than a hub id (owner/name)."""
    return Path(path).expanduser().exists() or path.startswith(("/", ".", "~")) or path.count("/") != 1


def resolve_model(path: str, download: bool = True, setting: str = "conf.model.path") -> str:
    """The local model folder of `path`, a folder or a hub id.

    download  False looks for a hub id in the local cache only
    setting   where `path` was given, for the messages

    Raises UserError that says what is missing or out of reach.
    """
    folder = Path(path).expanduser()
    if is_local(path):
        missing = [n for n in ("config.json", "tokenizer_config.json") if not (folder / n).is_file()]
        problem = f"is not a model folder: {', '.join(missing)} not found" if missing else ""
        if not missing and not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            problem = "has no weights (*.safetensors or *.bin)"
        if problem:
            models = list(map(str, sorted(folder.glob("checkpoints/**/huggingface"))))
            inside = f" It is a run folder: give one of its models, {', '.join(models)}." if models else ""
            raise UserError(f"{folder} {problem}. {setting} takes a Hugging Face folder or hub id.{inside}")
        return str(folder.resolve())
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
        return snapshot_download(path, allow_patterns=patterns, local_files_only=not download)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        example = "/path/to/folder" if setting == "conf.model.path" else "[/path/to/folder]"
        offline = " HF_HUB_OFFLINE is set." if os.environ.get("HF_HUB_OFFLINE") else ""
        raise UserError(
            f"The model {path!r} is no local folder and could not be had from the hub ({reason}).{offline} "
            f"Download it first and give its folder: {setting}={example}."
        ) from None


def starting_model(config: DictConfig, run: RunFolder, stage: str) -> str:
    """The model `stage` trains: the warm start's where there is one, else the base model."""
    if split_stage(stage)[0] is not None:
        return policy_of(policy_before(stage, config.conf.loop), config, run)
    if stage != "warm_start" and declared(stage).trains and config.conf.warm_start.enabled:
        warm = run.output("warm_start", "model")
        if warm is None:
            raise UserError(
                f"The stage `{stage}` starts from the warm start's model, and no warm start is done in this "
                "run folder. Add warm_start to conf.stages, or start from the base model with "
                "conf/warm_start=none."
            )
        return str(warm)
    return base_model(config, run)


def policy_of(stage: str | None, config: DictConfig, run: RunFolder) -> str:
    """The model that `stage` of the loop trained (None: the base model); a UserError where there is none."""
    if stage is None:
        return base_model(config, run)
    model = run.output(stage, "model")
    if model is None:
        raise UserError(
            f"{stage} has trained no policy in {run.path}, and a later step of the loop begins from it. Add "
            "its step to conf.loop.steps, or begin each round from the base model: conf.loop.start=base."
        )
    return str(model)


def last_saved_step(checkpoints: Path, stage: str, planned: int | None) -> int:
    """The last step that a training of verl's saved.

    planned  the number of steps it was to take; None where epochs are given instead

    Raises StageFailed where they differ: verl may end early with exit code 0, and half a training is none.
    """
    file = checkpoints / "latest_checkpointed_iteration.txt"
    step = int(file.read_text()) if file.exists() else 0
    if planned is not None and step != planned:
        raise StageFailed(
            f"{stage} ended at step {step} of {planned}: it is not done. The same command goes on from there."
        )
    return step


def leave_model(source: Path, start: str, config: DictConfig, run: RunFolder, stage: str) -> str:
    """Leave `source`, or its LoRA merged into `start`, in checkpoints/<stage>/huggingface: its path there."""
    relative = f"checkpoints/{stage}/huggingface"
    goal = run.path / relative
    goal.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(goal) as scratch:
        if int(config.conf.model.lora_rank) > 0:
            from medical_rl.training.merge_lora import merge

            merge(source, start, scratch, scale=config.conf.model.lora_alpha / config.conf.model.lora_rank)
        else:
            # Copied, not linked: should it be damaged, the same command makes it anew from `source`.
            shutil.copytree(source, scratch)
        (scratch / "README.md").write_text(model_card(config, run, stage))
    return relative


def model_card(config: DictConfig, run: RunFolder, stage: str) -> str:
    """The Markdown card of a stage's model: what it was trained from and on; not for clinical use."""
    conf, data = config.conf, run.path / "data" / "card.json"
    about = json.loads(data.read_text())["about"] if data.exists() else {}
    return CARD.format(
        name=f"{conf.recipe} {stage}", recipe=conf.recipe, stage=stage, data=conf.data.name, scale=conf.scale,
        seed=conf.seed, base=conf.model.path or conf.model.name,
        phantom=PHANTOM if about.get("phantom") else "",
    )  # fmt: skip


def training_rows(folder: RunFolder, split: str = "train") -> Path:
    """The rows of `split` as this stage takes them: its round's, else pseudo-labelled, else prepared ones."""
    round_, _ = split_stage(folder.stage)
    if split == "train" and round_ is not None:
        return folder.round(round_) / "train.parquet"
    return folder.output("pseudo_label", split) or folder.path / "data" / f"{split}.parquet"
