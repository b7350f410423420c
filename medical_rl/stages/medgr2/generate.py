"""Stages `round_k/generate`, triplets about images that R_phi has not seen (Algorithm 1, line 3), and
`round_k/distil`, the generator fine-tuned on what R_phi scored high (line 14)."""

import json
from operator import itemgetter

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError
from medical_rl.loop.generate import CANDIDATES, distilled_settings, generate, write_distil_rows
from medical_rl.loop.plan import round_stage, split_stage
from medical_rl.reward_model.training.rows import generator_rows
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.models import base_model, chosen, image_limits, resolve_model
from medical_rl.stages.common.warm_start import fine_tune
from medical_rl.stages.stage import TRAINING_ENGINE, VLLM_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/candidates.parquet: the generator's triplets as rows, checked and without repeats."""
    conf, seed = config.conf, int(config.conf.seed)
    round_, _ = split_stage(folder.stage)
    settings, taught = plain(conf.generator), None
    if "distil" in conf.loop.steps:
        taught = folder.output(round_stage(round_ - 1, "distil"), "model")
    if taught is not None:
        settings = distilled_settings(settings, plain(conf.loop.distil), taught)
    rows = generator_rows(folder.path / "data" / "train.parquet", int(conf.reward_training.rows), seed)
    engine = chosen(conf.engine, ("device", "dtype", "gpu_memory_utilization"))
    counts = generate(
        settings, rows, round=round_, seed=seed, folder=folder.round(round_), prompt=plain(conf.prompt),
        limits=image_limits(config), engine=engine, shared=folder.path / "generator",
    )  # fmt: skip
    if not counts["rows"]:
        raise UserError(
            f"The generator {counts['generator']} was asked about {counts['asked']} images and said nothing "
            f"that can be used: bad replies {counts['bad_replies'] or 'none'}, refused triplets "
            f"{counts['invalid'] or 'none'}."
        )
    notes = [f"{counts['rows']:,} triplets about {counts['asked']:,} images by {counts['generator']}"]
    notes += counts["notes"]
    for reason, number in (counts["bad_replies"] | counts["invalid"]).items():
        notes.append(f"  {number:,} left out: {reason}")
    return {"outputs": {"candidates": f"round_{round_}/{CANDIDATES}"}, "notes": notes, "figures": counts}


STAGE = Stage(
    "generate", "generated questions", run,
    reads=(
        "conf.generator", "conf.loop.distil", "conf.seed", "conf.prompt", "conf.reward_training.rows",
        "conf.model.min_pixels", "conf.model.max_pixels",
    ) + VLLM_ENGINE,
    in_loop_only=True,
)  # fmt: skip


HELD_OUT = 64  # rows on which its loss is shown


def run_distil(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/round_k/distil/huggingface, the generator of the next round."""
    conf = config.conf
    round_, _ = split_stage(folder.stage)
    home = folder.round(round_)
    distil = plain(conf.loop.distil)
    settings = distilled_settings(plain(conf.generator), distil, None)
    kept = json.loads((home / "kept.json").read_text())["kept"]
    ids = set(map(itemgetter("id"), kept))
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
        start, setting = distil["model"], "conf.loop.distil.model"
        start = resolve_model(start, setting=setting) if start else base_model(config, folder)
    files = {"train": str(train), "val": str(val)}
    model, notes = fine_tune(config, folder, str(start), files, counts["rows"], conf.warm_start)
    notes = [f"{counts['taught']} triplets in {counts['rows']} replies"] + notes
    return {"outputs": {"model": model}, "notes": notes, "figures": counts}


DISTIL = Stage(
    "distil", "distillation of the generator", run_distil,
    reads=(
        "conf.generator", "conf.loop.distil", "conf.warm_start", "conf.model", "conf.seed",
    ) + TRAINING_ENGINE,
    in_loop_only=True,
)  # fmt: skip
