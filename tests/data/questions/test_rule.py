import collections
import json

import pytest

from medical_rl.data_preprocess import rule_questions
from medical_rl.data_preprocess.iu_xray.studies import study_of
from medical_rl.errors import UserError


def test_of_the_2573_real_questions_72_are_neither_and_13_more_are_doubtful(real):
    found = list(rule_questions.questions(real("rule_iuxray_test.jsonl")))
    assert (len(found), len({q.image for q in found}), len({q.id for q in found})) == (2573, 587, 2573)
    # 2,488 = 2,573 - 72 - 10 ("No information ...") - 3 ("0 cm?", ", diaphragms) abnormal?" and ")").
    problems = collections.Counter(q.problem for q in found)
    assert problems == {
        "": 2488,
        rule_questions.NEITHER: 72,
        rule_questions.NOT_AN_ANSWER: 10,
        rule_questions.FRAGMENT: 3,
    }
    assert sum(q.doubtful for q in found) == 13 and not any(q.doubtful for q in found if not q.problem)
    # By their first word 1,837 say no and 664 yes; all 13 in doubt say no.
    assert collections.Counter(q.answer for q in found if not q.problem) == {"no": 1824, "yes": 664}


def test_the_318_real_spellings_become_two_answers(real):
    spellings = {
        json.loads(line)["answer"] for line in real("rule_iuxray_test.jsonl").read_text("utf-8").splitlines()
    }
    assert len(spellings) == 318 and {rule_questions.yes_no(spelling) for spelling in spellings} == {
        "yes",
        "no",
        None,
    }


def test_no_real_question_keeps_its_placeholder_and_removed_words_stay(real):
    found = [q for q in rule_questions.questions(real("rule_iuxray_test.jsonl")) if not q.problem]
    assert not any("<image>" in q.text or q.text != q.text.strip() for q in found)
    assert any("XXXX" in q.text for q in found) and sum("XXXX" in q.report for q in found) > 100


@pytest.mark.parametrize(
    "answer, read",
    [
        ("Yes", "yes"),
        ("- No.", "no"),
        (" NO (as the lungs are clear)", "no"),
        ("Yes; mild", "yes"),
        ("2. Are the lungs clear? - Yes", None),
        ("The report does not mention it, so no.", None),
        ("Normal", None),
        ("Nodule", None),
        ("", None),
    ],
)
def test_only_a_leading_yes_or_no_is_an_answer(answer, read):
    assert rule_questions.yes_no(answer) == read


def problem(write, folder, *rows):
    return [(q.id, q.problem) for q in rule_questions.questions(write(folder / "q.jsonl", rows))]


def test_every_bad_row_has_a_reason_and_none_is_guessed(write, tmp_path, ask):
    found = problem(
        write,
        tmp_path,
        ask(1, "CXR1_IM-1/0.png"),
        "{not json",
        "[1, 2]",
        ask(1, "CXR1_IM-1/0.png"),
        ask(2, "CXR1_IM-1/0.png", answer=float("nan")),
        ask(3, "CXR1_IM-1/0.png", answer=...),
        ask(4, None),
        ask(5, "CXR1_IM-1/0.png", question=" \n<image>"),
        ask(6, "CXR1_IM-1/0.png", question="Is it large? - No \n<image>"),
        ask(7, "CXR1_IM-1/0.png", answer="No information is provided."),
        ask(..., "CXR1_IM-1/0.png"),
        "",
    )
    assert found == [
        ("q/1", ""),
        ("q/line 2", rule_questions.NOT_A_ROW),
        ("q/line 3", rule_questions.NOT_A_ROW),
        ("q/1 again on line 4", rule_questions.TWICE),
        ("q/2", rule_questions.NEITHER),
        ("q/3", rule_questions.NEITHER),
        ("q/4", rule_questions.NO_IMAGE),
        ("q/5", rule_questions.FRAGMENT),
        ("q/6", rule_questions.ANSWERED),
        ("q/7", rule_questions.NOT_AN_ANSWER),
        ("q/11", ""),
    ]


def test_wrong_columns_are_named_with_those_there_are(write, tmp_path, ask):
    write(tmp_path / "other.jsonl", [{"prompt": "?", "answer": "yes"}])
    with pytest.raises(
        UserError, match="other.jsonl is no question file: its rows lack question, image; they have prompt"
    ):
        rule_questions.question_files(tmp_path, None)


def test_a_folder_without_question_files_says_where_they_are(tmp_path):
    with pytest.raises(UserError, match=r"no question file \(\*.jsonl\).*RULE"):
        rule_questions.question_files(tmp_path, None)


def test_what_is_no_text_is_refused_with_its_path(tmp_path):
    (tmp_path / "q.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="q.jsonl cannot be read as JSON lines"):
        rule_questions.question_files(tmp_path, None)


def test_two_files_of_one_name_would_share_ids(write, tmp_path, ask):
    for folder in ("a", "b"):
        write(tmp_path / folder / "q.jsonl", [ask(1, "CXR1_IM-1/0.png")])
    with pytest.raises(UserError, match="Two question files have one name"):
        rule_questions.question_files(tmp_path, ["a/q.jsonl", "b/q.jsonl"])


def test_the_real_corpus_shares_no_study_with_the_questions(iu_xray, real):
    asked = {f"CXR{study_of(q.image)}" for q in rule_questions.questions(real("rule_iuxray_test.jsonl"))}
    for name, rows in (("train", 1034), ("val", 1035)):
        corpus = list(iu_xray.reports(real(f"rule_retriever_iuxray_{name}.json")))
        assert len(corpus) == rows and set(corpus[0]) == {"id", "text", "study", "split"}
        assert not asked & {report["study"] for report in corpus}
