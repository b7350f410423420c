"""Sets that are only tested on: the whole of a question file, or the wanted splits of a published one."""

import json

import pytest

from medical_rl.data.prepare import command, prepare


def test_the_whole_file_can_be_the_test_set_and_nothing_else(iu_xray, r2gen_copy, tmp_path):
    """All 40 rows are test, with no annotation.json needed; the reader has no other split then."""
    data = {"reader": "iu_xray", "source": str(r2gen_copy), "params": {"splits": "test"}}
    card = prepare.prepare(data, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {"test": 40}
    assert "All rows are test: there is nothing to train on here." in card["about"]["notes"]
    assert not (tmp_path / "out/train.parquet").exists()


def test_a_published_split_without_training_rows_is_prepared_as_far_as_is_wanted(r2gen_copy, tmp_path):
    entries = {"train": [], "val": [], "test": [{"id": f"CXR{i}_IM-{i:04}", "report": "", "split": "test", "image_path": []} for i in range(1, 21)]}  # fmt: skip
    (r2gen_copy / "annotation.json").write_text(json.dumps(entries))
    data = {"reader": "iu_xray", "source": str(r2gen_copy), "params": {"splits": "published"}}
    with pytest.raises(prepare.BadSplit, match=r"split train .* has no rows left.*conf.data.only=\[test\]"):
        prepare.prepare(data, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    card = prepare.prepare(data | {"only": ["test"]}, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    assert card["splits"].keys() == {"test"} and card["splits"]["test"]["rows"] == 40
