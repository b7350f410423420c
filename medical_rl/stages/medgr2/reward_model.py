"""Stage `reward_model`: R_phi on the seed's grades; `round_k/reward_model`: R_phi trained again on what the policy wrote.

R_phi in a run: its training process, asked for and waited for; its calibration, measured and written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError
from medical_rl.loop.plan import judge_of
from medical_rl.reward_model.graded import read_graded
from medical_rl.reward_model.model import read_facts
from medical_rl.reward_model.report import write_report
from medical_rl.reward_model.training import material
from medical_rl.run.files import link_or_copy, write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage
from medical_rl.stages.common.models import base_model, image_limits, resolve_model
from medical_rl.stages.medgr2.rating import rate


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/<stage>/huggingface, R_phi in vLLM's layout, with its calibration report."""
    round_, _ = split_stage(folder.stage)
    settings = OmegaConf.to_container(config.conf.reward_training, resolve=True)
    work = folder.path / folder.stage
    held = folder.path / "reward_model" / "held_out.parquet"
    notes = []
    if round_ is None:
        material.write_held_out(
            folder.path / "data" / "val.parquet", held, settings, prompt_of(config), int(config.conf.seed)
        )
        rows, previous = work / "graded.parquet", None
        notes += material.write_seed(
            folder.path / "data" / "train.parquet",
            rows,
            settings,
            prompt_of(config),
            int(config.conf.seed),
            judge_for(config, folder),
        )
    else:
        rows, previous = work / "graded.parquet", folder.output(judge_of(round_, loop_of(config)), "model")
        notes += material.write_again(
            folder.round(round_) / "preferences.parquet", folder.path / "reward_model" / "graded.parquet", rows,
            float(config.conf.loop.preferences.replay), int(config.conf.seed) + round_,
        )  # fmt: skip
    model = trained(config, folder, settings, rows, previous)
    figures = calibrated(config, folder, model, held, before(folder, round_, config))
    notes.append(told(figures))
    outputs = {"model": str(model.relative_to(folder.path)), "report": f"{folder.stage}/calibration.json"}
    return {"outputs": outputs, "notes": notes, "figures": summary(figures)}


def before(folder: RunFolder, round_: int | None, config: DictConfig) -> Path | None:
    """The calibration of the R_phi before this one; None for the seed's."""
    if round_ is None:
        return None
    stage = judge_of(round_, loop_of(config))
    return folder.path / stage / "calibration.json"


def summary(figures: dict) -> dict:
    """What loop.json and the manifest keep of a calibration."""
    gaps = {name: found["gap"] for name, found in figures["probe_gaps"].items() if name in material.WRONG}
    worst = min(gaps, key=gaps.get) if gaps else None
    drop = figures["swapped"] or {}
    return {
        "spearman": figures["spearman"], "mae": figures["mae"], "in_order": figures["in_order"],
        "grey_spearman": figures["grey_spearman"], "swapped_drop": drop.get("drop"),
        "probe_gap": gaps.get(worst), "weakest_probe": worst, "drift": (figures["drift"] or {}).get("shift"),
    }  # fmt: skip


def told(figures: dict) -> str:
    """The calibration in a sentence."""
    found = summary(figures)
    parts = [f"held-out Spearman {found['spearman']:.3f}"]
    parts += [f"MAE {found['mae']:.2f} grades"] if found["mae"] is not None else []
    parts += (
        [f"grade-10 texts fall by {found['swapped_drop']:.1f} with exchanged images"]
        if found["swapped_drop"] is not None
        else []
    )
    parts += (
        [f"weakest probe {found['weakest_probe']}: gap {found['probe_gap']:.1f}"]
        if found["weakest_probe"]
        else []
    )
    return ", ".join(parts)


def prompt_of(config: DictConfig) -> dict:
    """conf.prompt as a plain dict."""
    return OmegaConf.to_container(config.conf.prompt, resolve=True)


def loop_of(config: DictConfig) -> dict:
    """conf.loop as a plain dict."""
    return OmegaConf.to_container(config.conf.loop, resolve=True)


def judge_for(config: DictConfig, folder: RunFolder):
    """The judge of conf/judge where the seed is distilled from one; None else."""
    if config.conf.reward_training.seed_from != "judge":
        return None
    from medical_rl.judges.build import from_config

    judge = from_config(OmegaConf.to_container(config.conf.judge, resolve=True), folder.path)
    if judge is None:
        raise UserError(
            "conf.reward_training.seed_from=judge asks a judge, and conf/judge=none. Choose conf/judge=openai, gemini or local."
        )
    return judge


def trained(config: DictConfig, folder: RunFolder, settings: dict, rows: Path, previous: Path | None) -> Path:
    """The exported R_phi: conf.reward_training.path as it is, else trained on `rows`, from `previous` where there is one."""
    goal = folder.path / "checkpoints" / folder.stage / "huggingface"
    if previous is None and settings["path"]:
        given = Path(settings["path"]).expanduser()
        read_facts(given)
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(given, goal, copy_function=link_or_copy)
        return goal
    asked = folder.path / folder.stage / "request.json"
    write_json(asked, request(config, folder, settings, rows, previous, goal))
    goal.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command(config, asked), env=os.environ)
    if done.returncode == UserError.exit_code:
        raise UserError(f"R_phi could not be trained; its log says why: {folder.log(folder.stage)}.")
    done.check_returncode()
    return goal


def request(
    config: DictConfig, folder: RunFolder, settings: dict, rows: Path, previous: Path | None, goal: Path
) -> dict:
    """What the training process is told (reward_model/request.py); a later round goes on from its R_phi, without SFT."""
    start = previous or (
        resolve_model(settings["model"]) if settings["model"] else base_model(config, folder)
    )
    first = {"sft": settings["sft"], "fit": settings["fit"]}
    return {
        "model": str(start), "rows": str(rows), "out": str(goal), "work": str(goal.with_name("state")),
        "seed": int(config.conf.seed), "device": str(config.conf.engine.device), "phantom": is_phantom(folder),
        **image_limits(config),
        **{name: settings[name] for name in material.TRAINING},
        **(first if previous is None else {"sft": None, "fit": settings["again"]}),
    }  # fmt: skip


def command(config: DictConfig, asked: Path) -> list[str]:
    """The training's command: one process, or one a rank where the engine has several GPUs."""
    module = ["-m", "medical_rl.reward_model.training.train", str(asked)]
    ranks = int(config.conf.engine.ranks)
    if str(config.conf.engine.device) == "cpu" or ranks == 1:
        return [sys.executable, *module]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={ranks}",
        *module,
    ]


def calibrated(config: DictConfig, folder: RunFolder, model: Path, held: Path, previous: Path | None) -> dict:
    """The calibration's figures, also in <stage>/calibration.{json,md,png}."""
    from medical_rl.reward_model.calibration import calibrate, spearman
    from medical_rl.reward_model.grading.counterfactual import grey, swapped

    rows = list(read_graded(held))
    own = [row for row in rows if row.made_by in material.MEASURED]
    exchanged, blind = swapped(own, int(config.conf.seed)), grey(own)
    outputs = rate(config, model, [*rows, *exchanged, *blind], folder.path / folder.stage / "scored")
    totals = [found[0] for found in outputs]
    scores, rest = totals[: len(rows)], totals[len(rows) :]
    place_ = folder.path / folder.stage / "calibration.json"
    figures = calibrate(
        rows, scores, swapped=(exchanged, rest[: len(exchanged)]),
        previous=json.loads(previous.read_text())["scores"] if previous else None,
        scale="free" if config.conf.reward_training.loss == "pairwise" else "grades", seed=int(config.conf.seed),
    )  # fmt: skip
    graded = [i for i, row in enumerate(rows) if row.made_by in material.MEASURED]
    figures["spearman"] = spearman([rows[i].grade for i in graded], [scores[i] for i in graded])
    figures["grey_spearman"] = spearman([row.grade for row in blind], rest[len(exchanged) :])
    write_json(place_, {**figures, "scores": scores})
    write_report(figures, place_.with_suffix(""), folder.stage, is_phantom(folder))
    return figures


def is_phantom(folder: RunFolder) -> bool:
    """Whether the run's data are phantoms, as their card says."""
    return bool(json.loads((folder.path / "data" / "card.json").read_text())["about"].get("phantom"))
