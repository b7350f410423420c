"""Every file below conf/: it composes, its fields carry comments, and files that are no choices stay hidden."""

import re
import shutil

import pytest
from omegaconf import OmegaConf

from medical_rl.config import compose as composing
from medical_rl.config import recipes
from medical_rl.config.arguments import with_default_scale_and_engine
from medical_rl.config.compose import choices, compose, groups
from medical_rl.errors import UserError

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


# A new recipe: what it is made of, and the phantoms and stages it has at the tiny scale.
BUILT_ON = """# @package _global_
defaults:
  - {parent}
  - _self_
  - override /conf/rewards: accuracy_format
conf:
  recipe: new
"""
PLAIN = ["prepare", "warm_start", "rl", "evaluate"]
LOOP = ["prepare", "reward_model", "loop", "best", "evaluate"]


@pytest.fixture
def new_recipe(root, tmp_path, monkeypatch):
    """A function that writes conf/new.yaml in a copy of conf/ and composes it by the command line's own arguments."""
    shutil.copytree(root / "conf", tmp_path / "conf")
    for module in (composing, recipes):
        monkeypatch.setattr(module, "root", lambda: tmp_path)

    def write_and_compose(text, scale):
        (tmp_path / "conf" / "new.yaml").write_text(text)
        arguments, _ = with_default_scale_and_engine(["conf=new", f"conf/scale={scale}", "conf/engine=cpu"])
        return compose(arguments).conf

    return write_and_compose


@pytest.mark.parametrize(
    "parent, data, prompt, stages",
    [
        ("vrft_aug", "phantom_grading", "brief", PLAIN),
        (
            "vrft_aug_localize",
            "phantom_localisation",
            "brief_box",
            ["prepare", "warm_start", "localize_rl", "evaluate"],
        ),
        ("medgr2", "phantom_vqa", "brief_tagged", LOOP),
    ],
)
def test_one_file_built_on_another_recipe_is_a_recipe_at_both_scales(
    new_recipe, parent, data, prompt, stages
):
    text = BUILT_ON.format(parent=parent)
    tiny, paper = new_recipe(text, "tiny"), new_recipe(text, "paper")
    assert tiny.recipe == paper.recipe == "new" and set(paper.rewards.terms) == {"accuracy", "format"}
    assert (tiny.data.name, tiny.prompt.name, list(tiny.stages)) == (data, prompt, stages)
    assert (
        paper.data.name == compose([f"conf={parent}", "conf/scale=paper", "conf/engine=cpu"]).conf.data.name
    )


@pytest.mark.parametrize("source, data", [("vrft_aug", "phantom_grading"), ("medfact_r1", "phantom_reports")])
def test_a_copy_of_a_recipe_has_its_phantoms(new_recipe, root, source, data):
    text = (root / "conf" / f"{source}.yaml").read_text().replace(f"recipe: {source}", "recipe: new")
    assert new_recipe(text, "tiny").data.name == data
    assert new_recipe(text, "paper").recipe == "new"


@pytest.mark.parametrize(
    "data, phantoms", [("dermamnist", "phantom_grading"), ("heel_boxes", "phantom_localisation")]
)
def test_a_recipe_that_stands_alone_gets_phantoms_of_its_kind_of_data(new_recipe, root, data, phantoms):
    text = (root / "conf" / "vrft_aug.yaml").read_text()
    text = re.sub(r"(?m)^  stages_of: .*\n", "", text).replace(
        "${conf.stages_of.${conf.arm}}", "[prepare, rl, evaluate]"
    )
    text = text.replace("/conf/data: pneumoniamnist", f"/conf/data: {data}")
    tiny = new_recipe(text, "tiny")
    assert tiny.data.name == phantoms and list(tiny.stages) == PLAIN
    assert new_recipe(text, "paper").data.name == data


def test_stages_that_nothing_small_is_known_of_are_said_with_what_to_write(new_recipe, root):
    text = (root / "conf" / "medgr2.yaml").read_text().replace("loop, best, evaluate]", "loop, evaluate]")
    assert list(new_recipe(text, "paper").stages) == ["prepare", "reward_model", "loop", "evaluate"]
    with pytest.raises(UserError, match=r"stages reward_model, loop.*conf/scale/_tiny/new\.yaml.*medgr2"):
        new_recipe(text, "tiny")
