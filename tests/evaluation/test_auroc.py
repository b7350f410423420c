"""Claims about AUROC from option probabilities; every expected number is worked out beside it."""

import math

import pytest

from medical_rl.errors import UserError
from medical_rl.evaluation.auroc import auroc, option_probabilities
from medical_rl.evaluation.metrics import metrics


def row(number, gold, kind="choice", **scores):
    """One record whose options have these probabilities; the answer read is the likeliest."""
    best = max(scores, key=scores.get) if scores else gold
    found = {
        "id": str(number),
        "kind": kind,
        "gold": gold,
        "pred": best,
        "choices": list(scores),
        "correct": best == gold,
    }
    return {**found, "option_scores": scores} if scores else found


def test_yes_no_is_ranked_by_the_probability_of_yes():
    rows = [
        row(0, "yes", "yes_no", yes=0.9, no=0.1),
        row(1, "yes", "yes_no", yes=0.4, no=0.6),
        row(2, "no", "yes_no", yes=0.6, no=0.4),
        row(3, "no", "yes_no", yes=0.1, no=0.9),
    ]
    # of the four pairs (yes row, no row), 0.9 beats both, 0.4 beats 0.1 only: 3 of 4
    assert auroc(rows) == (0.75, "by the probability of yes")
    assert metrics(rows)["auroc"] == 0.75


def test_a_tie_counts_half():
    rows = [row(0, "yes", "yes_no", yes=0.5, no=0.5), row(1, "no", "yes_no", yes=0.5, no=0.5)]
    assert auroc(rows)[0] == 0.5


def test_a_ranking_that_is_right_throughout_is_perfect_though_no_answer_is_right():
    # "no" is always likelier, so half the answers are wrong; the ranking by P(yes) is none the less
    rows = [
        row(i, gold, "yes_no", yes=p, no=1 - p)
        for i, (gold, p) in enumerate([("yes", 0.4), ("yes", 0.3), ("no", 0.1)])
    ]
    assert auroc(rows)[0] == 1.0 and metrics(rows)["accuracy"] == pytest.approx(1 / 3)


def test_classes_are_each_against_the_rest_and_the_mean_counts_classes_alike():
    rows = [
        row(0, "a", "label", a=0.5, b=0.3, c=0.2),
        row(1, "a", "label", a=0.2, b=0.7, c=0.1),
        row(2, "b", "label", a=0.3, b=0.6, c=0.1),
        row(3, "c", "label", a=0.1, b=0.1, c=0.8),
    ]
    # a: 0.5 and 0.2 against 0.3 and 0.1: 3 of 4. b: 0.6 against 0.3, 0.7, 0.1: 2 of 3. c: 0.8 against all: 3 of 3
    area, how = auroc(rows)
    assert area == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
    assert how == "each class against the rest, mean over the 3 classes that occur"


def test_a_class_that_no_row_has_is_not_averaged_over():
    rows = [row(0, "a", "label", a=0.5, b=0.3, c=0.2), row(1, "b", "label", a=0.6, b=0.3, c=0.1)]
    # a: 0.5 against 0.6, wrong: 0. b: 0.3 against 0.3, a tie: 0.5. c has no gold row
    assert auroc(rows)[0] == pytest.approx(0.25)


def test_options_in_another_order_are_the_same_classes():
    rows = [row(0, "a", a=0.9, b=0.1), row(1, "b", b=0.8, a=0.2)]
    assert auroc(rows) == (1.0, "each class against the rest, mean over the 2 classes that occur")


def test_options_that_vary_are_one_ranking_of_row_and_option():
    rows = [row(0, "CT", CT=0.7, MRI=0.3), row(1, "left", left=0.2, right=0.5, both=0.3)]
    # right pairs 0.7 and 0.2; wrong pairs 0.3, 0.5, 0.3: 0.7 beats three, 0.2 none: 3 of 6
    area, how = auroc(rows)
    assert area == 0.5 and "pairs of a row and an option" in how


def test_grades_and_labels_together_are_pooled():
    rows = [row(0, "1", "grade", **{"0": 0.4, "1": 0.6}), row(1, "left", "label", left=0.9, right=0.1)]
    assert auroc(rows)[0] == 1.0
    assert metrics(rows)["auroc"] == 1.0


def test_one_class_only_has_no_auroc_and_the_reason_is_told():
    rows = [row(i, "yes", "yes_no", yes=0.9, no=0.1) for i in range(3)]
    assert auroc(rows) == (None, "it is undefined, as every gold answer is 'yes'")
    assert "auroc" not in metrics(rows)


def test_rows_without_options_are_left_out_and_counted():
    rows = [row(0, "a", a=0.9, b=0.1), row(1, "b", a=0.2, b=0.8), row(2, "free text", "label")]
    area, how = auroc(rows)
    assert area == 1.0 and how.endswith("; 1 rows without options are left out")


def test_without_scores_there_is_no_auroc():
    assert auroc([row(0, "a"), row(1, "b")]) == (None, "no row has options that were scored")
    assert "auroc" not in metrics([row(0, "a"), row(1, "b")])


def test_a_gold_answer_that_is_no_option_is_bad_data():
    with pytest.raises(UserError, match="1 rows are none of their options; the first is row '1'"):
        auroc([row(0, "a", a=0.5, b=0.5), row(1, "z", a=0.5, b=0.5)])


def test_probabilities_sum_to_one_and_survive_tiny_and_no_likelihoods():
    # e^-1000 and e^-1001: 1 / (1 + 1/e) = 0.7311
    found = option_probabilities(("a", "b"), (-1000.0, -1001.0))
    assert found["a"] == pytest.approx(1 / (1 + math.exp(-1))) and sum(found.values()) == pytest.approx(1)
    assert option_probabilities(("a", "b"), (-math.inf, -2.0)) == {"a": 0.0, "b": 1.0}
    assert option_probabilities(("a", "b"), (-math.inf, -math.inf)) == {"a": 0.5, "b": 0.5}


def test_options_of_one_text_count_together():
    # weights 2, 1, 1 of 4
    found = option_probabilities(("CT", "MRI", "CT"), (math.log(2), math.log(1), math.log(1)))
    assert found == {"CT": 0.75, "MRI": 0.25}
