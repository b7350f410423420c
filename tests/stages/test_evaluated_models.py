"""Which models an evaluation lists, in which order, under which names."""

import pytest

from medical_rl.config.compose import compose
from medical_rl.errors import UserError
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.evaluated import evaluated_models, trained_models


@pytest.fixture
def config():
    return compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])


@pytest.fixture
def folder(tmp_path):
    """Makes a run folder whose stages are done and have left a model each; `inputs` of a stage by its name."""

    def make(*stages, **inputs):
        run = RunFolder(tmp_path / "run")
        run.create()
        write_json(run.manifest_file, {"stages": {}})
        for stage in ("prepare", *stages):
            name = "base" if stage == "prepare" else stage
            path = run.path / "checkpoints" / name / "huggingface"
            path.mkdir(parents=True)
            (path / "config.json").write_text(stage)
            outputs = {"model": run.describe(f"checkpoints/{name}/huggingface")}
            run.update_stage(stage, status="done", outputs=outputs, inputs=inputs.get(stage, {}))
        return run

    return make


def listed(found):
    return [(one.name, one.round, one.file) for one in found]


def test_a_plain_run_lists_base_warm_start_and_rl_whatever_the_manifests_order(config, folder):
    found, notes = evaluated_models(config, folder("rl", "warm_start"))
    assert listed(found) == [("base", None, "base"), ("warm_start", None, "warm_start"), ("rl", None, "rl")]
    assert notes == []


def test_a_loop_lists_its_rounds_in_order_of_number_warm_start_before_rl(config, folder):
    stages = [f"round_{k}/{name}" for k in (10, 2, 1) for name in ("rl", "warm_start")]
    found, _ = evaluated_models(config, folder(*stages))
    expected = [(name, k, f"round_{k}.{name}") for k in (1, 2, 10) for name in ("warm_start", "rl")]
    assert listed(found) == [("base", None, "base"), *expected]
    assert found[3].model.endswith("checkpoints/round_2/warm_start/huggingface")


def test_other_stages_that_leave_a_model_are_no_policy(config, folder):
    run = folder("reward_model", "round_1/reward_model", "round_1/rl", "distil")
    assert listed(trained_models(config, run)[0]) == [("rl", 1, "round_1.rl")]


def test_rival_arms_in_one_folder_stand_side_by_side_after_what_they_begin_from(config, folder):
    names = ["warm_start", "sft", "rl", "localize_sft", "localize_rl"]
    run = folder(*reversed(names))
    assert listed(trained_models(config, run)[0]) == [(name, None, name) for name in names]


def test_a_stage_that_is_not_done_is_left_out(config, folder):
    run = folder("warm_start", "rl")
    run.update_stage("rl", status="running")
    assert listed(trained_models(config, run)[0]) == [("warm_start", None, "warm_start")]


def test_a_model_of_an_earlier_warm_start_is_left_out_and_named(config, folder):
    run = folder("warm_start", "rl", rl={"warm_start/model": "another hash"})
    found, notes = trained_models(config, run)
    assert listed(found) == [("warm_start", None, "warm_start")]
    assert len(notes) == 1 and notes[0].startswith("rl was trained from inputs that have changed")


def test_a_warm_start_that_the_recipe_no_longer_has_is_left_out(folder):
    config = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/warm_start=none"])
    assert listed(trained_models(config, folder("warm_start", "rl"))[0]) == [("rl", None, "rl")]


def test_further_models_come_last_under_the_name_that_was_given(folder, tmp_path):
    other = tmp_path / "rl"  # named as a stage is: its predictions must not be taken for the run's
    other.mkdir()
    for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
        (other / name).write_text("{}")
    config = compose(
        ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", f"conf.evaluation.models=[{other},{other}]"]
    )
    found, _ = evaluated_models(config, folder("rl"))
    assert [one.name for one in found] == ["base", "rl", str(other)]
    assert found[2].file.startswith("model.") and found[2].file != found[1].file
    assert found[2].model == str(other)


def test_a_further_model_that_is_not_there_is_named_with_its_setting(folder):
    config = compose(
        ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf.evaluation.models=[/no/such]"]
    )
    with pytest.raises(UserError, match="/no/such is not a model folder.*conf.evaluation.models takes"):
        evaluated_models(config, folder("rl"))
