"""Stage `round_k/generate`: candidate triplets about training images that R_phi has not seen (Algorithm 1, line 3)."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError
from medical_rl.loop.distil import settings_of
from medical_rl.loop.generate import CANDIDATES, generate
from medical_rl.reward_model import rows
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage, stage_of
from medical_rl.stages.common.models import image_limits


def run(config: DictConfig, folder: RunFolder) -> dict:
    """round_k/candidates.parquet: the generator's triplets as rows, checked and without repeats."""
    conf = config.conf
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    settings = OmegaConf.to_container(conf.generator, resolve=True)
    taught = folder.output(stage_of(round_ - 1, "distil"), "model") if "distil" in conf.loop.steps else None
    if taught is not None:
        settings = settings_of(settings, OmegaConf.to_container(conf.loop.distil, resolve=True), taught)
    counts = generate(
        settings,
        rows.left(folder.path / "data" / "train.parquet", int(conf.reward_training.rows), int(conf.seed)),
        round=round_,
        seed=int(conf.seed),
        folder=home,
        prompt=OmegaConf.to_container(conf.prompt, resolve=True),
        limits=image_limits(config),
        engine={k: conf.engine[k] for k in ("device", "dtype", "gpu_memory_utilization")},
        shared=folder.path / "generator",
    )
    if not counts["rows"]:
        raise UserError(
            f"The generator {counts['generator']} was asked about {counts['asked']} images and said nothing that can be used: "
            f"bad replies {counts['bad_replies'] or 'none'}, refused triplets {counts['invalid'] or 'none'}."
        )
    notes = [
        f"{counts['rows']:,} triplets about {counts['asked']:,} images by {counts['generator']}",
        *counts["notes"],
    ]
    notes += [f"  {n:,} left out: {why}" for why, n in {**counts["bad_replies"], **counts["invalid"]}.items()]
    return {"outputs": {"candidates": f"round_{round_}/{CANDIDATES}"}, "notes": notes, "figures": counts}
