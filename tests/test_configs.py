"""Every file below conf/: it composes, its fields carry comments, and files that are no choices stay hidden."""

import re

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import choices, compose, groups

# what a choice needs beside it to be complete
WITH = {
    ("model", "custom"): ["conf.model.path=/some/model"],
    ("engine", "multi_node"): ["conf/scale=paper"],
    ("reward_model", "endpoint"): ["conf.reward_model.base_url=http://localhost:8000"],
}
# groups that one recipe alone has
OF_RECIPE = {
    **dict.fromkeys(("loop", "generator", "reward_training"), "medgr2"),
    **dict.fromkeys(
        ("retriever", "calibration", "labeller", "alignment", "warm_start/source", "ablation"), "medfact_r1"
    ),
}
# choices that one recipe alone has use for
OF_ONE = {("sft", "vrft_aug_localize"): "vrft_aug_localize", ("prompt", "brief_box"): "vrft_aug_localize"}
EVERY = [(group, name) for group in groups() for name in choices(group)]


@pytest.mark.parametrize("group, name", EVERY)
def test_every_choice_of_every_group_composes_and_resolves(group, name):
    base = {"scale": "tiny", "engine": "cpu"} | {group: name}
    recipe = OF_ONE.get((group, name)) or OF_RECIPE.get(group, "vrft_aug")
    config = compose(
        [f"conf={recipe}", *(f"conf/{g}={n}" for g, n in base.items()), *WITH.get((group, name), [])]
    )
    resolved = OmegaConf.to_container(config, resolve=True)
    if group in ("data", "model", "prompt", "engine", "retriever", "labeller"):
        assert resolved["conf"][group]["name"] == name


def test_every_field_has_a_comment_above_it(root):
    bare = []
    for path in sorted((root / "conf").rglob("*.yaml")):
        lines = path.read_text().splitlines()
        inside_defaults = False
        for before, line in zip([""] + lines, lines, strict=False):
            inside_defaults = line.startswith("defaults:") or (inside_defaults and line.startswith("  - "))
            field = re.match(r"^(\s*)([\w.]+):(\s+\S.*)?$", line)
            if not field or inside_defaults or line.startswith("defaults:"):
                continue
            if field[3] is not None and not before.strip().startswith("#"):
                bare.append(f"{path.relative_to(root)}: {line.strip()}")
    assert bare == []


def test_shared_parts_are_no_choices():
    assert not [name for _, name in EVERY if name.startswith("_")]
    assert "_common" not in choices("engine") and "cpu" in choices("engine")


@pytest.mark.parametrize("scale", ["tiny", "paper"])
@pytest.mark.parametrize("recipe", ["vrft_aug", "vrft_aug_localize", "medgr2", "medfact_r1"])
def test_another_mix_of_rewards_keeps_nothing_of_a_recipes_own(recipe, scale):
    config = compose(
        [f"conf={recipe}", f"conf/scale={scale}", "conf/engine=cpu", "conf/rewards=accuracy_format"]
    )
    assert set(config.conf.rewards.terms) == {"accuracy", "format"}
