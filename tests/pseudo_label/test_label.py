"""The file of labels: what is written is read, whatever stands in the texts; half of it is never there."""

import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.label import Label, read_labels, write_labels

LABELS = [
    Label(
        "a/1", "yes", 'Zeile\u2028zwei \u2029 \x85 \x0b \n "q" ähö 肺', ("r1", "r\u20282"), 0.75, used=("r1",)
    ),
    Label("a/2", None, unparsed=True),
    Label("a/3", None, retrieved=("r1",), failed="timeout"),
]


def test_labels_come_back_as_they_were(tmp_path):
    path = tmp_path / "deep" / "labels.jsonl"
    assert write_labels(LABELS, path) == 3
    assert list(read_labels(path)) == LABELS
    assert path.read_bytes().count(b"\n") == 3
    assert [label.outcome for label in LABELS] == ["answered", "unparsed", "failed"]


def test_a_lone_surrogate_does_not_stop_the_file(tmp_path):
    write_labels([Label("1", "no", "bad \ud800 half")], tmp_path / "l.jsonl")
    assert next(read_labels(tmp_path / "l.jsonl")).rationale == "bad ? half"


def test_a_writer_that_stops_leaves_the_old_file(tmp_path):
    path = tmp_path / "labels.jsonl"
    write_labels(LABELS[:1], path)

    def stopped():
        yield LABELS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_labels(stopped(), path)
    assert list(read_labels(path)) == LABELS[:1] and [p.name for p in tmp_path.iterdir()] == ["labels.jsonl"]


@pytest.mark.parametrize("line", ["{}", "[1]", "{half", '{"id": "1", "answer": "no", "surprise": 1}'])
def test_a_line_that_is_no_label_is_named(tmp_path, line):
    path = tmp_path / "labels.jsonl"
    write_labels(LABELS[:1], path)
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="Line 2 of .*labels.jsonl is no label"):
        list(read_labels(path))
