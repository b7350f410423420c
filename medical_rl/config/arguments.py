"""Around Hydra: the help page, and what is added to a command's overrides: the scale and engine where none is given."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.compose import choices, groups
from medical_rl.config.slurm import LAUNCHERS as SLURM
from medical_rl.config.slurm import announcement, check_launcher
from medical_rl.config.sweep import name_jobs_by_what_differs
from medical_rl.errors import UserError, unknown

LEARN_BOXES = ("vrft_aug_localize",)
LOCAL_LAUNCHERS = ("local", "basic", "joblib")
HELP = """medical_rl reinforces medical vision-language models on verl.

  python -m medical_rl.main conf=RECIPE [conf/GROUP=CHOICE] [KEY=VALUE] [-m]

Recipes: {recipes}
Groups:
{groups}

Often used:
  conf.run_dir=FOLDER         where everything goes (default runs/RECIPE; the same command resumes)
  conf.stages=[evaluate]      a subset of the stages
  conf.seed=2                 seed of data, model and training
  conf.dry_run=true           check everything a run needs, train nothing
  conf.engine.ranks=2         FSDP ranks
  conf.model.lora_rank=16     LoRA on the language model
  trainer.total_training_steps=50   any key of verl's own configuration
  -m conf.seed=1,2,3          a sweep, one folder a job (on a cluster: conf/launcher=slurm)
  --cfg job                   print the composed configuration

Where conf/scale is not given it is `tiny` without an accelerator, else `paper`. Not for clinical use.
"""


def help_text() -> str:
    """The help page, from the files below conf/."""
    lines = [f"  conf/{group:<12} {', '.join(choices(group))}" for group in groups()]
    return HELP.format(recipes=", ".join(choices()), groups="\n".join(lines))


def _given(arguments: list[str], key: str) -> str | None:
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name.lstrip("+") == key:
            return value
    return None


def finish_arguments(arguments: list[str]) -> tuple[list[str], str]:
    """(arguments with conf/scale and conf/engine, the line that says which and why).

    Raises UserError for a missing recipe, a choice that does not exist, and a launcher that is
    not local without both groups: a login node's hardware says nothing of the job's.
    """
    recipe = _given(arguments, "conf")
    if recipe is None:
        raise UserError(f"No recipe was given: conf=RECIPE. Available: {', '.join(choices())}.")
    arguments = [_boxes(argument, recipe) for argument in arguments]
    _check_choices(arguments)
    launcher = _given(arguments, "conf/launcher") or _given(arguments, "hydra/launcher") or "local"
    scale, engine = _given(arguments, "conf/scale"), _given(arguments, "conf/engine")
    if launcher not in LOCAL_LAUNCHERS and not (scale and engine):
        missing = " and ".join(f"conf/{n}" for n, v in (("scale", scale), ("engine", engine)) if not v)
        raise UserError(
            f"With the launcher {launcher!r} give {missing}: the job runs on another machine, so its scale and engine cannot be "
            f"read off this one. Scales: {', '.join(choices('scale'))}. Engines: {', '.join(choices('engine'))}."
        )
    if launcher in SLURM:
        check_launcher(arguments, str(engine))
    from medical_rl.config.hardware import count_gpus

    gpus = count_gpus() if not (scale and engine) else 0
    seen = f"{gpus} GPU{'s' if gpus > 1 else ''} visible" if gpus else "no accelerator is visible"
    reason = "given" if scale else seen
    scale = scale or ("paper" if gpus else "tiny")
    why = "given" if engine else seen
    engine = engine or default_engine(scale, gpus)
    added = [
        f"conf/{n}={v}"
        for n, v in (("scale", scale), ("engine", engine))
        if _given(arguments, f"conf/{n}") is None
    ]
    if (
        gpus > 1
        and engine == "gpu_node"
        and _given(arguments, "conf/engine") is None
        and _given(arguments, "conf.engine.ranks") is None
    ):
        added.append(f"conf.engine.ranks={gpus}")  # the GPUs that are there
    prefix = "# " if {"--cfg", "-c"} & set(arguments) else ""
    said = f"{prefix}scale: {scale} ({reason}); engine: {engine} ({why})"
    sweep = [a for a in arguments if a in ("-m", "--multirun")]
    others = [a for a in arguments if a not in sweep]
    if sweep:
        added.append(name_jobs_by_what_differs(others))
        if launcher in SLURM:
            said += "\n" + announcement(_given(arguments, "conf.run_dir") or f"runs/{recipe}")
    # Hydra's parser takes no override after an option: ours come first, -m last, wherever it was written.
    return [*added, *others, *sweep[:1]], said


def _boxes(argument: str, recipe: str) -> str:
    """The argument; for a recipe that learns boxes a set is named by its plain name, and its boxes are meant.

    >>> _boxes("conf/data=ham10000,heel_boxes", "vrft_aug_localize"), _boxes("conf/data=ham10000", "vrft_aug")
    ('conf/data=ham10000_boxes,heel_boxes', 'conf/data=ham10000')
    """
    name, _, value = argument.partition("=")
    if name != "conf/data" or recipe not in LEARN_BOXES:
        return argument
    known = choices("data")
    return (
        name + "=" + ",".join(f"{one}_boxes" if f"{one}_boxes" in known else one for one in value.split(","))
    )


def default_engine(scale: str, gpus: int) -> str:
    """The engine for a scale on a host with `gpus` GPUs; paper scale without one composes a GPU node's settings.

    >>> default_engine("tiny", 0), default_engine("tiny", 4), default_engine("paper", 4), default_engine("paper", 0)
    ('cpu', 'gpu_single', 'gpu_node', 'gpu_node')
    """
    if gpus == 0:
        return "cpu" if scale == "tiny" else "gpu_node"
    return "gpu_single" if gpus == 1 or scale == "tiny" else "gpu_node"


def _check_choices(arguments: list[str]) -> None:
    """None; UserError for a group or choice that does not exist (Hydra's own messages name its internals)."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "conf":
            kind, available = "recipe", choices()
        elif name.startswith("conf/"):
            group = name.removeprefix("conf/").split("@")[0]
            if group not in groups():
                raise unknown("group", f"conf/{group}", [f"conf/{g}" for g in groups()])
            kind, available = f"conf/{group}", choices(group)
        else:
            continue
        for asked in value.split(","):
            if asked not in available:
                raise unknown(kind, asked, available)


def settle_reward_files(config: DictConfig) -> DictConfig:
    """The configuration with reward functions in files named by absolute paths: workers start in other folders."""
    for term in (config.conf.rewards.get("terms") or {}).values():
        fn = str((term or {}).get("fn") or "")
        place, colon, name = fn.rpartition(":")
        if colon and place.endswith(".py"):
            term.fn = f"{Path(place).expanduser().absolute()}:{name}"
    return config
