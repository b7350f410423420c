"""`conf.data.train_where`: a model trained on one modality and tested on all of them."""

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError

PROMPT = {"name": "p", "template": "{{ question }}", "target": "<answer>{{ answer }}</answer>"}
DATA = {
    "name": "phantom_vqa",
    "reader": "phantoms",
    "source": None,
    "only": ["train", "val", "test"],
    "params": {"task": "vqa", "sizes": {"train": 60, "val": 60, "test": 60}},
}


def modalities(folder, split):
    return {s.meta["modality"] for s in read_samples(folder / f"{split}.parquet", with_images=False)}


def test_training_and_validation_see_one_modality_and_the_test_all(tmp_path):
    card = prepare(
        {**DATA, "train_where": {"modality": ["dark"]}}, PROMPT, tmp_path / "d", seed=0, batch_size=4
    )
    assert modalities(tmp_path / "d", "train") == modalities(tmp_path / "d", "val") == {"dark"}
    assert modalities(tmp_path / "d", "test") == {"bright", "dark", "speckled"}
    # 60 rows are 5 grades x 3 modalities x 2 question types, twice: 20 are dark
    assert card["splits"]["train"]["rows"] == 20
    assert "train: 20 of 60 rows were kept (train_where={'modality': ['dark']})." in card["changes"]


def test_two_keys_must_both_hold(tmp_path):
    wanted = {"modality": ["dark", "bright"], "question_type": ["side"]}
    card = prepare({**DATA, "train_where": wanted}, PROMPT, tmp_path / "d", seed=0, batch_size=4)
    assert card["splits"]["train"]["rows"] == 20  # 2 modalities x 5 grades x 1 type, twice


def test_a_value_that_no_row_has_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match="keeps no row of train. There are modality: bright, dark, speckled"):
        prepare({**DATA, "train_where": {"modality": ["MRI"]}}, PROMPT, tmp_path / "d", seed=0, batch_size=4)
    assert not (tmp_path / "d" / "train.parquet").exists()


def test_another_choice_is_another_preparation(tmp_path):
    prepare(DATA, PROMPT, tmp_path / "d", seed=0, batch_size=4)
    prepare({**DATA, "train_where": {"modality": ["dark"]}}, PROMPT, tmp_path / "d", seed=0, batch_size=4)
    assert modalities(tmp_path / "d", "train") == {"dark"}


def test_by_hand_as_in_a_configuration(tmp_path, capsys):
    from medical_rl.data.prepare import command

    add = lambda parser: parser.add_argument("--task")  # noqa: E731
    out = ["--source", "none", "--out", str(tmp_path / "d"), "--task", "vqa", "--only", "train", "test"]
    assert command.run("phantoms", [*out, "--train-where", "modality=dark,bright"], add) == 0
    assert modalities(tmp_path / "d", "train") == {"dark", "bright"}
    with pytest.raises(SystemExit) as stopped:
        command.run("phantoms", [*out, "--train-where", "modality"], add)
    assert stopped.value.code == 2 and "is not KEY=VALUE" in capsys.readouterr().err
