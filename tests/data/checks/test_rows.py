"""What is wrong with a row is found with its row: images, gold answers, repetitions, columns."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data import parquet
from medical_rl.data.prepare import prepare
from medical_rl.images import encode_png


def test_a_truncated_image_is_found_with_its_row(folder, clean, found_in):
    noise = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    clean["val"][1] = dataclasses.replace(clean["val"][1], images=(noise[:-300],))
    (finding,) = found_in(folder(clean)).pop("image")
    assert finding.level == "error" and "val/1, image 0" in finding.examples[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "grade", "answer": "high", "choices": ()},
        {"answer": "c"},
        {"kind": "yes_no", "answer": "perhaps", "choices": ("yes", "no")},
        {"kind": "box", "answer": "none", "choices": ()},
        {"kind": "box", "answer": "[5, 5, 70, 20]", "choices": ()},
        {"answer": ""},
    ],
)
def test_a_gold_answer_that_its_reward_does_not_take_is_an_error(folder, clean, changes, found_in, prompt):
    clean["train"][4] = dataclasses.replace(clean["train"][4], **changes)
    found = found_in(folder(clean), prompt=prompt)
    (finding,) = found.pop("gold")
    assert finding.level == "error" and "train/4" in finding.examples[0] and not found


def test_a_prompt_whose_target_hides_the_answer_is_found(folder, clean, found_in, prompt):
    found = found_in(folder(clean), prompt={**prompt, "target": "It is {{ answer }}."})
    assert [f.message for f in found["gold"]] == [
        f"{split}: {n} rows: the gold answer does not score 1.0 under accuracy."
        for split, n in (("train", 20), ("val", 8), ("test", 8))
    ]


def test_duplicates_within_a_split(folder, clean, found_in):
    first = clean["train"][0]
    clean["train"] += [
        dataclasses.replace(first, meta={"copy": 1}),
        dataclasses.replace(first, id="again", group="g"),
        dataclasses.replace(first, id="otherwise", group="h", answer="b"),
        dataclasses.replace(clean["train"][1], question="Another question?"),
    ]
    findings = found_in(folder(clean))["duplicate"]
    told = {example: finding.level for finding in findings for example in finding.examples}
    assert told == {
        "again repeats train/0": "warning",
        "otherwise gives another answer to the question of train/0": "warning",
        "the id train/1 is in it twice": "error",
    }


def test_an_answer_that_train_never_shows_is_a_warning(folder, clean, sample, found_in):
    rows = [sample(f"x{i}", "test", 100 + i, answer="c", choices=("a", "b", "c")) for i in range(8)]
    found = found_in(folder({**clean, "test": clean["test"] + rows}))
    assert [f.message for f in found["labels"]] == ["test has 1 answers that train never shows."]


def test_files_of_another_program_are_told_and_not_crashed_on(folder, clean, found_in):
    path = folder(clean)
    table = pq.read_table(path / "val.parquet")
    broken = table.set_column(table.schema.get_field_index("sample"), "sample", pa.array(["{}"] * 8))
    pq.write_table(broken, path / "val.parquet")
    pq.write_table(table.drop_columns(["problem"]), path / "test.parquet")
    found = found_in(path)
    assert "Row 0 of val.parquet cannot be read back" in found["row"][0].message
    assert "lacks the columns problem" in found["schema"][0].message


def test_a_prompt_with_another_number_of_images_is_found(folder, clean, found_in, prompt):
    path = folder(clean)
    rows = pq.read_table(path / "val.parquet").to_pylist()
    rows[5]["prompt"][-1]["content"] += "<image>"
    pq.write_table(pa.Table.from_pylist(rows, parquet.SCHEMA), path / "val.parquet")
    assert "Row 5" in found_in(path)["schema"][0].message


def test_a_file_that_is_not_the_cards_is_told(config, tmp_path, found_in, prompt):
    prepare.prepare(config(), prompt, tmp_path / "out", 0, 1)
    assert "schema" not in found_in(tmp_path / "out")
    (tmp_path / "out/val.parquet").write_bytes((tmp_path / "out/test.parquet").read_bytes())
    assert (
        "val.parquet is not the file that card.json tells of"
        in found_in(tmp_path / "out")["schema"][0].message
    )
