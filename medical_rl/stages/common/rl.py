"""Stages `rl` and `localize_rl`: GRPO on the real engine; the best checkpoint by validation is kept."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.gold import check_rewards_on_gold, check_rewards_on_rows
from medical_rl.errors import UserError
from medical_rl.run.folder import RunFolder
from medical_rl.run.progress import VALIDATION, read_metrics
from medical_rl.stages.common.models import last_saved_step, leave_model, starting_model, training_rows
from medical_rl.stages.common.prepare import CHECKED_ROWS
from medical_rl.stages.medgr2.score import serve
from medical_rl.stages.stage import Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface, the step that validated best, and draw curve.png."""
    import medical_rl.engine.verl.plugin  # noqa: F401  before any other part of verl
    from medical_rl.engine.checks.prompt import refuse_uncountable
    from medical_rl.engine.verl.runner import run_grpo
    from medical_rl.engine.verl.settings import rl_config

    rewards, prompt = plain(config.conf.rewards), plain(config.conf.prompt)
    check_rewards_on_gold(islice(read_samples(training_rows(folder)), CHECKED_ROWS), rewards, prompt)
    stage = folder.stage
    start = starting_model(config, folder, stage)
    if config.conf.model.path is not None:
        refuse_uncountable(start, training_rows(folder), config.data)
    checkpoints = folder.path / "checkpoints" / stage
    keep_newest(checkpoints, config.conf.max_ckpt_to_keep)
    with serve(with_training_rows(config, folder), folder) as config:
        conf = plain(config.conf)
        lacking = []
        for split in ("train", "val"):
            rows = read_samples(training_rows(folder, split), with_images=False)
            lacking += [f"{split}: {note}" for note in check_rewards_on_rows(rows, rewards, conf)]
        settings, notes = rl_config(config, start)
        notes += lacking
        run_grpo(settings)
        last_saved_step(checkpoints, stage, config.trainer.total_training_steps)
    keep_newest(checkpoints, config.conf.max_ckpt_to_keep)
    if not (checkpoints / "best.json").exists():
        raise UserError(
            "GRPO ended without a checkpoint that was validated: trainer.save_freq and trainer.test_freq "
            f"must be positive and meet at a step (they are {config.trainer.save_freq} and "
            f"{config.trainer.test_freq})."
        )
    draw_curve(config, folder)
    best = json.loads((checkpoints / "best.json").read_text())
    notes.append(f"best step by validation {best['metric']}: {best['step']} ({best['score']:.3f})")
    for overlong in sorted(folder.logs.glob("overlong-*.json")):
        removed = json.loads(overlong.read_text())["removed"]
        notes.append(f"{len(removed)} rows were too long and left out: {overlong.relative_to(folder.path)}")
    outputs = {"model": leave_model(checkpoints / "best", start, config, folder, stage)}
    figures, judge = validated(folder, best), judge_totals(conf, folder)
    return {"outputs": outputs, "notes": notes, "best": best, "figures": figures, "judge": judge}


def with_training_rows(config: DictConfig, folder: RunFolder) -> DictConfig:
    """A copy of `config` in which verl reads this stage's rows: a round's, pseudo-labelled or prepared.

    Files of a user's own in data.train_files or data.val_files stay.
    """
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    for split in ("train", "val"):
        prepared = folder.path / "data" / f"{split}.parquet"
        if Path(str(config.data[f"{split}_files"])).resolve() == prepared.resolve():
            config.data[f"{split}_files"] = str(training_rows(folder, split))
    return config


def validated(folder: RunFolder, best: dict) -> dict:
    """Validation before RL and at the best step: accuracy by rule (0 to 1), and R_phi's mean or None."""
    metrics = read_metrics(folder.metrics_file, folder.stage)
    first, last = min((step for step in metrics if VALIDATION in metrics[step]), default=0), int(best["step"])
    figures = {"step": last}
    for name, metric in (("accuracy", "acc"), ("learned", "learned")):
        figures[f"{name}_before"] = mean_metric(metrics.get(first, {}), metric)
        figures[name] = mean_metric(metrics.get(last, {}), metric)
    return figures


def mean_metric(logged: Mapping[str, float], name: str) -> float | None:
    """The mean of verl's metrics val-core|val-aux/<data>/<name>/...; None without any."""
    values = []
    for key, value in logged.items():
        group, *path = key.split("/")
        if group in ("val-core", "val-aux") and path[1:2] == [name]:
            values.append(value)
    return sum(values) / len(values) if values else None


def judge_totals(conf: dict, folder: RunFolder) -> dict | None:
    """The questions to the run's judge and their cost, resumes included; None where none was asked."""
    if not (conf.get("judge") or {}).get("enabled") or not (folder.path / "judge" / "ledger.sqlite").exists():
        return None
    from medical_rl.judges.judge import checked_settings, sqlite_desk

    return sqlite_desk(checked_settings(conf["judge"]), folder.path).totals()


def keep_newest(checkpoints: Path, keep: int | None) -> list[int]:
    """Remove the saved state of all but the `keep` newest complete steps (None keeps all); return which.

    verl keeps count of its saved steps in memory only, so those from before a resume would stay for ever; and
    of the steps it removes it leaves a shell with the data loader's state.
    """
    tracker = checkpoints / "latest_checkpointed_iteration.txt"
    if keep is None or not tracker.exists():
        return []
    latest = int(tracker.read_text())  # a later folder is a save that was cut short; verl writes it anew
    steps, whole = [], []
    for saved in checkpoints.glob("global_step_*"):
        step = int(saved.name.removeprefix("global_step_"))
        if step <= latest:
            steps.append(step)
            if any((saved / "actor").glob("*.pt")):
                whole.append(step)
    removed = sorted(set(steps) - set(sorted(whole)[-keep:]))
    for step in removed:
        shutil.rmtree(checkpoints / f"global_step_{step}")
    return removed


def draw_curve(config: DictConfig, folder: RunFolder) -> Path:
    """Draw curve.png below the run folder: reward terms and accuracy by step, rounds one after the other."""
    from medical_rl.evaluation.figures import training_curves as figure
    from medical_rl.evaluation.figures.plot import save_figure
    from medical_rl.evaluation.results import has_phantom_data
    from medical_rl.evaluation.wording import PHANTOM_NOTE

    conf = config.conf
    curves = figure.run_curve(folder.path, str(conf.validation.metric))
    steps = sum(len(of["rewards"]["total"]) for of in curves.values())
    notes = [f"{conf.recipe}, {conf.data.name}, seed {conf.seed}; n = {steps} steps."]
    notes += [PHANTOM_NOTE] if has_phantom_data(folder.path) else []
    return save_figure(figure.draw_run(curves), folder.path / "curve.png", "Training curve", notes)


# verl's own configuration: everything but where it writes and how much it says (pipeline/fingerprint.py).
VERL = (
    "actor_rollout_ref", "algorithm", "critic", "custom_reward_function", "data", "distillation",
    "model_engine", "reward", "reward_model", "sandbox_fusion", "skip", "trainer",
)  # fmt: skip

STAGE = Stage(
    "rl", "GRPO", run, needs=("prepare", "pseudo_label", "warm_start"),
    reads=(
        *VERL, "conf.engine.ranks", "conf.engine.device", "conf.engine.attention",
        "conf.engine.remove_padding", "conf.judge", "conf.model", "conf.reward_model", "conf.rewards",
        "conf.seed", "conf.validation",
    ),
    steps=lambda config, folder, stage: config.trainer.total_training_steps,
    trains="reinforced", splits=("train", "val"),
)  # fmt: skip
LOCALIZE = dataclasses.replace(
    STAGE, name="localize_rl", title="localisation by GRPO", needs=("prepare", "warm_start")
)
