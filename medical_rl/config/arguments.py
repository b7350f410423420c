"""Around Hydra: the help page, and the scale, engine and phantoms that a command's overrides lack."""

import re
from collections.abc import Iterable

from medical_rl.config.compose import choices, groups
from medical_rl.config.recipes import learns_boxes, tiny_choices
from medical_rl.config.slurm import ANNOUNCED, check_launcher
from medical_rl.config.slurm import LAUNCHERS as SLURM
from medical_rl.errors import UserError, check_known, unknown

LOCAL_LAUNCHERS = ("local", "basic", "joblib")
# Hydra's own options: those that a value follows (--info may have one), those that stand alone.
WITH_VALUE = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun",
)  # fmt: skip
INFO, INFO_VALUES = ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
ALONE = (
    "--multirun",
    "-m",
    "--resolve",
    "--run",
    "-r",
    "--shell-completion",
    "-sc",
    "--hydra-help",
    "--version",
)
SWEEP = ("-m", "--multirun")
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


def split_options(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(overrides, Hydra's options with their values), each in the order given.

    Raises UserError for an option that Hydra does not have and for one without its value.

    >>> split_options(["conf=vrft_aug", "--package", "conf", "--cfg", "job", "conf.seed=2", "-m"])
    (['conf=vrft_aug', 'conf.seed=2'], ['--package', 'conf', '--cfg', 'job', '-m'])
    """
    overrides, options, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        name, equals, _ = argument.partition("=")
        if name not in (*WITH_VALUE, *INFO, *ALONE):
            raise unknown("option", name, (*WITH_VALUE, *INFO, *ALONE, "--help", "-h"))
        options.append(argument)
        if name in WITH_VALUE and not equals:
            if not rest or rest[0].startswith("-"):
                raise UserError(f"The option {name} needs a value: {name} VALUE.")
            options.append(rest.pop(0))
        elif name in INFO and rest and rest[0] in INFO_VALUES:
            options.append(rest.pop(0))
    return overrides, options


def help_text() -> str:
    """The help page, from the files below conf/."""
    lines = [f"  conf/{group:<12} {', '.join(choices(group))}" for group in groups()]
    return HELP.format(recipes=", ".join(choices()), groups="\n".join(lines))


def version_text() -> str:
    """The versions of medical_rl and of what it stands on, a line."""
    from importlib.metadata import PackageNotFoundError, version

    import medical_rl

    lines = [f"medical_rl {medical_rl.__version__}"]
    for name in ("verl", "hydra-core"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return ", ".join(lines)


def with_default_scale_and_engine(arguments: list[str]) -> tuple[list[str], str]:
    """(arguments with conf/scale, conf/engine and what they need, the line that says which and why).

    Raises UserError for a missing recipe, a choice that does not exist, and a launcher that is
    not local without both groups: a login node's hardware says nothing of the job's.
    """
    arguments, options = split_options(arguments)
    if "" in (argument.partition("=")[0] for argument in arguments):
        raise UserError("An argument begins with = or is empty: it needs the form KEY=VALUE.")
    recipe = _value(arguments, "conf")
    if recipe is None:
        raise UserError(f"No recipe was given: conf=RECIPE. Available: {', '.join(choices())}.")
    arguments = [_with_boxes_meant(argument, recipe) for argument in arguments]
    _check_choices(arguments)
    launcher = _value(arguments, "conf/launcher") or _value(arguments, "hydra/launcher") or "local"
    scale, engine = _value(arguments, "conf/scale"), _value(arguments, "conf/engine")
    lacking = [name for name, value in (("conf/scale", scale), ("conf/engine", engine)) if not value]
    if launcher not in LOCAL_LAUNCHERS and lacking:
        raise UserError(
            f"With the launcher {launcher!r} give {' and '.join(lacking)}: the job runs on another machine, "
            f"so its scale and engine cannot be read off this one. Scales: {', '.join(choices('scale'))}. "
            f"Engines: {', '.join(choices('engine'))}."
        )
    if launcher in SLURM:
        check_launcher([*arguments, *options], str(engine))
    chosen, line = _choose_scale_and_engine(scale, engine)
    stand_ins = tiny_choices(recipe) if chosen["conf/scale"] == "tiny" and "," not in recipe else {}
    missing = {
        name: choice for name, choice in (chosen | stand_ins).items() if _value(arguments, name) is None
    }
    added = [f"{name}={choice}" for name, choice in missing.items()]
    line = f"# {line}" if {"--cfg", "-c"} & set(options) else line
    others = [option for option in options if option not in SWEEP]
    if len(others) == len(options):
        return added + arguments + others, line
    added.append(name_jobs_by_what_differs(arguments, equal=stand_ins))
    if launcher in SLURM:
        line += "\n" + ANNOUNCED.format(_value(arguments, "conf.run_dir") or f"runs/{recipe}")
    # Hydra's parser takes no override after an option: overrides come first, wherever an option was written.
    return added + arguments + others + ["-m"], line


def default_engine(scale: str, gpus: int) -> str:
    """The engine for a scale on a host with `gpus` GPUs; paper scale without one composes a GPU node's.

    >>> default_engine("tiny", 0), default_engine("tiny", 4)
    ('cpu', 'gpu_single')
    >>> default_engine("paper", 4), default_engine("paper", 0)
    ('gpu_node', 'gpu_node')
    """
    if gpus == 0:
        return "cpu" if scale == "tiny" else "gpu_node"
    return "gpu_single" if gpus == 1 or scale == "tiny" else "gpu_node"


def name_jobs_by_what_differs(arguments: list[str], equal: Iterable[str] = ()) -> str:
    """The override that keeps what is equal in all jobs of a sweep out of Hydra's name for a job.

    equal  further groups that are the same in all jobs

    >>> name_jobs_by_what_differs(["conf=vrft_aug", "conf.seed=1,2", "trainer.logger=[console,file]"])
    "hydra.job.config.override_dirname.exclude_keys=['conf/scale','conf/engine','conf','trainer.logger']"
    """
    keys = ["conf/scale", "conf/engine"] + list(equal)
    for argument in arguments:
        key, _, value = argument.partition("=")
        bare = re.sub(r"\[.*?\]|\{.*?\}|\(.*?\)|'.*?'|\".*?\"", "", value)
        is_swept = "," in bare or re.match(r"(choice|range|interval|glob)\(", value)
        if is_swept and key in keys:
            keys.remove(key)
        elif not is_swept and not argument.startswith("-") and key not in keys:
            keys.append(key.lstrip("+~"))
    return "hydra.job.config.override_dirname.exclude_keys=[" + ",".join(map(repr, keys)) + "]"


def _value(arguments: list[str], key: str) -> str | None:
    """The value that `arguments` give to `key`, None where they do not."""
    pairs = (argument.lstrip("+").partition("=") for argument in arguments)
    return next((value for name, _, value in pairs if name == key), None)


def _choose_scale_and_engine(scale: str | None, engine: str | None) -> tuple[dict[str, str], str]:
    """({"conf/scale": ..., "conf/engine": ...}, the line that says why), by the GPUs if not given."""
    from medical_rl.config.hardware import count_gpus

    gpus = 0 if scale and engine else count_gpus()
    seen = f"{gpus} GPU{'s' if gpus > 1 else ''} visible" if gpus else "no accelerator is visible"
    chosen = {"conf/scale": scale or ("paper" if gpus else "tiny")}
    chosen["conf/engine"] = engine or default_engine(chosen["conf/scale"], gpus)
    line = (
        f"scale: {chosen['conf/scale']} ({'given' if scale else seen}); engine: {chosen['conf/engine']} "
        f"({'given' if engine else seen})"
    )
    if engine is None and gpus > 1 and chosen["conf/engine"] == "gpu_node":
        chosen["conf.engine.ranks"] = str(gpus)  # the GPUs that are there
    return chosen, line


def _with_boxes_meant(argument: str, recipe: str) -> str:
    """The argument; for a recipe that learns boxes, a set's plain name means its boxes.

    >>> _with_boxes_meant("conf/data=ham10000,heel_boxes", "vrft_aug_localize")
    'conf/data=ham10000_boxes,heel_boxes'
    >>> _with_boxes_meant("conf/data=ham10000", "vrft_aug")
    'conf/data=ham10000'
    """
    name, _, value = argument.partition("=")
    if name != "conf/data" or recipe not in choices() or not learns_boxes(recipe):
        return argument
    known = choices("data")
    sets = [f"{set_}_boxes" if f"{set_}_boxes" in known else set_ for set_ in value.split(",")]
    return f"{name}={','.join(sets)}"


def _check_choices(arguments: list[str]) -> None:
    """Raise UserError for a group or choice that does not exist (Hydra's own messages name its internals)."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "conf":
            kind, available = "recipe", choices()
        elif name.startswith("conf/"):
            group = name.removeprefix("conf/").split("@")[0]
            check_known("group", f"conf/{group}", [f"conf/{known}" for known in groups()])
            kind, available = f"conf/{group}", choices(group)
        else:
            continue
        for choice in value.split(","):
            check_known(kind, choice, available)
