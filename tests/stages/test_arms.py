"""VRFT-Aug's arms: which stages each has, from which model it begins, and what the supervised one asks of verl."""

import json

import pytest

from medical_rl.config.arguments import with_default_scale_and_engine
from medical_rl.config.compose import compose
from medical_rl.data.parquet import read_samples
from medical_rl.engine.verl.settings import sft_overrides
from medical_rl.errors import UserError
from medical_rl.pipeline.fingerprint import stage_config
from medical_rl.pipeline.validate import check_config
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages import needs, planned
from medical_rl.stages.common.further_sets import prepare_warm_start_sets
from medical_rl.stages.common.models import starting_model

TINY = ("conf/scale=tiny", "conf/engine=cpu")
PAPER = ("conf/scale=paper", "conf/engine=gpu_node", "conf.data.source=/data/x", "conf.engine.ranks=2")
STAGES = {
    ("vrft_aug", "conf.arm=rl"): ["rl"],
    ("vrft_aug", "conf.arm=sft"): ["sft"],
    ("vrft_aug_localize", "conf.localize.by=rl"): ["localize_rl"],
    ("vrft_aug_localize", "conf.localize.by=sft"): ["localize_sft"],
}


@pytest.mark.parametrize(("recipe", "chosen"), STAGES)
def test_an_arm_trains_its_own_stage_after_a_warm_start_at_a_tiny_scale_only(recipe, chosen):
    own = STAGES[recipe, chosen]
    for scale, warm in ((PAPER, []), (TINY, ["warm_start"])):
        config = compose([f"conf={recipe}", *scale, chosen])
        check_config(config)
        assert planned(config.conf) == ["prepare", *warm, *own, "evaluate"]


@pytest.mark.parametrize(("recipe", "name"), [("vrft_aug", "arm"), ("vrft_aug_localize", "localize.by")])
def test_an_arm_that_is_none_is_told_with_those_there_are(recipe, name):
    with pytest.raises(UserError, match=f"no conf.{name} 'dpo'.*Available: rl, sft"):
        check_config(compose([f"conf={recipe}", *TINY, f"conf.{name}=dpo"]))


def test_a_set_is_named_plainly_where_boxes_are_learned_and_elsewhere_means_its_classes():
    for recipe, meant in (("vrft_aug_localize", "ham10000_boxes,heel_boxes"), ("vrft_aug", "ham10000,heel")):
        arguments, _ = with_default_scale_and_engine(
            [f"conf={recipe}", "conf/data=ham10000,heel", *TINY, "-m"]
        )
        assert f"conf/data={meant}" in arguments
    config = compose(["conf=vrft_aug_localize", *PAPER])
    assert config.conf.data.name == "ham10000_boxes"


@pytest.mark.parametrize("data", ["ham10000", "heel"])
def test_boxes_are_asked_for_without_attributes_and_of_heel_the_bone_s(data):
    # VRFT-Aug, appendix A.5: the detection prompt has none; A.2: "localizing the heel bone region"
    arguments, _ = with_default_scale_and_engine(["conf=vrft_aug_localize", f"conf/data={data}", *PAPER])
    conf = compose(arguments).conf
    assert conf.knowledge.name == "none" and not conf.knowledge.attributes
    assert conf.data.params.get("target", "bone") == "bone" and conf.data.name == f"{data}_boxes"


def test_every_arm_begins_from_the_warm_start_where_there_is_one(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    write_json(run.manifest_file, {"stages": {}})
    for stage, name in (("prepare", "base"), ("warm_start", "warm_start")):
        (tmp_path / "checkpoints" / name / "huggingface").mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "huggingface" / "config.json").write_text(name)
        outputs = {"model": run.describe(f"checkpoints/{name}/huggingface")}
        run.update_stage(stage, status="done", outputs=outputs, inputs={})
    for recipe, chosen in STAGES:
        (stage,) = STAGES[recipe, chosen]
        config = compose([f"conf={recipe}", *TINY, chosen])
        assert starting_model(config, run, stage).endswith("checkpoints/warm_start/huggingface")
        config.conf.warm_start.enabled = False
        assert starting_model(config, run, stage).endswith("checkpoints/base/huggingface")
        assert {"prepare", "warm_start"} <= set(needs(stage, config.conf)) and stage in needs(
            "evaluate", config.conf
        )


def test_verl_is_asked_for_the_papers_supervised_arm():
    config = compose(["conf=vrft_aug", *PAPER, "conf.arm=sft"])
    asked, _ = sft_overrides(
        config, "/m", {"train": "/t.parquet", "val": "/v.parquet"}, "/c", 600, config.conf.sft, "sft"
    )
    given = dict(one.lstrip("+").split("=", 1) for one in asked)
    # 600 rows are 2 batches of 256 a pass: 120 steps take 60 passes
    assert (given["trainer.total_training_steps"], given["trainer.total_epochs"]) == ("120", "60")
    assert (given["data.train_batch_size"], given["optim.lr"], given["optim.lr_scheduler_type"]) == (
        "256",
        "1e-06",
        "'constant'",
    )
    assert given["trainer.save_freq"] == "20" and given["data.train_files"] == "['/t.parquet']"
    config = compose(["conf=vrft_aug_localize", *PAPER, "conf.localize.by=sft"])
    files = {"train": "/t.parquet", "val": "/v.parquet", "also": ["/a.parquet"]}
    asked, _ = sft_overrides(config, "/m", files, "/c", 1000, config.conf.sft, "localize_sft")
    given = dict(one.lstrip("+").split("=", 1) for one in asked)
    # 1,000 rows in batches of 4, twice
    assert (given["trainer.total_training_steps"], given["trainer.total_epochs"]) == ("500", "2")
    assert given["data.train_files"] == "['/t.parquet','/a.parquet']"


def test_a_setting_of_one_arm_does_not_undo_the_other():
    one, other = (
        compose(["conf=vrft_aug", *TINY, f"conf.sft.lr={rate}", f"conf.arm={arm}"])
        for rate, arm in ((1e-3, "sft"), (1e-4, "rl"))
    )
    assert stage_config(one, "sft") != stage_config(other, "sft")
    for stage in ("prepare", "warm_start", "rl", "evaluate"):
        assert stage_config(one, stage) == stage_config(other, stage), stage


def test_the_stand_in_for_an_instruct_model_also_learns_classes_each_in_its_own_prompt(tmp_path):
    config = compose(["conf=vrft_aug_localize", *TINY, "conf.data.classes.0.params.sizes.warm_start=9"])
    ((rows, prompt),) = prepare_warm_start_sets(config, tmp_path)
    samples = list(read_samples(rows))
    assert (
        len(samples) == 9
        and {s.kind for s in samples} == {"grade"}
        and {s.split for s in samples} == {"warm_start"}
    )
    assert prompt["name"] == "brief"
    told = json.loads((rows.parent / "card.json").read_text())["about"]["notes"]
    assert any("wrong on purpose" in note for note in told), "its labels are imperfect too"
    assert prepare_warm_start_sets(compose(["conf=vrft_aug_localize", *PAPER]), tmp_path / "paper") == []
