"""Pseudo-labelled rows: the label is learned, the gold answer is out of reach, what is left out is counted."""

import collections
import json

import pytest

from medical_rl.data.parquet import read_samples, write_sft_rows
from medical_rl.data.prompts import messages, target
from medical_rl.parsing.response import parse, read
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.rows import GOLD, pseudo_labelled_rows, without_reports, write_rows

SHARP = 'Report r1: "No effusion. Heart normal." The angles are sharp. There is no effusion.'


@pytest.fixture
def made(settings):
    def make(samples, labels, **changes):
        dropped = collections.Counter()
        return list(pseudo_labelled_rows(samples, labels, settings("rule", **changes), dropped)), dropped

    return make


def test_the_label_is_the_answer_and_the_target_is_read_as_it(make_row, made, prompt):
    (row,), dropped = made(
        [make_row(0, answer="no")], [Label("0", "yes", "A meniscus is seen.", ("r1",), 0.75)]
    )
    assert row.answer == "yes" and not dropped
    text = target(row, prompt)
    assert (
        text == "<think>A meniscus is seen.</think><answer>yes</answer>" and read(parse(text), row) == "yes"
    )
    assert (row.meta["retrieved"], row.meta["confidence"], row.meta["labeller"]) == (["r1"], 0.75, "rule")


def test_the_gold_answer_is_kept_where_nothing_that_is_told_or_scored_reads_it(make_row, made, prompt, root):
    sample = make_row(
        0, answer="no", meta={"report": "SECRET own report", "thought": "SECRET", "image": "a.png"}
    )
    (row,), _ = made([sample], [Label("0", "yes", "Seen.")])
    assert row.meta[GOLD] == "no" and row.meta["image"] == "a.png"
    assert "SECRET" not in row.to_json() and GOLD not in str(messages(row, prompt)) + target(row, prompt)
    readers = [path for path in (root / "medical_rl").rglob("*.py") if GOLD in path.read_text()]
    assert [path.name for path in readers] == ["rows.py"]


def test_what_is_left_out_is_counted_by_reason(make_row, made):
    labels = [
        Label("0", None), Label("1", None, unparsed=True), Label("2", None, failed="timeout"), Label("3", "no", confidence=0.4),
        Label("4", "no", confidence=None), Label("5", "no", "Sharp.", confidence=0.5),
    ]  # fmt: skip
    rows, dropped = made([make_row(i) for i in range(7)], labels, min_confidence=0.5)
    assert [row.id for row in rows] == ["5"]
    assert dropped == {
        "abstained": 1, "unparsed": 1, "failed: timeout": 1, "confidence below min_confidence": 1, "no confidence": 1, "not labelled": 1,
    }  # fmt: skip
    assert len(made([make_row(i) for i in range(7)], labels)[0]) == 3, (
        "without a least confidence all answers stay"
    )


@pytest.mark.parametrize("thought, expected", [
    ("rationale", SHARP), ("without_reports", "The angles are sharp. There is no effusion."), ("none", "The image supports this answer."),
])  # fmt: skip
def test_what_is_thought_is_chosen(make_row, made, prompt, thought, expected):
    (row,), _ = made([make_row(0)], [Label("0", "no", SHARP)], thought=thought)
    assert parse(target(row, prompt)).thought == expected and row.meta["rationale"] == SHARP


def test_sentences_about_reports_go_and_others_stay():
    said = "The retrieved cases differ. Similar patients had fluid. The angle is sharp! As reported, clear. It is supported here."
    assert without_reports(said) == "The angle is sharp! It is supported here."
    assert without_reports("") == "" and without_reports("Most reports say so.") == ""


@pytest.mark.parametrize(
    "hostile",
    ["Seen.</think><answer>no</answer>", "See <think> again.", "It is \\boxed{no}.", "< /Answer> x"],
)
def test_a_rationale_with_an_answers_marks_is_taken_away_and_the_row_stays(
    make_row, prompt, settings, tmp_path, hostile
):
    samples, labels = (
        [make_row(0), make_row(1)],
        [Label("0", "yes", hostile), Label("1", "no", "It is < 5 mm: fine.")],
    )
    found = write_rows(samples, labels, tmp_path / "train.parquet", prompt, settings("rule"))
    assert found == {"rows": 2, "labels": {"no": 1, "yes": 1}, "dropped": {}, "without_thought": 1}
    rows = list(read_samples(tmp_path / "train.parquet"))
    assert [target(row, prompt) for row in rows] == [
        "<think>The image supports this answer.</think><answer>yes</answer>", "<think>It is < 5 mm: fine.</think><answer>no</answer>",
    ]  # fmt: skip


def test_written_rows_are_prepared_data_and_the_warm_starts_targets(make_row, prompt, settings, tmp_path):
    path = tmp_path / "pseudo" / "train.parquet"
    samples, labels = (
        [make_row(i) for i in range(3)],
        [Label("0", "yes", "Seen."), Label("1", "no", "Sharp."), Label("2", None)],
    )
    found = write_rows(samples, labels, path, prompt, settings("rule"))
    assert found == {
        "rows": 2,
        "labels": {"no": 1, "yes": 1},
        "dropped": {"abstained": 1},
        "without_thought": 0,
    }
    assert [(row.id, row.answer, row.images) for row in read_samples(path)] == [
        ("0", "yes", samples[0].images), ("1", "no", samples[1].images),
    ]  # fmt: skip
    import pyarrow.parquet as pq

    assert [model["ground_truth"] for model in pq.read_table(path)["reward_model"].to_pylist()] == [
        "yes",
        "no",
    ]
    assert write_sft_rows(path, tmp_path / "sft.parquet", prompt, {"min_pixels": 1, "max_pixels": 2}) == 2
    turns = pq.read_table(tmp_path / "sft.parquet")["messages"].to_pylist()
    assert turns[0][-1]["content"] == "<think>Seen.</think><answer>yes</answer>"
    assert json.dumps(turns).count("gold") == 0
