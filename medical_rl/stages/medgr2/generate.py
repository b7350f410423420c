"""Stage `round_k/generate`: triplets about images that R_phi has not seen (Algorithm 1, line 3)."""

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError
from medical_rl.loop.distil import distilled_settings
from medical_rl.loop.generate import CANDIDATES, generate
from medical_rl.loop.plan import round_stage, split_stage
from medical_rl.reward_model.training_rows import generator_rows
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.models import image_limits
from medical_rl.stages.stage import VLLM_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write round_k/candidates.parquet: the generator's triplets as rows, checked and without repeats."""
    conf, seed = config.conf, int(config.conf.seed)
    round_, _ = split_stage(folder.stage)
    settings = OmegaConf.to_container(conf.generator, resolve=True)
    taught = (
        folder.output(round_stage(round_ - 1, "distil"), "model") if "distil" in conf.loop.steps else None
    )
    if taught is not None:
        settings = distilled_settings(
            settings, OmegaConf.to_container(conf.loop.distil, resolve=True), taught
        )
    counts = generate(
        settings,
        generator_rows(folder.path / "data" / "train.parquet", int(conf.reward_training.rows), seed),
        round=round_,
        seed=seed,
        folder=folder.round(round_),
        prompt=OmegaConf.to_container(conf.prompt, resolve=True),
        limits=image_limits(config),
        engine={name: conf.engine[name] for name in ("device", "dtype", "gpu_memory_utilization")},
        shared=folder.path / "generator",
    )
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
    name="generate",
    title="generated questions",
    run=run,
    reads=(
        "conf.generator", "conf.loop.distil", "conf.seed", "conf.prompt", "conf.reward_training.rows",
        "conf.model.min_pixels", "conf.model.max_pixels", *VLLM_ENGINE,
    ),
    in_loop_only=True,
)  # fmt: skip
