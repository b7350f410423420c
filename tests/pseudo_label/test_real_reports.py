"""The rule labeller on real text: RULE's 2,573 questions about IU-Xray, read against the reports that they were written from.

An upper bound of its reading, never a way to label: a row is never labelled with its own study's report.
"""

import pytest

from medical_rl.data.reports import Report
from medical_rl.data_preprocess import rule_questions
from medical_rl.pseudo_label.agreement import agreement, markdown
from medical_rl.pseudo_label.label import LabelQuestion
from medical_rl.pseudo_label.labellers.rule import label_one
from medical_rl.sample import Sample


@pytest.fixture(scope="module")
def questions(realdata):
    file = realdata / "iu_xray" / "rule_iuxray_test.jsonl"
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the real dataset files")
    return [one for one in rule_questions.questions(file) if not one.problem and one.report]


def study(question):
    return question.image.partition("_")[0]


def asked(question, report):
    row = Sample(
        id=question.id, source="iu_xray", question=question.text, kind="yes_no", answer=question.answer
    )
    return LabelQuestion(row, (Report(study(question), report, study(question)),))


def measured(questions, reports):
    pairs = zip(questions, reports, strict=True)
    labels = [label_one(asked(question, report)) for question, report in pairs]
    return agreement(labels, {question.id: question.answer for question in questions})


def test_with_the_studys_own_report_it_reads_far_better_than_the_majority(questions):
    """Its vocabulary was made with an eye on these very questions: no figure for reports of another house.

    The interval takes questions as independent, and several are about one study: it is too narrow, and the
    distance is not.
    """
    found = measured(questions, [one.report for one in questions])
    print("\nrule labeller, own report (upper bound):\n" + markdown({1: found}))
    assert found["n"] == 2488 and found["accuracy_interval"][0] > found["majority_rate"] + 0.05
    assert (
        found["accuracy_answered"] >= 0.97 and found["n"] - found["answered"] < 150 and found["kappa"] > 0.9
    )


def test_with_another_studys_report_the_upper_bound_is_gone(questions):
    """The negative control: the next study's report knows nothing of this one, so agreement is that of common findings."""
    studies = list(dict.fromkeys(map(study, questions)))
    text = {study(one): one.report for one in questions}
    after = dict(zip(studies, studies[1:] + studies[:1], strict=True))
    found = measured(questions, [text[after[study(one)]] for one in questions])
    print("\nrule labeller, another study's report:\n" + markdown({1: found}))
    own = measured(questions, [one.report for one in questions])
    assert found["accuracy"] < found["majority_rate"] < own["accuracy"]
    assert (
        found["accuracy_answered_interval"][1] < own["accuracy_answered_interval"][0] - 0.05
        and found["kappa"] < own["kappa"] - 0.2
    )
