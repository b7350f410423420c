"""Stage `round_k/distil`: a generator fine-tuned on what R_phi scored high (Algorithm 1, line 14)."""

import json

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError
from medical_rl.loop.distil import distilled_settings, write_distil_rows
from medical_rl.loop.plan import round_stage, split_stage
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.models import base_model, image_limits, resolve_model
from medical_rl.stages.common.warm_start import fine_tune
from medical_rl.stages.stage import TRAINING_ENGINE, Stage

HELD_OUT = 64  # rows on which its loss is shown


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/round_k/distil/huggingface, the generator of the next round."""
    conf = config.conf
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    distil = OmegaConf.to_container(conf.loop.distil, resolve=True)
    settings = distilled_settings(OmegaConf.to_container(conf.generator, resolve=True), distil, None)
    kept = json.loads((home / "kept.json").read_text())["kept"]
    ids = {row["id"] for row in kept}
    rows = [sample for sample in read_samples(home / "candidates.parquet") if sample.id in ids]
    limits = image_limits(config)
    train, val = home / "distil" / "train.parquet", home / "distil" / "val.parquet"
    counts = write_distil_rows(rows, train, settings, limits)
    if counts["rows"] < int(conf.warm_start.batch_size):
        raise UserError(
            f"{counts['rows']} replies can be taught to the generator, fewer than one batch of "
            f"{conf.warm_start.batch_size}: R_phi kept too little. Lower conf.loop.filter.tau, or raise "
            "conf.generator.images."
        )
    write_distil_rows(rows[:HELD_OUT], val, settings, limits)
    start = folder.output(round_stage(round_ - 1, "distil"), "model") if round_ > 1 else None
    if start is None:
        start = resolve_model(distil["model"]) if distil["model"] else base_model(config, folder)
    files = {"train": str(train), "val": str(val)}
    model, notes = fine_tune(config, folder, str(start), files, counts["rows"], conf.warm_start)
    notes = [f"{counts['taught']} triplets in {counts['rows']} replies"] + notes
    return {"outputs": {"model": model}, "notes": notes, "figures": counts}


STAGE = Stage(
    name="distil",
    title="distillation of the generator",
    run=run,
    reads=(
        "conf.generator", "conf.loop.distil", "conf.warm_start", "conf.model", "conf.seed", *TRAINING_ENGINE,
    ),
    in_loop_only=True,
)  # fmt: skip
