"""Every row is proved by its own gold answer before it is written, and the source's errors are told as the source's."""

import dataclasses

import pytest

from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError

PROMPT = command.load_prompt("class_names")


def run(data, out, prompt=PROMPT):
    return prepare.prepare(data, prompt, out, 0, 1)


BAD = [
    ({"kind": "grade", "answer": "three"}, "cannot be read as a grade"),
    ({"answer": "c", "choices": ("a", "b")}, "none of the choices 'a', 'b'"),
    ({"answer": "T1{a", "choices": ("T1{a", "b")}, "is read back as None from the prompt's target"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD, ids=[reason for _, reason in BAD])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_gold_answer_that_does_not_read_back_stops_at_its_row(
    toy, three_splits, tmp_path, fields, reason, split
):
    three_splits[split][2] = dataclasses.replace(three_splits[split][2], **fields)
    with pytest.raises(UserError, match=f"Row {split}/2 cannot be used: .*{reason}") as error:
        run(toy(three_splits), tmp_path / "out")
    assert error.value.exit_code == 2 and list((tmp_path / "out").iterdir()) == []


def test_a_target_that_cannot_be_filled_names_the_row(toy, three_splits, tmp_path):
    with pytest.raises(UserError, match="cannot be filled for sample 'train/0'"):
        run(
            toy(three_splits),
            tmp_path / "out",
            {**PROMPT, "target": r"\boxed{ {{ answer }} } {{ sample.meta.site }}"},
        )


def test_a_prompt_without_a_target_or_with_an_unmarked_one_is_no_error(toy, three_splits, bare, tmp_path):
    assert run(toy(three_splits), tmp_path / "a", bare)["splits"]["train"]["rows"] == 3
    assert run(toy(three_splits), tmp_path / "b", {**PROMPT, "target": None})["splits"]["train"]["rows"] == 3


def test_a_source_that_breaks_off_is_not_called_an_output_that_cannot_be_written(
    toy, three_splits, tmp_path, monkeypatch, capsys
):
    data = toy(three_splits)

    def broken(source, split, *, drops=None):
        yield three_splits[split][0]
        raise ConnectionError("connection dropped")

    reader = prepare.readers.load_reader("toy")
    monkeypatch.setattr(reader, "rows", broken)
    with pytest.raises(UserError, match="The source None cannot be read: connection dropped"):
        run(data, tmp_path / "out")
    assert command.run("toy", ["--source", "x", "--out", str(tmp_path / "b")]) == 2
    assert "could not be written" not in capsys.readouterr().err
