"""What is said of an alignment: figures worked out by hand, and a verdict that a rising margin alone cannot buy."""

import json

import numpy as np
import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.pairs import Preference
from medical_rl.pseudo_label.alignment.report import bootstrap, figures, form_of, page, verdict
from medical_rl.sample import Sample

FALL = {"logprob": 1.0, "well_formed": 0.02, "accuracy": 0.05}
FORM = "<think>t</think><answer>{}</answer>"


def row(number: int, pair: bool = True, study: str = "") -> Preference:
    sample = Sample(id=str(number), source="demo", question="?", kind="yes_no", answer="yes")
    rejected = FORM.format("no") if pair else None
    return Preference(
        sample.id,
        study or sample.id,
        "right_wrong" if pair else "right_right",
        (),
        (),
        FORM.format("yes"),
        rejected,
        sample,
    )


def lines(rows, chosen, rejected, response):
    return [
        {"id": r.id, "chosen": c, "rejected": rejected if r.rejected else None, "response": response}
        for r, c in zip(rows, np.broadcast_to(chosen, len(rows)).tolist(), strict=True)
    ]


YES, NO = FORM.format("yes"), FORM.format("no")


def test_the_margin_is_what_the_reference_did_not_have():
    rows = [row(0), row(1), row(2, pair=False)]
    before = lines(rows, [-2.0, -4.0, -1.0], -3.0, NO)
    after = lines(rows, [-1.0, -3.5, -1.5], -5.0, YES)
    found = figures(rows, {"before": before, "after": after})["arms"]
    # Pair 0: (-1 + 5) - (-2 + 3) = 3; pair 1: (-3.5 + 5) - (-4 + 3) = 2.5.
    assert found["after"]["margin"]["value"] == pytest.approx(2.75) and found["after"]["margin"]["n"] == 2
    assert found["after"]["pair_accuracy"]["value"] == 1.0 and found["before"]["margin"] is None
    assert found["before"]["prefers_gold"]["value"] == 0.5  # -2 > -3, but not -4 > -3
    assert (
        found["before"]["chosen_logprob"]["value"] == -3.0
        and found["after"]["chosen_logprob"]["change"] == 0.75
    )
    # All three rows: (-2 - 4 - 1) / 3 before, (-1 - 3.5 - 1.5) / 3 after.
    assert found["after"]["gold_logprob"]["change"] == pytest.approx(1 / 3)
    assert found["after"]["accuracy"] | {"low": 0, "high": 0} == {
        "n": 3, "value": 1.0, "low": 0, "high": 0, "change": 1.0, "change_low": 1.0, "change_high": 1.0,
    }  # fmt: skip


def test_a_rising_margin_with_a_sinking_chosen_answer_is_a_collapse():
    """The figures once measured at lr 1e-3: margin up, pair accuracy 0.94, chosen answers from -1.2 to -11.1, 40 % well-formed."""
    rows = [row(i) for i in range(10)]
    before = lines(rows, -1.2, -2.0, YES)
    after = lines(rows, -11.1, -29.0, YES)
    for line in after[:6]:
        line["response"] = "<think>t</thi"
    found = figures(rows, {"before": before, "after": after})["arms"]["after"]
    assert found["margin"]["low"] > 10 and found["pair_accuracy"]["value"] == 1.0
    told = verdict(found, FALL)
    assert told["verdict"] == "collapsed"
    assert "chosen_logprob fell by 9.900 (allowed: 1)" in told["reasons"]
    assert "well_formed fell by 0.600 (allowed: 0.02)" in told["reasons"] and len(told["reasons"]) == 4


@pytest.mark.parametrize(
    "change, says",
    [
        ({"chosen": -3.1}, "chosen_logprob fell by 1.100"),
        ({"wrong": 2}, "accuracy fell by 0.100 (allowed: 0.05)"),
        ({"untidy": 1}, "well_formed fell by 0.050 (allowed: 0.02)"),
    ],
)
def test_each_fall_beyond_its_tolerance_is_enough(change, says):
    rows = [row(i) for i in range(20)]
    before = lines(rows, -2.0, -2.0, YES)
    after = lines(rows, change.get("chosen", -2.0), -9.0, YES)
    for line in after[: change.get("wrong", 0)]:
        line["response"] = NO
    for line in after[: change.get("untidy", 0)]:
        line["response"] = YES + "?"  # read as right, but something stands outside the tags
    told = verdict(figures(rows, {"before": before, "after": after})["arms"]["after"], FALL)
    assert told["verdict"] == "collapsed" and told["reasons"][0].startswith(says)


def test_falls_within_the_tolerance_and_a_rising_margin_are_aligned():
    rows = [row(i) for i in range(20)]
    before, after = lines(rows, -2.0, -2.0, YES), lines(rows, -2.9, -9.0, YES)
    after[0]["response"] = NO  # one of 20: exactly the allowed 0.05
    assert (
        verdict(figures(rows, {"before": before, "after": after})["arms"]["after"], FALL)["verdict"]
        == "aligned"
    )


def test_a_margin_that_may_be_nothing_is_told_as_such():
    rows = [row(i) for i in range(20)]
    before = lines(rows, -2.0, -3.0, YES)
    after = lines(rows, [-2.0 + (-1) ** i * 0.1 for i in range(20)], -3.0, YES)  # margins +-0.1, mean 0
    told = verdict(figures(rows, {"before": before, "after": after})["arms"]["after"], FALL)
    assert told["verdict"] == "unmoved" and "0.0000 [" in told["reasons"][0]
    assert (
        verdict(figures(rows, {"before": before, "after": before[:]})["arms"]["after"], FALL)["verdict"]
        == "unmoved"
    )


def test_intervals_draw_whole_studies():
    # Two studies of 50 equal rows each: rows drawn singly would give about +-0.1, whole studies give 0 to 1.
    values = np.repeat([0.0, 1.0], 50)
    assert bootstrap(values, ["a"] * 50 + ["b"] * 50, seed=0) == (0.0, 1.0)
    low, high = bootstrap(values, [str(i) for i in range(100)], seed=0)
    assert 0.38 < low < 0.42 and 0.58 < high < 0.62  # 0.5 +- 1.96 x 0.05
    assert bootstrap(values, [str(i) for i in range(100)], seed=0) == (low, high)


def test_well_formed_is_the_form_of_the_gold_answers():
    assert form_of([row(0)]) == "tagged"
    boxed = [Preference("1", "1", "", (), (), "<think>t</think> \\boxed{yes}", None, row(0).sample)]
    assert form_of(boxed) == "boxed" and form_of([row(0), *boxed]) is None


def test_scores_of_other_rows_are_refused():
    rows = [row(0), row(1)]
    with pytest.raises(UserError, match="the model after are not of the 2 held-out rows"):
        figures(rows, {"before": lines(rows, -1, -1, YES), "after": lines(rows[::-1], -1, -1, YES)})


def test_the_page_says_plainly_which_labeller_is_used():
    rows = [row(0), row(1), row(2, pair=False)]
    arms = {
        name: lines(rows, -1.0 - i, -3.0 - 9 * i, YES)
        for i, name in enumerate(("before", "after", "control"))
    }
    found = json.loads(json.dumps(figures(rows, arms)))  # what is written can be read back
    cells = dict.fromkeys(("right_right", "right_wrong", "wrong_right", "wrong_wrong"), 3)
    counts = cells | {
        "unreadable": 0,
        "not_asked": 1,
        "train_pairs": 5,
        "held_out_pairs": 2,
        "train_answers": {"yes": 5},
    }
    report = {
        "figures": found,
        "counts": counts,
        "verdict": "collapsed",
        "reasons": ["accuracy fell"],
        "kept": "reference",
        "changed": 0.5,
    }
    text = page(report, phantom=True)
    assert "**collapsed**; accuracy fell. **The labeller is used as it was before" in text
    assert "phantom images drawn by code" in text and "Not for clinical use." in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 8 and all(line.count("|") == 5 for line in table)
    assert "50.00% of the adapted weights" in text
