"""Agreement with gold, against numbers worked out by hand."""

import pytest

from medical_rl.pseudo_label.agreement import HEADER, agreement, gold_answers, markdown
from medical_rl.pseudo_label.label import Label

# gold: 6 no, 4 yes. Labels: 7 answered, 5 of them right; one abstained, one unparsed, one failed.
GOLD = {str(i): answer for i, answer in enumerate(["no"] * 6 + ["yes"] * 4)}
LABELS = [
    Label("0", "no"), Label("1", "no"), Label("2", "no"), Label("3", "yes"), Label("4", None), Label("5", None, failed="429"),
    Label("6", "yes"), Label("7", "yes"), Label("8", "no"), Label("9", None, unparsed=True), Label("elsewhere", "yes"),
]  # fmt: skip


def test_figures_of_a_worked_example():
    found = agreement(LABELS, GOLD)
    assert {k: found[k] for k in ("n", "answered", "abstained", "unparsed", "failed")} == {
        "n": 10, "answered": 7, "abstained": 1, "unparsed": 1, "failed": 1,
    }  # fmt: skip
    assert found["accuracy_answered"] == pytest.approx(5 / 7) and found["accuracy"] == 0.5
    assert (
        found["majority_rate"] == 0.6
        and found["gold_yes_rate"] == 0.4
        and found["yes_rate"] == pytest.approx(3 / 7)
    )
    # kappa: p_o = 5/7; labels yes 3/7, gold (of the answered) yes 3/7: p_e = 9/49 + 16/49 = 25/49; (35 - 25) / (49 - 25) = 10/24
    assert found["kappa"] == pytest.approx(10 / 24)
    # Wilson for 5 of 10: centre 0.5, half width 1.96 * sqrt(0.025 + 3.8415/400) / 1.38415 = 0.2634
    assert found["accuracy_interval"] == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_always_the_majority_has_no_kappa_beyond_chance():
    found = agreement([Label(id, "no") for id in GOLD], GOLD)
    assert found["accuracy"] == found["majority_rate"] == 0.6 and found["kappa"] == 0.0


def test_one_answer_on_both_sides_has_no_kappa_and_nothing_answered_has_no_figures():
    assert agreement([Label("0", "no")], {"0": "no"})["kappa"] is None
    found = agreement([Label("0", None)], {"0": "no"})
    assert (found["accuracy"], found["accuracy_answered"], found["kappa"], found["yes_rate"]) == (
        0.0,
        None,
        None,
        None,
    )


def test_without_gold_there_is_nothing_to_say_and_the_table_says_so():
    assert agreement(LABELS, {}) == {"n": 0}
    lines = markdown({4: agreement(LABELS, GOLD), 1: {"n": 0}}).splitlines()
    assert (
        len(lines) == 4
        and lines[2].startswith("| 1 | 0 | - |")
        and lines[3].startswith("| 4 | 10 | 7 | 0.714 (")
    )
    assert all(line.count("|") == len(HEADER) + 1 for line in lines)


def test_gold_that_cannot_be_read_is_left_out(make_row):
    rows = [make_row(0, answer="Yes."), make_row(1, answer="perhaps"), make_row(2, answer="no")]
    assert gold_answers(rows) == {"0": "yes", "2": "no"}
