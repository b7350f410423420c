"""Which rows models are tested on: the run's own, and further sets prepared beside them."""

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.data.parquet import count_rows, read_samples, write_split
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.evaluated import eval_sets
from medical_rl.stages.common.further_sets import further_sets

TINY = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/data=phantom_vqa")
SIZES = "{warm_start: 6, train: 12, val: 6, test: 6}"
OTHERS = f"{{choice: phantom_vqa, name: others, params: {{modalities: [dark], sizes: {SIZES}}}}}"


def composed(further, *overrides):
    return compose(
        [*TINY, f"conf.data.params.sizes={SIZES}", f"conf.evaluation.data=[{further}]", *overrides]
    )


@pytest.fixture
def run(tmp_path):
    """Prepares the run's own data and gives what `measured_on` finds."""

    def go(config):
        folder = RunFolder(tmp_path / "run")
        folder.create()
        data, prompt = (
            OmegaConf.to_container(config.conf[name], resolve=True) for name in ("data", "prompt")
        )
        if not (folder.path / "data").exists():
            prepare(data, prompt, folder.path / "data", seed=1, batch_size=4)
        return folder, eval_sets(config, folder)

    return go


def test_without_further_sets_only_the_runs_own_rows_are_measured_on(run):
    folder, (own,) = run(composed(""))
    assert own.name == "phantom_vqa" and own.rows == folder.path / "data" / "test.parquet"
    assert own.folder == "" and own.left_out == frozenset()
    assert "Phantom images drawn by code. They are not medical images." in own.notes


def test_a_further_set_is_prepared_beside_the_runs_own_with_its_one_split(run):
    folder, (own, others) = run(composed(OTHERS))
    assert others.rows == folder.path / "data_others" / "test.parquet"
    assert sorted(p.stem for p in others.rows.parent.glob("*.parquet")) == ["test"]
    assert {s.meta["modality"] for s in read_samples(others.rows)} == {"dark"}
    assert len({s.meta["modality"] for s in read_samples(own.rows)}) > 1, (
        "the run's own rows stay what they were"
    )
    assert others.prompt == own.prompt and others.folder == "others"


def test_a_second_call_prepares_nothing_anew(run):
    config = composed(OTHERS)
    _, (_, first) = run(config)
    before = first.rows.stat().st_mtime_ns
    _, (_, again) = run(config)
    assert again.rows.stat().st_mtime_ns == before


def test_a_set_may_have_a_prompt_of_its_own(run):
    _, (own, other) = run(
        composed(f"{{choice: phantom_vqa, name: asked, prompt: class_names, params: {{sizes: {SIZES}}}}}")
    )
    assert (own.prompt["name"], other.prompt["name"]) == ("brief", "class_names")


def test_rows_whose_image_the_run_trains_on_are_left_out_and_counted(run, tmp_path):
    config = composed(OTHERS)
    folder, (own, others) = run(config)
    assert others.left_out == frozenset()
    # the further set's first two test rows, put among the training rows
    leaked = list(read_samples(others.rows))[:2]
    trained = [*read_samples(folder.path / "data" / "train.parquet"), *leaked]
    write_split(trained, folder.path / "data" / "train.parquet", own.prompt)
    others = eval_sets(config, folder)[1]
    assert others.left_out == {sample.id for sample in leaked}
    assert others.notes[-1] == "others: 2 rows are left out, whose image this run trains on."


def test_the_seed_and_other_settings_are_the_runs():
    ((data, _),) = further_sets(composed("{choice: phantom_vqa, name: x}", "conf.seed=7"))
    assert data["params"]["seed"] == 7 and data["only"] == ["test"]


@pytest.mark.parametrize(
    "further, complaint",
    [
        ("mmmu_medicl", "no choice of conf/data 'mmmu_medicl'. Did you mean 'mmmu_medical'"),
        ("phantom_vqa", "Two sets that are evaluated are named 'phantom_vqa'"),
        ("omnimedvqa", "omnimedvqa needs source"),
        (
            "{choice: phantom_grading, modalities: [dark]}",
            "no field of conf/data=phantom_grading 'modalities'",
        ),
        ("{choice: phantom_grading, prompt: nosuch}", "nosuch"),
        ("{name: x}", "no choice of conf/data 'None'"),
    ],
)
def test_a_wrong_entry_is_explained_before_anything_runs(further, complaint):
    from medical_rl.pipeline.validate import check_config

    with pytest.raises(UserError, match=complaint):
        check_config(composed(further))


def test_composing_a_choice_leaves_hydras_own_state_alone():
    from hydra.core.global_hydra import GlobalHydra

    from medical_rl.config.compose import choose

    held = GlobalHydra.instance().hydra
    assert choose("data", "phantom_vqa").name == "phantom_vqa"
    assert GlobalHydra.instance().hydra is held


def test_the_scored_rows_are_those_that_are_not_left_out_with_their_groups(run, tmp_path):
    import json

    from medical_rl.stages.common.evaluate import score
    from medical_rl.stages.common.evaluated import EvalSet

    _, (own,) = run(composed(""))
    samples = list(read_samples(own.rows))
    responses = tmp_path / "responses.jsonl"
    lines = [{"id": s.id, "response": f"\\boxed{{{s.answer}}}", "finish": "stop"} for s in samples]
    responses.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = EvalSet(own.name, own.rows, own.prompt, left_out=frozenset([samples[0].id]))
    records = score(out, responses, None)
    assert [r["id"] for r in records] == [s.id for s in samples[1:]]
    assert len(records) == count_rows(own.rows) - 1 and all(r["correct"] for r in records)
    assert records[0]["groups"] == {k: samples[1].meta[k] for k in ("modality", "question_type")}
