"""Stage `reward_model`: R_phi on the seed's grades; `round_k/reward_model`: R_phi trained again on what the policy wrote."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError
from medical_rl.loop.plan import judge_of, place
from medical_rl.reward_model import material
from medical_rl.run_folder import RunFolder
from medical_rl.stages.r_phi import calibrated, trained


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/<stage>/huggingface, R_phi in vLLM's layout, with its calibration report."""
    round_, _ = place(folder.stage)
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
    parts += [f"weakest probe {found['weakest_probe']}: gap {found['probe_gap']:.1f}"] if found["weakest_probe"] else []
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
