"""R_phi in a run: its training process, asked for and waited for; its calibration, measured and written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.errors import UserError
from medical_rl.folders import link_or_copy
from medical_rl.reward_model import material
from medical_rl.reward_model.export import read_facts
from medical_rl.reward_model.graded import read_graded
from medical_rl.reward_model.report import write_report
from medical_rl.run_folder import RunFolder, write_json
from medical_rl.stages.models import base_model, image_limits, resolve_model
from medical_rl.stages.rating import rate


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
    start = previous or (resolve_model(settings["model"]) if settings["model"] else base_model(config, folder))
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
    module = ["-m", "medical_rl.reward_model.train", str(asked)]
    ranks = int(config.conf.engine.ranks)
    if str(config.conf.engine.device) == "cpu" or ranks == 1:
        return [sys.executable, *module]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", *module]


def calibrated(config: DictConfig, folder: RunFolder, model: Path, held: Path, previous: Path | None) -> dict:
    """The calibration's figures, also in <stage>/calibration.{json,md,png}."""
    from medical_rl.reward_model.calibration import calibrate, spearman
    from medical_rl.reward_model.counterfactual import grey, swapped

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
