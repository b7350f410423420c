"""Stages `reward_model` and `round_k/reward_model`: R_phi trained on the seed, then on the policy."""

import json
import os
import shutil
import subprocess
from operator import attrgetter, itemgetter
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.errors import UserError
from medical_rl.evaluation.results import has_phantom_data
from medical_rl.judges.judge import from_config
from medical_rl.loop.plan import reward_model_before, split_stage
from medical_rl.reward_model.graded import read_graded
from medical_rl.reward_model.grading.probes import with_grey_images, with_swapped_images
from medical_rl.reward_model.training import rows as graded_files
from medical_rl.run.files import link_or_copy, write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.models import base_model, chosen, image_limits, resolve_model
from medical_rl.stages.medgr2.score import score_rows
from medical_rl.stages.stage import VLLM_ENGINE, Stage
from medical_rl.training.request import training_command

# Of conf/reward_training, what the training process is told as it stands.
TRAINING = (
    "loss", "criteria", "criteria_weight", "max_length", "overlong", "precision", "export_dtype",
    "gradient_checkpointing", "micro_batch", "max_grad_norm", "save_every",
)  # fmt: skip


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface, R_phi in vLLM's layout, and write its calibration report."""
    conf, seed = config.conf, int(config.conf.seed)
    round_, _ = split_stage(folder.stage)
    settings, prompt = plain(conf.reward_training), plain(conf.prompt)
    data, seed_folder = folder.path / "data", folder.path / "reward_model"
    rows, held_out = folder.path / folder.stage / "graded.parquet", seed_folder / "held_out.parquet"
    previous = previous_calibration = None
    if round_ is None:
        graded_files.write_held_out_rows(data / "val.parquet", held_out, settings, prompt, seed)
        judge = from_config(plain(conf.judge), folder.path) if settings["seed_from"] == "judge" else None
        if settings["seed_from"] == "judge" and judge is None:
            raise UserError(
                "conf.reward_training.seed_from=judge asks a judge, and conf/judge=none. Choose "
                "conf/judge=openai, gemini or local."
            )
        notes = graded_files.write_seed_rows(data / "train.parquet", rows, settings, prompt, seed, judge)
    else:
        before = reward_model_before(round_, conf.loop)
        previous = folder.output(before, "model")
        previous_calibration = folder.path / before / "calibration.json"
        written, replay = folder.round(round_) / "preferences.parquet", float(conf.loop.preferences.replay)
        notes = graded_files.write_retraining_rows(
            written, seed_folder / "graded.parquet", rows, replay, seed + round_
        )
    model = train_model(config, folder, settings, rows, previous)
    figures = summary_figures(calibrate_model(config, folder, model, held_out, previous_calibration))
    notes.append(calibration_sentence(figures))
    outputs = {"model": str(model.relative_to(folder.path)), "report": f"{folder.stage}/calibration.json"}
    return {"outputs": outputs, "notes": notes, "figures": figures}


def train_model(
    config: DictConfig, folder: RunFolder, settings: dict, rows: Path, previous: Path | None
) -> Path:
    """The exported R_phi: conf.reward_training.path as it is, else trained on `rows`, from `previous` on."""
    from medical_rl.reward_model.model import read_facts

    conf = config.conf
    exported = folder.path / "checkpoints" / folder.stage / "huggingface"
    if previous is None and settings["path"]:
        trained = Path(settings["path"]).expanduser()
        read_facts(trained)
        shutil.rmtree(exported, ignore_errors=True)
        shutil.copytree(trained, exported, copy_function=link_or_copy)
        return exported
    request = {
        "rows": str(rows), "out": str(exported), "work": str(exported.with_name("state")),
        "seed": int(conf.seed), "device": str(conf.engine.device), "phantom": has_phantom_data(folder.path),
        **image_limits(config),
    }  # fmt: skip
    request |= chosen(settings, TRAINING)
    if previous is not None:
        request |= {"model": str(previous), "sft": None, "fit": settings["again"]}
    else:
        start, setting = settings["model"], "conf.reward_training.model"
        start = resolve_model(start, setting=setting) if start else base_model(config, folder)
        request |= {"model": str(start), "sft": settings["sft"], "fit": settings["fit"]}
    request_file = folder.path / folder.stage / "request.json"
    write_json(request_file, request)
    exported.parent.mkdir(parents=True, exist_ok=True)
    ranks = int(conf.engine.ranks) if request["device"] != "cpu" else 1
    command = training_command("medical_rl.reward_model.training.train", request_file, ranks)
    ended = subprocess.run(command, env=os.environ)
    if ended.returncode == UserError.exit_code:
        raise UserError(f"R_phi could not be trained; its log says why: {folder.log(folder.stage)}.")
    ended.check_returncode()
    return exported


def calibrate_model(
    config: DictConfig, folder: RunFolder, model: Path, held_out: Path, previous: Path | None
) -> dict:
    """The figures, also in <stage>/calibration.{json,md,png}; `previous` is that of the R_phi before."""
    from medical_rl.reward_model.calibration import calibrate, spearman, write_report

    conf, work = config.conf, folder.path / folder.stage
    rows = list(read_graded(held_out))
    own, measured = [], []
    for number, row in enumerate(rows):
        if row.made_by in graded_files.MEASURED:
            own.append(row)
            measured.append(number)
    exchanged, grey = with_swapped_images(own, int(conf.seed)), list(map(with_grey_images, own))
    outputs = score_rows(config, model, rows + exchanged + grey, work / "scored")
    totals = list(map(itemgetter(0), outputs))
    scores, totals = totals[: len(rows)], totals[len(rows) :]
    exchanged_scores, grey_scores = totals[: len(exchanged)], totals[len(exchanged) :]
    scale = "free" if conf.reward_training.loss == "pairwise" else "grades"
    before = json.loads(previous.read_text())["scores"] if previous else None
    swapped = (exchanged, exchanged_scores)
    figures = calibrate(rows, scores, swapped=swapped, previous=before, scale=scale, seed=int(conf.seed))
    grades = list(map(attrgetter("grade"), own))
    figures["spearman"] = spearman(grades, [scores[number] for number in measured])
    figures["grey_spearman"] = spearman(grades, grey_scores)
    write_json(work / "calibration.json", {**figures, "scores": scores})
    write_report(figures, work / "calibration", folder.stage, has_phantom_data(folder.path))
    return figures


def summary_figures(figures: dict) -> dict:
    """What loop.json and the manifest keep of a calibration."""
    probes = figures["probe_gaps"].items()
    gaps = {name: probe["gap"] for name, probe in probes if name in graded_files.WRONG}
    weakest = min(gaps, key=gaps.get, default=None)
    summary = chosen(figures, ("spearman", "mae", "in_order", "grey_spearman"))
    return summary | {
        "swapped_drop": (figures["swapped"] or {}).get("drop"),
        "probe_gap": gaps.get(weakest),
        "weakest_probe": weakest,
        "drift": (figures["drift"] or {}).get("shift"),
    }


def calibration_sentence(summary: dict) -> str:
    """The calibration in a sentence, from its `summary_figures`."""
    parts = [f"held-out Spearman {summary['spearman']:.3f}"]
    if summary["mae"] is not None:
        parts.append(f"MAE {summary['mae']:.2f} grades")
    if summary["swapped_drop"] is not None:
        parts.append(f"grade-10 texts fall by {summary['swapped_drop']:.1f} with exchanged images")
    if summary["weakest_probe"]:
        parts.append(f"weakest probe {summary['weakest_probe']}: gap {summary['probe_gap']:.1f}")
    return ", ".join(parts)


STAGE = Stage(
    "reward_model", "reward model", run, needs=("prepare",),
    reads=(
        "conf.reward_training", "conf.loop.preferences.replay", "conf.seed", "conf.prompt", "conf.model",
        *VLLM_ENGINE, "conf.engine.ranks",
    ),
)  # fmt: skip
