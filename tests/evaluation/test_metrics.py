"""Claims about `medical_rl.evaluation.metrics`; every expected number is worked out beside it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import metrics, per_class, wilson_interval


def rows(kind, golds, preds, choices=()):
    """Prediction records whose verdict is equality."""
    return [
        {
            "id": str(i),
            "kind": kind,
            "gold": g,
            "pred": p,
            "choices": list(choices),
            "response": "",
            "correct": g == p,
        }
        for i, (g, p) in enumerate(zip(golds, preds, strict=True))
    ]


def test_always_the_majority_has_accuracy_of_its_share_and_balanced_accuracy_of_chance():
    found = metrics(rows("label", "aaab", "aaaa"))
    assert found["accuracy"] == 0.75  # 3 of 4
    assert found["majority_rate"] == 0.75  # a is 3 of 4
    assert found["balanced_accuracy"] == 0.5  # (3/3 + 0/1) / 2
    # F1 of a: precision 3/4, recall 1, so 2 * 0.75 / 1.75 = 6/7; of b: 0; mean 3/7
    assert found["macro_f1"] == pytest.approx(3 / 7)
    assert found["unparsed"] == 0


@pytest.mark.parametrize("kind, golds", [("label", "aab"), ("yes_no", ["yes", "no", "no"]), ("grade", "012")])
def test_all_unparsed_scores_zero_and_is_counted(kind, golds):
    found = metrics(rows(kind, golds, [None] * 3))
    assert (found["accuracy"], found["balanced_accuracy"], found["macro_f1"], found["unparsed"]) == (
        0,
        0,
        0,
        1,
    )


def test_unparsed_rows_stay_in_the_denominators():
    # gold a a b b, answers a, nothing, b, nothing: accuracy 2/4; recalls 1/2 and 1/2
    found = metrics(rows("label", "aabb", ["a", None, "b", None]))
    assert (found["accuracy"], found["balanced_accuracy"], found["unparsed"]) == (0.5, 0.5, 0.5)
    assert found["macro_f1"] == pytest.approx(2 / 3)  # each class: precision 1, recall 1/2


def test_an_answer_that_is_no_class_is_wrong_but_parsed_and_is_no_class_of_the_mean():
    # a: 2 of 2; b: 0 of 1. A mean over {a, b, zebra} would be 1/3 instead of 1/2.
    found = metrics(rows("label", "aab", ["a", "a", "zebra"]))
    assert (found["balanced_accuracy"], found["macro_f1"], found["unparsed"]) == (0.5, 0.5, 0)


def test_accuracy_is_the_graders_verdict_but_never_of_an_unparsed_row():
    records = [row | {"correct": True} for row in rows("label", "ab", ["A", None])]
    assert metrics(records)["accuracy"] == 0.5


def test_yes_no_takes_yes_as_the_positive_and_an_unparsed_yes_as_a_miss():
    # yes->yes, yes->nothing, yes->no, no->yes: TP 1, FP 1, FN 2. precision 1/2, recall 1/3, f1 2/(2+1+2) = 0.4
    found = metrics(rows("yes_no", ["yes", "yes", "yes", "no"], ["yes", None, "no", "yes"]))
    assert found["precision"] == 0.5
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(0.4)
    assert (found["always_yes"], found["always_no"]) == (0.75, 0.25)


def test_yes_no_gold_answers_in_other_words_are_the_datas_fault():
    with pytest.raises(UserError, match="neither 'yes' nor 'no'.*'1'"):
        metrics(rows("yes_no", ["yes", "Yes"], ["yes", "yes"]))


def test_metrics_of_a_kind_are_absent_from_the_others_and_from_a_mix():
    plain = {"accuracy", "accuracy_parsed", "balanced_accuracy", "majority_rate", "macro_f1", "unparsed"}
    assert set(metrics(rows("label", "ab", "ab"))) == plain
    assert set(metrics(rows("label", "ab", "ab") + rows("grade", "12", "12"))) == plain
    assert set(metrics(rows("yes_no", ["no"], ["no"]))) == plain | {
        "precision",
        "recall",
        "f1",
        "always_yes",
        "always_no",
    }
    assert set(metrics(rows("grade", "12", "12"))) == plain | {"mae", "quadratic_kappa"}


def test_quadratic_kappa_and_mae_by_hand():
    # gold 0 1 2, answers 0 2 2. Observed squared distances: 0 + 1 + 0 = 1, mean 1/3.
    # Expected, over all 9 pairs: answer 0: 0+1+4 = 5; answer 2: 4+1+0 = 5, twice; 15/9 = 5/3. kappa = 1 - (1/3)/(5/3).
    found = metrics(rows("grade", "012", "022"))
    assert found["quadratic_kappa"] == pytest.approx(0.8)
    assert found["mae"] == pytest.approx(1 / 3)


def test_mae_takes_an_answer_off_the_scale_as_the_worst_its_row_allows():
    # scale 0 to 4 by the choices: nothing for gold 1 costs 3, "9" for gold 4 costs 4, "mild" for gold 2 costs 2
    assert metrics(rows("grade", "142", [None, "9", "mild"], "01234"))["mae"] == 3
    # without choices the scale is that of the gold grades, 1 to 4: 3, 3 and 2
    assert metrics(rows("grade", "142", [None, "9", "mild"]))["mae"] == pytest.approx(8 / 3)
    # one gold grade only: the scale has no width, yet no answer is not a right answer
    assert metrics(rows("grade", "22", [None, "2"]))["mae"] == 0.5


def test_unparsed_grades_do_not_buy_kappa_from_the_farthest_grade():
    # Gold 5 5 5 3 of 0 to 5, answers 5 5 5 and x. Expected: three times answer 5's (0+0+0+4)/4 = 1, plus x's.
    # x = 0: observed 9, expected 3 + (3*25+9)/4 = 24, kappa 0.625. x = 5: observed 4, expected 4, kappa 0, the lowest.
    found = metrics(rows("grade", "5553", ["5", "5", "5", None], "012345"))
    assert found["quadratic_kappa"] == pytest.approx(0)
    assert metrics(rows("grade", "5553", "5550", "012345"))["quadratic_kappa"] == pytest.approx(0.625)
    assert metrics(rows("grade", "22", "22"))["quadratic_kappa"] == 0  # one gold grade: nothing beyond chance


@given(
    st.lists(
        st.tuples(st.sampled_from("0123"), st.sampled_from(["0", "1", "2", "3", None])),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_unparsed_kappa_is_the_lowest_that_any_answers_reach(pairs):
    golds, preds = zip(*pairs, strict=True)
    gaps = [i for i, pred in enumerate(preds) if pred is None][:2]  # two gaps are 16 ways to fill them
    preds = [pred if pred or i in gaps else "0" for i, pred in enumerate(preds)]
    ways = []
    for fill in itertools.product("0123", repeat=len(gaps)):
        whole = [dict(zip(gaps, fill, strict=True)).get(i, pred) for i, pred in enumerate(preds)]
        ways.append(metrics(rows("grade", golds, whole, "0123"))["quadratic_kappa"])
    assert metrics(rows("grade", golds, preds, "0123"))["quadratic_kappa"] == pytest.approx(min(ways))


def test_per_class_by_hand_in_the_order_of_the_grades():
    # gold 10: answered 10 and 2; gold 2: answered 2 -> "2": recall 1/1, precision 1/2; "10": recall 1/2, precision 1/1
    found = per_class(rows("grade", ["10", "10", "2"], ["10", "2", "2"]))
    assert list(found) == ["2", "10"]
    assert found["2"] == {"n": 1, "recall": 1.0, "precision": 0.5, "f1": pytest.approx(2 / 3)}
    assert found["10"] == {"n": 2, "recall": 0.5, "precision": 1.0, "f1": pytest.approx(2 / 3)}


def test_interval_is_wilsons():
    # z = 1.959964, z^2 = 3.841459; k/n = 1/2, n = 4: centre 1/2, half width z/(1+z^2/4) * sqrt(1/16 + z^2/64)
    # = 1.959964/1.960365 * sqrt(0.0625 + 0.0600228) = 0.999796 * 0.350032 = 0.349960
    assert wilson_interval(2, 4) == pytest.approx((0.150040, 0.849960), abs=2e-5)
    # k = n: high is 1, low is n / (n + z^2) = 10 / 13.841459
    assert wilson_interval(10, 10) == pytest.approx((0.722467, 1), abs=1e-6)


@pytest.mark.parametrize("ask", [lambda: metrics([]), lambda: per_class([]), lambda: wilson_interval(0, 0)])
def test_nothing_to_measure_is_the_users_error(ask):
    with pytest.raises(UserError):
        ask()


def test_a_gold_grade_that_is_no_number_is_refused_by_name():
    with pytest.raises(UserError, match="'0'.*'severe'"):
        metrics(rows("grade", ["severe"], ["3"]))


def test_boxes_have_overlap_figures_and_an_unparsed_one_overlaps_nothing():
    gold = "[[0, 0, 4, 4]]"
    # IoU 1; [0, 0, 4, 2]: 8 / 16 = 0.5, no hit because a hit is more than 0.5; unparsed: 0
    found = metrics(rows("box", [gold] * 3, [gold, "[[0, 0, 4, 2]]", None]))
    assert found["mean_iou"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["unparsed"] == pytest.approx(1 / 3)
    assert found["hit_rate"] == found["accuracy"]
    assert per_class(rows("box", [gold], [gold])) == {}


def test_boxes_and_classes_together_have_no_metric_in_common():
    with pytest.raises(UserError, match="two datasets"):
        metrics(rows("box", ["[[0, 0, 1, 1]]"], [None]) + rows("label", ["a"], ["a"]))


ANSWERS = {
    "label": ["a", "b", "c"],
    "choice": ["a", "b"],
    "yes_no": ["yes", "no"],
    "grade": ["0", "1", "2", "3"],
}


@st.composite
def predictions(draw):
    """Records of one kind with right, wrong, strange and unparsed answers."""
    kind = draw(st.sampled_from(sorted(ANSWERS)))
    pred = st.sampled_from([*ANSWERS[kind], None, "7", "zebra"])
    pairs = draw(st.lists(st.tuples(st.sampled_from(ANSWERS[kind]), pred), min_size=1, max_size=12))
    return rows(kind, *zip(*pairs, strict=True))


@given(predictions())
@settings(max_examples=150, deadline=None)
def test_every_number_is_in_its_range_and_accuracy_is_the_mean_of_correct(records):
    found = metrics(records)
    assert 0 <= found.pop("mae", 0) <= 3  # the widest scale is 0 to 3
    assert -1 - 1e-12 <= found.pop("quadratic_kappa", 0) <= 1
    assert all(0 <= value <= 1 for value in found.values())
    assert found["accuracy"] == sum(r["correct"] for r in records) / len(records)
    low, high = wilson_interval(sum(r["correct"] for r in records), len(records))
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert sum(of["n"] for of in per_class(records).values()) == len(records)


@given(predictions(), st.integers(0, 11))
@settings(max_examples=100, deadline=None)
def test_not_answering_never_beats_answering(records, at):
    at %= len(records)
    silent = [r | {"pred": None, "correct": False} if i == at else r for i, r in enumerate(records)]
    before, after = metrics(records), metrics(silent)
    for name in ("accuracy", "balanced_accuracy", "recall", "quadratic_kappa"):
        assert after.get(name, 0) <= before.get(name, 0) + 1e-9
    assert after.get("mae", 0) >= before.get("mae", 0)
