"""Recipes as files: what one is built on, and the phantoms that stand in for its data at a tiny scale."""

from collections.abc import Iterator

from omegaconf import OmegaConf

from medical_rl.config.compose import choices, root
from medical_rl.errors import UserError

# The stages of conf/scale/tiny.yaml, which take the place of a recipe's own.
TINY_STAGES = ("prepare", "warm_start", "rl", "evaluate")
# {group: what stands in at a tiny scale}, for a recipe of classes and for one of boxes.
CLASS_PHANTOMS = {"conf/data": "phantom_grading", "conf/prompt": "brief"}
BOX_PHANTOMS = {"conf/data": "phantom_localisation", "conf/prompt": "brief_box"}
# Where a recipe's own tiny settings are, by the group that chooses them.
_TINY_FILES = {
    "conf/scale/_tiny": "scale/_tiny/{}.yaml",
    "conf/data": "data/_tiny_{}.yaml",
    "conf/prompt": "prompt/_tiny_{}.yaml",
}


def lineage(recipe: str) -> list[str]:
    """The recipe and those that its defaults list is built on, nearest first."""
    names = [recipe]
    for entry, choice in _defaults(recipe):
        parent = entry.rpartition("/")[2]
        if choice is None and parent in choices():
            names += lineage(parent)
    return names


def learns_boxes(recipe: str) -> bool:
    """Whether the data that a recipe chooses are boxes.

    >>> learns_boxes("vrft_aug_localize"), learns_boxes("vrft_aug")
    (True, False)
    """
    for parent in lineage(recipe):
        for group, choice in _defaults(parent):
            if group.removeprefix("override ") == "/conf/data":
                return str(choice).endswith(("_boxes", "_localisation"))
    return False


def tiny_choices(recipe: str) -> dict[str, str]:
    """{group: choice} that conf/scale=tiny needs for a recipe without tiny settings of its own, else {}.

    It takes those of the recipe that it is built on, else of one with the same stages; where its stages are
    no others than TINY_STAGES, phantoms of classes or of boxes.

    Raises UserError where it has stages that nothing is known of at a tiny scale.
    """
    models = lineage(recipe)
    if not any(_has_tiny_file("conf/scale/_tiny", name) for name in models):
        alike = [name for name in choices() if _is_alike(name, recipe)]
        if not alike:
            _check_stages(recipe)
        models += alike
    boxes = learns_boxes(recipe)
    chosen = dict(BOX_PHANTOMS if boxes else CLASS_PHANTOMS)
    for group, pattern in _TINY_FILES.items():
        for name in models:
            fits = group == "conf/scale/_tiny" or learns_boxes(name) == boxes
            if fits and _has_tiny_file(group, name):
                chosen[group] = pattern.format(name).removesuffix(".yaml").rpartition("/")[2]
                break
        if _has_tiny_file(group, recipe):
            del chosen[group]
    return chosen


def _has_tiny_file(group: str, recipe: str) -> bool:
    return (root() / "conf" / _TINY_FILES[group].format(recipe)).is_file()


def _is_alike(name: str, recipe: str) -> bool:
    """Whether another recipe that has tiny settings has the stages and the kind of data of `recipe`."""
    is_other = name != recipe and _has_tiny_file("conf/scale/_tiny", name)
    return is_other and _stages(name) == _stages(recipe) and learns_boxes(name) == learns_boxes(recipe)


def _stages(recipe: str) -> list[list[str]]:
    """The lists of stages that a recipe's own file gives: one, or one for each arm."""
    conf = _load(recipe).get("conf") or {}
    return list((conf.get("stages_of") or {}).values()) or [conf.get("stages") or []]


def _check_stages(recipe: str) -> None:
    unknown = [stage for stage in dict.fromkeys(sum(_stages(recipe), [])) if stage not in TINY_STAGES]
    if unknown:
        examples = sorted(path.stem for path in (root() / "conf/scale/_tiny").glob("*.yaml"))
        raise UserError(
            f"conf={recipe} has the stages {', '.join(unknown)}, and conf/scale=tiny knows no small settings "
            f"for them: by itself it runs {', '.join(TINY_STAGES)}. Write conf/scale/_tiny/{recipe}.yaml "
            "with conf.stages and what they need, build the recipe on one that has such a file (defaults: "
            f"[{examples[0]}, _self_]; there are {', '.join(examples)}), or take conf/scale=paper."
        )


def _load(recipe: str) -> dict:
    return OmegaConf.to_container(OmegaConf.load(root() / "conf" / f"{recipe}.yaml"), resolve=False)


def _defaults(recipe: str) -> Iterator[tuple[str, str | None]]:
    """(group, choice) of the entries of a recipe's defaults list; (name, None) of one that names a file."""
    for entry in _load(recipe).get("defaults") or ():
        yield from {entry: None}.items() if isinstance(entry, str) else entry.items()
