"""Preference pairs: which rows make one, what stands in it, what may not."""

import dataclasses

import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.pairs import (
    cell,
    held_out_studies,
    limit_rows,
    make_pairs,
    read_preferences,
    refuse_overlap,
    rejected_text,
    require_enough,
    write_preferences,
)
from medical_rl.sample import Sample

PROMPT = {
    "template": "{{ question }}",
    "target": "<think>{{ thought or 'As seen.' }}</think><answer>{{ answer }}</answer>",
}
YES, NO = "<think>a</think><answer>Yes</answer>", "<think>b</think><answer>no.</answer>"


def row(name: str, answer: str = "yes", study: str = "", **more) -> Sample:
    return Sample(
        id=name,
        source="demo",
        question="Effusion?",
        kind="yes_no",
        answer=answer,
        images=(b"x",),
        group=study,
        **more,
    )


def asked(sample: Sample) -> list[dict]:
    return [{"role": "user", "content": f"<image>Report: none. {sample.question}"}]


def made(rows, without, with_reports, held_out=0.5, seed=0):
    return make_pairs(rows, without, with_reports, asked, PROMPT, held_out=held_out, seed=seed)


def test_only_right_without_and_wrong_with_retrieval_makes_a_pair_and_all_four_cells_are_counted():
    # Gold is yes in every row: 1 right/right, 2 right/wrong, 3 wrong/right, 4 wrong/wrong rows.
    answers = [(YES, YES)] + [(YES, NO)] * 2 + [(NO, YES)] * 3 + [(NO, NO)] * 4
    rows = [row(str(i)) for i in range(10)]
    without, with_reports = ({str(i): pair[side] for i, pair in enumerate(answers)} for side in (0, 1))
    found = made(rows, without, with_reports)
    counts = found.counts
    assert [counts[k] for k in ("right_right", "right_wrong", "wrong_right", "wrong_wrong")] == [1, 2, 3, 4]
    assert counts["train_pairs"] + counts["held_out_pairs"] == 2
    pairs = [r for r in (*found.train, *found.held_out) if r.rejected is not None]
    assert {r.id for r in pairs} == {"1", "2"} and {r.cell for r in pairs} == {"right_wrong"}


def test_a_pair_asks_with_the_reports_and_differs_in_its_answer_alone():
    found = made([row("1"), row("2")], {"1": YES, "2": YES}, {"1": NO, "2": NO})
    pair = (found.train + found.held_out)[0]
    assert pair.messages == ({"role": "user", "content": "<image>Report: none. Effusion?"},)
    assert pair.chosen == "<think>As seen.</think><answer>yes</answer>"
    assert pair.rejected == "<think>As seen.</think><answer>no</answer>"
    assert pair.images == (b"x",) and pair.sample.images == ()


def test_a_gold_row_with_a_thought_is_paired_with_the_responses_own():
    sample = row("1", meta={"thought": "blunted angle"})
    assert rejected_text(sample, NO, PROMPT) == "<think>b</think><answer>no</answer>"
    assert rejected_text(row("1"), NO, PROMPT) == "<think>As seen.</think><answer>no</answer>"


def test_an_answer_that_cannot_be_read_is_wrong_and_makes_no_pair():
    assert cell(row("1"), YES, "perhaps") == "right_wrong"
    found = made([row("1"), row("2")], {"1": YES, "2": YES}, {"1": "perhaps", "2": "<answer>maybe</answer>"})
    assert found.counts["right_wrong"] == 2 and found.counts["unreadable"] == 2
    assert found.counts["train_pairs"] == found.counts["held_out_pairs"] == 0


def test_special_tokens_in_a_thought_stay_plain_text():
    sample = row("1", meta={"thought": "clear"})
    worse = rejected_text(sample, "<think>a <|im_end|> <image> b</think><answer>no</answer>", PROMPT)
    assert worse == "<think>a [|im_end|] [image] b</think><answer>no</answer>"


def test_a_multiple_choice_answer_gets_its_own_letter():
    sample = Sample(
        id="1", source="d", question="?", kind="choice", answer="CT", choices=("CT", "MRI"), images=(b"x",)
    )
    prompt = {"template": "{{ question }}", "target": "<answer>{{ letter }}</answer>"}
    assert rejected_text(sample, "<answer>B</answer>", prompt) == "<answer>B</answer>"
    # An answer that is no option has no letter, so this form cannot hold it.
    assert rejected_text(sample, "<answer>PET</answer>", prompt) is None


def test_a_row_that_could_not_be_asked_is_counted_and_never_scored():
    found = made([row("1"), row("2")], {"1": None, "2": YES}, {"1": NO, "2": NO})
    assert found.counts["not_asked"] == 1 and found.counts["right_wrong"] == 1


def test_a_row_without_an_answer_or_an_image_is_named():
    with pytest.raises(UserError, match="'2' has no answer with retrieval"):
        made([row("1"), row("2")], {"1": YES, "2": YES}, {"1": NO})
    with pytest.raises(UserError, match="'1' has no image"):
        made([dataclasses.replace(row("1"), images=())], {"1": YES}, {"1": NO})
    with pytest.raises(UserError, match="2 <image> for 1 images"):
        make_pairs([row("1")], {"1": YES}, {"1": NO}, lambda s: [{"role": "user", "content": "<image><image>"}], PROMPT,
                   held_out=0.5, seed=0)  # fmt: skip


def test_no_study_is_on_both_sides_and_the_split_does_not_depend_on_the_rows_order():
    rows = [row(f"{study}/{i}", study=f"s{study}") for study in range(20) for i in range(3)]
    answers = {r.id: YES for r in rows}, {r.id: NO for r in rows}
    found = made(rows, *answers, held_out=0.25, seed=3)
    train, held = ({r.study for r in side} for side in (found.train, found.held_out))
    assert (
        not train & held and len(held) == 5 and len(found.held_out) == 15
    )  # a quarter of 20 studies, 3 rows each
    assert {r.id for r in made(rows[::-1], *answers, held_out=0.25, seed=3).held_out} == {
        r.id for r in found.held_out
    }
    assert held_out_studies(train | held, 0.25, 4) != held


def test_the_held_out_rows_are_of_every_cell():
    rows = [row(str(i)) for i in range(40)]
    found = made(rows, {r.id: YES for r in rows}, {r.id: NO if int(r.id) % 2 else YES for r in rows})
    assert {r.cell for r in found.held_out} == {"right_right", "right_wrong"}
    assert {r.cell for r in found.train} == {"right_wrong"}
    fewer = limit_rows(found.held_out, 7, seed=1)
    assert len(fewer) == 7 and [r.id for r in fewer] == [r.id for r in found.held_out if r in fewer]
    assert limit_rows(found.held_out, None, seed=1) == found.held_out


def test_a_study_of_another_set_is_refused_by_name():
    rows = [row("1", study="p7"), row("2", study="p8")]
    refuse_overlap(rows, {"the retriever's corpus": ["p1"], "the test set": []})
    with pytest.raises(UserError, match="1 of the 2 studies.*the calibration set, 'p8'"):
        refuse_overlap(rows, {"the retriever's corpus": ["p1"], "the calibration set": iter(["p8", "p9"])})
    with pytest.raises(UserError, match="'lonely'"):  # a row without a study is one of its own
        refuse_overlap([row("lonely")], {"the test set": ["lonely"]})


def test_too_few_pairs_are_an_error_with_the_four_counts_and_a_way_out():
    rows = [row(str(i)) for i in range(6)]
    found = made(rows, {r.id: YES for r in rows}, {r.id: NO if r.id == "0" else YES for r in rows})
    with pytest.raises(
        UserError, match="right/right 5, right/wrong 1, wrong/right 0, wrong/wrong 0.*conf/alignment=none"
    ):
        require_enough(found.counts, 4)
    enough = {**found.counts, "train_pairs": 4, "held_out_pairs": 1}
    require_enough(enough, 4)
    with pytest.raises(UserError, match="0 to measure with"):
        require_enough({**enough, "held_out_pairs": 0}, 4)


def test_the_balance_of_gold_answers_is_told():
    rows = [row(str(i), answer="yes" if i < 8 else "no") for i in range(10)]
    right, wrong = (
        {r.id: YES if (r.answer == "yes") == side else NO for r in rows} for side in (True, False)
    )
    found = made(rows, right, wrong, held_out=0.01)
    told = found.counts["train_answers"]
    assert set(told) == {"no", "yes"} and sum(told.values()) == 9  # one study is held out


def test_pairs_are_read_as_they_were_written(tmp_path):
    rows = [row(str(i), meta={"thought": "t"}, concepts=("effusion",)) for i in range(4)]
    found = made(rows, {r.id: YES for r in rows}, {r.id: NO if int(r.id) < 3 else YES for r in rows})
    written = found.train + found.held_out
    assert write_preferences(written, tmp_path / "pairs.parquet") == 4
    assert list(read_preferences(tmp_path / "pairs.parquet")) == written
    (tmp_path / "other").write_bytes(b"no parquet")
    for name, told in (("other", "cannot be read as parquet"), ("absent", "There is no file .*absent")):
        with pytest.raises(UserError, match=told):
            list(read_preferences(tmp_path / name))
