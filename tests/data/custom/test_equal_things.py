"""Equal things of a user's table are equal everywhere: patients, ids and answers, however a spreadsheet wrote them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data.prepare import command, prepare


def split_of_rows(found):
    return {sample.id: split for split, samples in found.items() for sample in samples}


def test_the_patients_3_and_3_0_are_one(table, rows, read, everything):
    # two rows a patient, whose number one of them has as a spreadsheet writes it
    path = table(rows(40, group=lambda i: f"{i // 2}.0" if i % 2 else str(i // 2)))
    found, dropped = read(path)
    where = split_of_rows(found)
    assert all(where[f"row {i}"] == where[f"row {i + 1}"] for i in range(1, 40, 2)) and not dropped
    assert {s.group for s in everything(found)} == set(map(str, range(20)))


def test_a_patient_in_two_given_splits_is_seen_however_it_is_written(table, rows, tmp_path):
    content = rows(40, group=lambda i: str(i % 20), split=lambda i: "train" if i < 20 else "test")
    content[0] |= {"group": "3.0"}
    for i in (*range(1, 20),):
        content[i]["group"] = f"a {i}"
    data = {"name": "mine", "reader": "custom", "source": str(table(content)), "params": {"val_share": 0}}
    with pytest.raises(prepare.BadSplit, match="1 groups .* are in both train and test, for instance '3'"):
        prepare.prepare(
            data | {"only": ["train", "test"]}, command.load_prompt("class_names"), tmp_path / "out", 0, 1
        )


def test_names_that_only_look_like_numbers_stay_apart(table, rows, read, everything):
    path = table(rows(20, group=lambda i: ("007", "7", "1.5", "1.50")[i % 4]))
    assert {s.group for s in everything(read(path)[0])} == {"007", "7", "1.5", "1.50"}


def test_numbers_of_a_column_with_gaps_are_whole_again(tmp_path, picture, read, everything):
    # a column of whole numbers with a gap is one of floats to pandas and parquet
    columns = {
        "image": [{"bytes": picture(i), "path": None} for i in range(20)],
        "answer": ["ab"[i % 2] for i in range(20)],
        "group": [float(i // 2) if i else np.nan for i in range(20)],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    groups = {s.group for s in everything(read(tmp_path / "a.parquet", question="Which?")[0])}
    assert set(map(str, range(10))) < groups and len(groups) == 11 and "nan" not in groups


@pytest.mark.parametrize("n", [2, 120])
def test_answers_that_differ_in_case_alone_are_one(table, rows, read, everything, n):
    names = [f"Class {i}" for i in range(n)]
    path = table(rows(2 * n, answer=lambda i: names[i % n].lower() if i >= n else names[i % n]))
    found, dropped = read(path)
    # the commonest spelling is taken, of equally common ones the first in order
    assert {s.answer for s in everything(found)} == set(names) and not dropped


def test_over_100_classes_are_said_by_the_command_and_on_the_card(table, rows, tmp_path, capsys, custom):
    path = table(rows(240, answer=lambda i: f"class {i % 120}"))
    out = tmp_path / "out"
    assert custom.main(["--source", str(path), "--out", str(out), "--test-share", "0.3"]) == 0
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "different answers, over 100" in line]
    card = json.loads((out / "card.json").read_text())
    assert "120 different answers, over 100" in told and any("over 100" in each for each in card["warnings"])
