"""Small parts of the stages: which model is meant, what is kept on disk, whether two steps of a user fit together."""

import json

import pytest

from medical_rl.errors import UserError
from medical_rl.stages.common.models import is_local, resolve_model
from medical_rl.stages.common.rl import keep_newest


def saved(checkpoints, *steps, whole=True):
    for step in steps:
        actor = checkpoints / f"global_step_{step}" / "actor"
        actor.mkdir(parents=True)
        if whole:
            (actor / "model_world_size_1_rank_0.pt").write_text("x")
    (checkpoints / "latest_checkpointed_iteration.txt").write_text("6")


def left(checkpoints):
    return sorted(int(p.name.split("_")[-1]) for p in checkpoints.glob("global_step_*"))


def test_the_newest_whole_steps_are_kept_and_shells_go(tmp_path):
    saved(tmp_path, 2, 4, 6)
    saved(tmp_path, 5, whole=False)
    assert keep_newest(tmp_path, 2) == [2, 5]
    assert left(tmp_path) == [4, 6]


def test_a_save_cut_short_is_neither_counted_nor_touched(tmp_path):
    saved(tmp_path, 4, 6, 8)  # the tracker says 6: step 8 was being written
    keep_newest(tmp_path, 1)
    assert left(tmp_path) == [6, 8]


def test_all_are_kept_where_no_number_is_given_and_nothing_happens_before_the_first(tmp_path):
    assert keep_newest(tmp_path, 2) == []
    saved(tmp_path, 2, 4, 6)
    assert keep_newest(tmp_path, None) == [] and left(tmp_path) == [2, 4, 6]


@pytest.mark.parametrize(
    "path, local",
    [("/a/b", True), ("./m", True), ("~/m", True), ("model", True), ("Qwen/Qwen2.5-VL-3B-Instruct", False)],
)
def test_a_hub_id_is_owner_slash_name(path, local):
    assert is_local(path) is local


def test_a_model_folder_without_weights_says_so(tmp_path):
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        resolve_model(str(tmp_path))


def test_rl_without_its_warm_start_says_what_to_add(tmp_path):
    from medical_rl.config.compose import compose
    from medical_rl.run.folder import RunFolder
    from medical_rl.stages.common.models import starting_model

    config = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])
    with pytest.raises(UserError, match="warm_start to conf.stages.*conf/warm_start=none"):
        starting_model(config, RunFolder(tmp_path), "rl")


def test_a_response_with_a_line_separator_inside_is_one_response(tmp_path):
    """U+2028 and U+0085 end a line for `str.splitlines`, and JSON leaves them as they are."""
    from medical_rl.data.parquet import write_split
    from medical_rl.sample import Sample
    from medical_rl.stages.common.evaluate import score
    from medical_rl.stages.common.evaluated import EvalSet

    row = Sample(id="1", source="demo", question="?", kind="yes_no", answer="yes")
    write_split([row], tmp_path / "rows.parquet", {"template": "{{ question }}"})
    said = "<think>a\u2028b\u0085c</think> \\boxed{yes}"
    line = json.dumps({"id": "1", "response": said, "finish": "stop"}, ensure_ascii=False)
    (tmp_path / "responses.jsonl").write_text(line + "\n", encoding="utf-8")
    (record,) = score(EvalSet("demo", tmp_path / "rows.parquet", {}), tmp_path / "responses.jsonl", None)
    assert record["correct"] and record["response"] == said
