"""Which settings each stage of an end-to-end run took, against those that it declares to read."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

RECORDER = Path(__file__).parent / "recorder"
# {setting: why a stage may take it without declaring it}
WITHOUT_EFFECT = {
    "conf.run_dir": "where things are written",
    "conf.recipe": "a name in results and model cards",
    "conf.scale": "the same",
    "conf.data.name": "the same",
    "conf.stages": "which stages there are: what follows from them is an input",
    "conf.loop.steps": "the same, of a round",
    "conf.loop.start": "which model a round starts from: it is an input",
    "conf.warm_start.enabled": "whether there is a warm start: its model is an input",
    "conf.prompt": "it is in the prepared data, which are an input",
    "conf.max_ckpt_to_keep": "what is kept on the disk",
    "conf.engine.gpu_memory_utilization": "how fast",
    "conf.engine.agreement_at_least": "it stops a run or does nothing",
    "conf.engine.agreement_steps": "the same",
    "conf.evaluation.batch": "how fast",
    "conf.evaluation.gpus": "how fast",
    "conf.reward_training.score_batch": "how fast",
    "actor_rollout_ref.model.enable_gradient_checkpointing": "how much memory",
    "data.dataloader_num_workers": "how fast",
    "ray_kwargs": "how Ray is started",
    "global_profiler": "what is profiled",
    "transfer_queue": "how rows travel",
}
# {stage: {setting: why it is looked at and decides nothing}}
LOOKED_AT = {
    "prepare": {
        "conf.rewards": "gold answers are scored by them, which stops a run or does nothing",
        "conf.evaluation.split": "a recipe whose stages read a split that there is not is refused",
        "conf.warm_start.split": "the same",
    },
    "select": {
        "conf.warm_start.batch_size": "too few rows for a batch stop a round",
        "data.train_batch_size": "the same",
    },
    "score": {"conf.seed": "a score is not drawn"},
}
# {stage: {declared setting: why a run at a tiny scale without a labeller of its own never takes it}}
NOT_AT_THIS_SCALE = {
    "align": dict.fromkeys(
        ("conf.calibration", "conf.engine", "conf.model", "conf.prompt", "conf.seed"),
        "the rule labeller is not aligned",
    ),
    "retrieve": dict.fromkeys(
        ("conf.alignment.share", "conf.alignment.pairs", "conf.seed"),
        "parts are drawn where a labeller is aligned",
    ),
    "calibrate": dict.fromkeys(("conf.alignment.share", "conf.alignment.pairs"), "the same"),
    "pseudo_label": dict.fromkeys(("conf.alignment.share", "conf.alignment.pairs"), "the same"),
    "generate": {"conf.loop.distil": "settings of a generator that was taught, from the second round on"},
    "reward_model": {"conf.engine.ranks": "one process on a CPU"},
    "rl": {"conf.judge": "no mix asks a judge at this scale"},
}


def environment(folder: Path) -> dict[str, str]:
    """The variables under which a run's stages note their settings in <folder>.settings."""
    recorded = recorded_in(folder)
    recorded.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, (str(RECORDER), os.environ.get("PYTHONPATH"))))
    return {"RECORD_SETTINGS_IN": str(recorded), "PYTHONPATH": path}


def recorded_in(folder: Path) -> Path:
    """The folder beside a run's own that holds what its stages took."""
    return folder.with_name(f"{folder.name}.settings")


def below(name: str, prefixes) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def undeclared_and_unread(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """({stage: settings it took and does not declare}, {stage: declared settings that it never took})."""
    from medical_rl.pipeline.fingerprint import NEUTRAL
    from medical_rl.stages import declared

    config = OmegaConf.load(folder / "config.yaml")
    taken_by: dict[str, set[str]] = {}
    for file in recorded_in(folder).glob("*.keys"):
        names = {line.removesuffix(".*") for line in file.read_text().splitlines()}
        # a stage of its own and a round's step of that name are one declaration
        taken = taken_by.setdefault(file.stem.rpartition(".")[2], set())
        taken |= {name for name in names if is_in(config, name)}
    undeclared, unread = {}, {}
    for name, taken in sorted(taken_by.items()):
        stage = declared(name)
        allowed = (*stage.reads, *NEUTRAL, *WITHOUT_EFFECT, *LOOKED_AT.get(name, ()))
        # a group taken whole, of which parts are declared, is no strange one
        strange = {
            one for one in taken if not below(one, allowed) and not any(below(r, [one]) for r in allowed)
        }
        idle = set()
        for read in stage.reads:
            excused = below(read, NOT_AT_THIS_SCALE.get(name, ())) or not read.startswith("conf.")
            used = any(below(one, [read]) or below(read, [one]) for one in taken)
            if is_in(config, read) and not excused and not used:
                idle.add(read)
        if strange:
            undeclared[name] = sorted(strange)
        if idle:
            unread[name] = sorted(idle)
    return undeclared, unread


def is_in(config, name: str) -> bool:
    """Whether the run's configuration has the setting, with a value."""
    return OmegaConf.select(config, name) is not None
