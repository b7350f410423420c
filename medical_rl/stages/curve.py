"""The picture of how reinforcement went, left in the run folder by every stage of it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from medical_rl.run_folder import RunFolder

FILE = "curve.png"


def draw_curve(config: DictConfig, folder: RunFolder) -> Path:
    """curve.png below the run folder: reward terms and accuracy by step, the rounds of a loop one after the other.

    It is drawn anew by each stage that reinforces, and by `python -m medical_rl.evaluation curve RUN`.
    """
    from medical_rl.evaluation import curve as figure
    from medical_rl.evaluation.plot import PHANTOM, save
    from medical_rl.evaluation.runs import phantom

    conf = config.conf
    found = figure.curve(folder.path, str(conf.validation.metric))
    steps = sum(len(of["rewards"]["total"]) for of in found.values())
    notes = [f"{conf.recipe}, {conf.data.name}, seed {conf.seed}; n = {steps} steps."]
    notes += [PHANTOM] if phantom(folder.path) else []
    return save(figure.draw(found), folder.path / FILE, "Training curve", notes)
