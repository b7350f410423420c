"""Stage `round_k/distil`: a local generator fine-tuned on the triplets that R_phi scored high (Algorithm 1, line 14)."""

from __future__ import annotations

import json

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError
from medical_rl.loop.distil import settings_of, write_rows
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage, stage_of
from medical_rl.stages.common.models import base_model, image_limits, resolve_model
from medical_rl.stages.common.warm_start import fine_tune

HELD = 64  # rows on which its loss is shown


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/round_k/distil/huggingface: the generator of the next round."""
    conf = config.conf
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    distil = OmegaConf.to_container(conf.loop.distil, resolve=True)
    settings = settings_of(OmegaConf.to_container(conf.generator, resolve=True), distil, None)
    kept = {row["id"] for row in json.loads((home / "kept.json").read_text())["kept"]}
    limits = image_limits(config)
    files = {name: home / "distil" / f"{name}.parquet" for name in ("train", "val")}
    rows = [s for s in read_samples(home / "candidates.parquet") if s.id in kept]
    counts = write_rows(rows, files["train"], settings, limits)
    if counts["rows"] < int(conf.warm_start.batch_size):
        raise UserError(
            f"{counts['rows']} replies can be taught to the generator, fewer than one batch of {conf.warm_start.batch_size}: R_phi kept "
            "too little. Lower conf.loop.filter.tau, or raise conf.generator.images."
        )
    write_rows(rows[:HELD], files["val"], settings, limits)
    before = folder.output(stage_of(round_ - 1, "distil"), "model") if round_ > 1 else None
    start = (
        str(before)
        if before
        else resolve_model(distil["model"])
        if distil["model"]
        else base_model(config, folder)
    )
    model, notes = fine_tune(config, folder, start, {k: str(v) for k, v in files.items()}, counts["rows"])
    return {
        "outputs": {"model": model},
        "notes": [f"{counts['taught']} triplets in {counts['rows']} replies", *notes],
        "figures": counts,
    }
