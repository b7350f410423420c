"""Claims about the tables on the terminal."""

import io

import pytest
from rich.console import Console

from medical_rl.evaluation.results import entry
from medical_rl.evaluation.tables.results_table import accuracy_gains, print_results


def rows(kind, golds, preds):
    """Prediction records whose verdict is equality."""
    return [
        {"id": str(i), "kind": kind, "gold": g, "pred": p, "choices": [], "response": "", "correct": g == p}
        for i, (g, p) in enumerate(zip(golds, preds, strict=True))
    ]


def printed(evaluations, notes=()):
    """What `print_results` prints on a plain terminal of 80 columns."""
    out = io.StringIO()
    results = {
        "recipe": "medfact_r1",
        "scale": "tiny",
        "seed": 0,
        "evaluations": evaluations,
        "notes": list(notes),
    }
    print_results(results, Console(width=80, file=out))
    return out.getvalue()


def words_asked_for(row):
    """Every figure of an evaluation as the table writes it."""
    low, high = row["interval"]["accuracy"]
    return [str(row["n"]), f"{low:.3f}-{high:.3f}", *(f"{value:.3f}" for value in row["metrics"].values())]


YES_NO = ["yes", "no"] * 2000
GRADES = list("0123") * 300


@pytest.mark.parametrize(
    "kind, golds, first, second",
    [
        ("label", list("aaab") * 500, ["a"] * 2000, list("aabb") * 500),
        ("yes_no", YES_NO, ["yes"] * 3000 + [None] * 1000, YES_NO),
        ("grade", GRADES, [None] * 600 + ["3"] * 600, list("0122") * 300),
    ],
)
def test_80_columns_hold_every_figure_of_every_kind(kind, golds, first, second):
    evaluations = [
        entry("base", "some_dataset", "test", rows(kind, golds, first)),
        entry("rl", "some_dataset", "test", rows(kind, golds, second), round=12),
    ]
    text = printed(evaluations)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for row in evaluations:
        for word in words_asked_for(row):
            assert word in text.split(), word


def test_gain_is_accuracy_minus_that_of_the_stage_before():
    # 1 of 4, then 3 of 4, then 4 of 4: +0.500 and +0.250; the first stage has none
    answers = [("base", "abbb"), ("warm_start", "aaab"), ("rl", "aaaa")]
    text = printed([entry(model, "d", "test", rows("label", "aaaa", preds)) for model, preds in answers])
    assert text.split().count("–") == 2  # in the table of figures and in that of the readings
    assert "+0.500" in text and "+0.250" in text


def test_gains_keep_to_their_data_set_and_skip_rivals():
    def row(model, dataset, accuracy):
        return {"model": model, "dataset": dataset, "split": "test", "metrics": {"accuracy": accuracy}}

    evaluations = [
        row("base", "x", 0.25),
        row("base", "y", 0.5),
        row("sft", "x", 1.0),  # 1.0 - 0.25, the stage above it
        row("some/other-model", "x", 0.9),  # no stage of ours
        row("warm_start", "x", 0.5),  # 0.5 - 0.25: base, not the rival
        row("rl", "y", 0.25),  # 0.25 - 0.5: a loss is shown as one
    ]
    assert accuracy_gains(evaluations) == [None, None, 0.75, None, 0.25, -0.25]


def test_notes_are_printed_as_they_are_with_the_disclaimer_last():
    note = "The warm start's labels are wrong on purpose: 50 % [bold] of them."
    text = printed([entry("base", "d", "test", rows("label", "ab", "ab"))], [note])
    assert note in text
    assert text.rstrip().endswith("Not for clinical use.")


def test_each_data_set_has_its_own_table():
    both = [entry("base", name, "test", rows("label", "ab", "ab")) for name in ("heel", "mmmu")]
    lines = [line.strip() for line in printed(both).splitlines()]
    assert "heel, test" in lines and "mmmu, test" in lines
