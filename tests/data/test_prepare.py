import dataclasses
import json

import pytest

from medical_rl.data import parquet
from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError

PROMPT = command.load_prompt("class_names")


def run(data, out, seed=0, batch_size=1, prompt=PROMPT):
    return prepare.prepare(data, prompt, out, seed, batch_size)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ids(path):
    return [sample.id for sample in parquet.read_samples(path)]


def test_prepared_folder_holds_three_splits_and_a_card(config, tmp_path):
    card = run(config(), tmp_path / "out")
    assert names(tmp_path / "out") == [
        "README.md",
        "card.json",
        "test.parquet",
        "train.parquet",
        "val.parquet",
    ]
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {
        "train": 12,
        "val": 4,
        "test": 6,
    }
    assert card["splits"]["test"]["majority_rate"] == 0.5  # labels 0, 1, 0, 1, 0, 1
    assert json.loads((tmp_path / "out/card.json").read_text()) == card
    for split in card["splits"]:
        parquet.check_columns(tmp_path / f"out/{split}.parquet")


def test_readme_tells_source_licence_checksums_and_what_was_altered(config, tmp_path):
    card = run(config(shots=2), tmp_path / "out", seed=7)
    text = (tmp_path / "out/README.md").read_text()
    for part in (
        "PneumoniaMNIST",
        "CC BY 4.0",
        "Not for clinical use",
        "train has 12 rows, official 4,708",
        "Seed: 7",
        "train: 4 of 12 rows were kept (shots=2)",
        "no patient ids",
        "| normal | 2 | 2 | 3 |",
        card["about"]["md5"],
        card["about"]["official_md5"],
        card["files"]["val.parquet"],
    ):
        assert part in text
    assert str(tmp_path) not in text


def test_shots_and_limit_are_for_train_and_test_per_class_for_test(config, tmp_path):
    card = run(config(shots=3, limit=5, test_per_class=1), tmp_path / "out")
    assert [card["splits"][s]["rows"] for s in ("train", "val", "test")] == [5, 4, 2]
    assert card["splits"]["test"]["labels"] == {"normal": 1, "pneumonia": 1}
    assert "train: 5 of 12 rows were kept (shots=3, limit=5)." in card["changes"]
    assert "test: 2 of 6 rows were kept (test_per_class=1)." in card["changes"]


def test_train_can_be_balanced_or_chosen_by_score(config, toy, make_sample, tmp_path):
    card = run(config(balanced=5), tmp_path / "balanced")
    assert (
        sorted(card["splits"]["train"]["labels"].values()) == [2, 3] and card["splits"]["test"]["rows"] == 6
    )
    assert "train: 5 of 12 rows were kept (balanced=5)." in card["changes"]
    rows = {
        split: [make_sample(f"{split}/{i}", split=split, meta={"s": i}) for i in range(6)]
        for split in ("train", "val", "test")
    }
    card = run(toy(rows) | {"top_k": 2, "score": "s"}, tmp_path / "top")
    assert ids(tmp_path / "top/train.parquet") == ["train/4", "train/5"]
    assert "train: 2 of 6 rows were kept (top_k=2, score=s)." in card["changes"]
    assert run(toy(rows) | {"top_k": 3, "score": "s"}, tmp_path / "top")["splits"]["train"]["rows"] == 3


def test_train_is_repeated_to_one_batch_and_only_train(config, tmp_path):
    card = run(config(shots=2), tmp_path / "out", batch_size=32)
    assert card["splits"]["train"]["rows"] == 32 and card["splits"]["train"]["distinct"] == 4
    assert card["splits"]["val"]["rows"] == 4
    assert "train: 4 rows were repeated to 32, to fill one batch." in card["changes"]
    assert len(set(ids(tmp_path / "out/train.parquet"))) == 4


def test_enough_rows_are_not_repeated_and_lose_none(config, tmp_path):
    run(config(), tmp_path / "out", batch_size=5)
    assert ids(tmp_path / "out/train.parquet") == [f"pneumoniamnist/train/{i}" for i in range(12)]


def test_too_few_rows_are_an_error_where_repeating_is_off(config, tmp_path):
    with pytest.raises(UserError, match="train has 12 rows, fewer than one batch of 13"):
        run(config(train_repeat=False), tmp_path / "out", batch_size=13)
    assert names(tmp_path / "out") == []


def test_a_group_in_two_splits_is_a_leak_and_exits_1(toy, three_splits, tmp_path):
    three_splits["test"][0] = dataclasses.replace(three_splits["test"][0], group="patient 9")
    three_splits["train"][2] = dataclasses.replace(three_splits["train"][2], group="patient 9")
    with pytest.raises(prepare.BadSplit, match="1 groups .* both train and test.*'patient 9'") as error:
        run(toy(three_splits), tmp_path / "out")
    assert error.value.exit_code == 1
    assert names(tmp_path / "out") == []


def test_warm_start_may_share_groups_with_train_but_not_with_test(toy, three_splits, make_sample, tmp_path):
    warm = {"warm_start": [make_sample("w", group="train/0")], **three_splits}
    assert list(run(toy(warm), tmp_path / "out")["splits"]) == ["warm_start", "train", "val", "test"]
    assert parquet.count_rows(tmp_path / "out/warm_start.parquet") == 1
    warm["warm_start"] = [make_sample("w", group="test/0")]
    with pytest.raises(prepare.BadSplit, match="both warm_start and test"):
        run(toy(warm), tmp_path / "other")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_split_exits_1(toy, three_splits, tmp_path, split):
    three_splits[split] = []
    with pytest.raises(prepare.BadSplit, match=f"split {split} of toy has no rows"):
        run(toy(three_splits), tmp_path / "out", batch_size=4)


def test_identical_images_across_splits_are_told_not_refused(toy, three_splits, tmp_path):
    card = run(toy(three_splits), tmp_path / "out")  # every sample of the fixture has the same picture
    assert "1 images of test are identical to images of train." in card["warnings"]
    assert card["warnings"][1] in (tmp_path / "out/README.md").read_text()


def test_dropped_rows_and_phantoms_are_in_the_card(toy, three_splits, tmp_path):
    reason = "its answer is neither yes nor no"
    data = toy(three_splits, {f"row {i}": reason for i in range(72)}, phantom=True, notes=["Drawn by code."])
    card = run(data, tmp_path / "out")
    # all three splits told of the same 72 rows
    assert card["dropped"] == {reason: {"rows": 72, "examples": [f"row {i}" for i in range(5)]}}
    told = f"Dropped 72 rows: {reason} (row 0; row 1; row 2; row 3; row 4; ...)."
    assert card["changes"] == [told]
    text = (tmp_path / "out/README.md").read_text()
    assert "phantoms" in text and "Drawn by code." in text and told in text


def test_a_split_that_drops_everything_says_why(toy, three_splits, tmp_path):
    data = toy({**three_splits, "val": []}, {"row 7": "its image is broken"})
    with pytest.raises(
        prepare.BadSplit, match=r"val of toy has no rows left. Dropped 1 row: its image is broken \(row 7\)"
    ):
        run(data, tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_the_knowledge_of_the_classes_is_in_every_row_and_its_references_in_the_card(config, tmp_path):
    attributes = {"Normal": "clear lungs", "pneumonia": "white patches"}
    chosen = {"name": "mine", "attributes": attributes, "references": ["A Book 1999"]}
    card = run(config(knowledge=chosen), tmp_path / "out", prompt=command.load_prompt("visual_attributes"))
    rows = list(parquet.read_samples(tmp_path / "out/test.parquet"))
    assert {row.knowledge for row in rows} == {"normal: clear lungs; pneumonia: white patches"}
    assert card["knowledge"] == {"name": "mine", "references": ["A Book 1999"]}
    assert "Visual attributes: mine, after A Book 1999" in (tmp_path / "out/README.md").read_text()
    again = run(
        config(knowledge={**chosen, "attributes": {**attributes, "normal": "dark"}}), tmp_path / "out"
    )
    assert again["recipe"] != card["recipe"]


def test_real_phantoms_are_prepared_with_their_warm_start(tmp_path):
    sizes = {"warm_start": 6, "train": 5, "val": 2, "test": 3}
    data = {
        "name": "phantoms",
        "reader": "phantoms",
        "source": None,
        "params": {"task": "grading", "sizes": sizes},
    }
    card = run(data, tmp_path / "out", batch_size=8)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {**sizes, "train": 8}
    assert run(data, tmp_path / "out", batch_size=8) == card
    assert "phantoms" in (tmp_path / "out/README.md").read_text()


def test_an_output_path_that_is_a_file_is_told(config, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        run(config(), tmp_path / "out")


def test_a_mistyped_reader_parameter_is_told(config, tmp_path):
    with pytest.raises(UserError, match="Did you mean 'flag'"):
        run(config(params={"flags": "octmnist"}), tmp_path / "out")


def test_only_the_splits_that_are_wanted_are_read(config, tmp_path):
    card = run(config(only=["test", "val"]), tmp_path / "out", batch_size=500)
    assert list(card["splits"]) == ["val", "test"]  # the reader's order, whatever the setting's
    assert names(tmp_path / "out") == ["README.md", "card.json", "test.parquet", "val.parquet"]
    assert list(run(config(), tmp_path / "out")["splits"]) == ["train", "val", "test"]
    card = run(config(only="test"), tmp_path / "out")
    assert list(card["splits"]) == ["test"] and "train.parquet" not in names(tmp_path / "out")


@pytest.mark.parametrize(
    "only, said", [(["tset"], "split to prepare 'tset'. Did you mean 'test'"), ([], "leaves nothing")]
)
def test_a_split_that_is_not_there_is_named(config, tmp_path, only, said):
    with pytest.raises(UserError, match=said):
        run(config(only=only), tmp_path / "out")
