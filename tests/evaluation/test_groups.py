"""Claims about figures per modality and question type."""

import io

import pytest
from rich.console import Console

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import UNNAMED, group_metrics, macro_accuracy
from medical_rl.evaluation.results import entry
from medical_rl.evaluation.tables.results_table import print_results, results_markdown


def row(number, kind, gold, pred, **groups):
    """One prediction record whose verdict is equality."""
    return {"id": str(number), "kind": kind, "gold": gold, "pred": pred, "choices": [], "response": "",
            "correct": gold == pred, "groups": groups}  # fmt: skip


def mixed():
    """Four rows of CT (3 of 4 right) and one of MRI (0 of 1): grades and labels together."""
    return [
        row(0, "grade", "0", "0", modality="CT", question_type="grading"),
        row(1, "grade", "2", "0", modality="CT", question_type="grading"),
        row(2, "label", "left", "left", modality="CT", question_type="side"),
        row(3, "label", "none", "none", modality="CT", question_type="side"),
        row(4, "label", "right", "left", modality="MRI", question_type="side"),
    ]


def test_micro_counts_rows_alike_and_macro_counts_groups_alike():
    found = entry("rl", "d", "test", mixed())
    assert found["metrics"]["accuracy"] == pytest.approx(3 / 5)
    # CT 3/4 and MRI 0/1: (0.75 + 0) / 2; grading 1/2 and side 2/3: (1/2 + 2/3) / 2
    assert found["macro_accuracy"] == {
        "modality": pytest.approx(0.375),
        "question_type": pytest.approx(7 / 12),
    }


def test_each_group_has_its_own_n_metrics_and_interval():
    ct = entry("rl", "d", "test", mixed())["groups"]["modality"]["CT"]
    assert ct["n"] == 4 and ct["accuracy"] == 0.75
    # recalls of 0, 2, left, none: 1, 0, 1, 1
    assert ct["balanced_accuracy"] == pytest.approx(0.75)
    # Wilson for 3 of 4: centre (0.75 + 3.8415/8) / (1 + 3.8415/4) = 0.6275, half width 0.3269
    assert ct["interval"]["accuracy"] == pytest.approx([0.3006, 0.9544], abs=1e-4)


def test_a_group_of_grades_has_the_figures_of_grades_though_the_rows_together_do_not():
    found = entry("rl", "d", "test", mixed())
    assert "mae" not in found["metrics"]
    grading = found["groups"]["question_type"]["grading"]
    assert grading["mae"] == 1  # 0 and 2 grades off, over two rows
    assert "mae" not in found["groups"]["question_type"]["side"]


def test_rows_without_a_name_are_counted_but_are_no_group_of_the_macro_mean():
    rows = [*mixed(), row(5, "label", "left", "right")]
    found = group_metrics(rows)
    assert list(found["modality"]) == ["CT", "MRI", UNNAMED]
    assert sum(of["n"] for of in found["modality"].values()) == len(rows)
    assert macro_accuracy(found)["modality"] == pytest.approx(0.375), "as without the row"


def test_data_that_name_no_group_have_none():
    rows = [{k: v for k, v in r.items() if k != "groups"} for r in mixed()]
    found = entry("rl", "d", "test", rows)
    assert found["groups"] == {} and found["macro_accuracy"] == {}
    text = results_markdown({"recipe": "r", "scale": "tiny", "seed": 0, "evaluations": [found]})
    assert "Accuracy by" not in text


def test_boxes_and_classes_are_refused_though_each_group_holds_one_kind():
    rows = [row(0, "box", "[[0, 0, 2, 2]]", None, modality="CT"), row(1, "label", "a", "a", modality="MRI")]
    with pytest.raises(UserError, match="Boxes and classes"):
        entry("rl", "d", "test", rows)


def test_the_markdown_has_a_table_of_accuracies_models_by_groups():
    rounds = [entry("base", "d", "test", mixed()), entry("rl", "d", "test", mixed(), round=2)]
    text = results_markdown({"recipe": "medgr2", "scale": "tiny", "seed": 0, "evaluations": rounds})
    assert "Accuracy by modality:" in text and "Accuracy by question type:" in text
    assert "| Model | All rows (micro) | Mean of groups (macro) | CT (n 4) | MRI (n 1) |\n" in text
    assert "| round 2 rl | 0.600 | 0.375 | 0.750 | 0.000 |\n" in text


@pytest.mark.parametrize("models", [1, 7])
def test_80_columns_hold_every_groups_accuracy(models):
    long = {"modality": "Fundus Photography", "question_type": "Other Biological Attributes"}
    rows = [*mixed(), row(9, "label", "a", "a", **long)]
    evaluations = [entry("Qwen/Qwen2.5-VL-72B-Instruct", "d", "test", rows, round=i) for i in range(models)]
    out = io.StringIO()
    results = {"recipe": "medgr2", "scale": "tiny", "seed": 0, "evaluations": evaluations, "notes": []}
    print_results(results, Console(width=80, file=out))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in out.getvalue()
    # 3 modalities, 3 question types, the row of all and two means: a figure a model
    figures = [line.split() for line in lines if line.startswith(("all rows", "each ", "  "))]
    of = {name: [w for f in figures if f[: len(name.split())] == name.split() for w in f if w[:2] in ("0.", "1.")] for name in
          ("all rows", "each modality", "each question", "CT", "MRI", "Fundus", "grading", "side", "Other")}  # fmt: skip
    assert {name: len(found) for name, found in of.items()} == dict.fromkeys(of, models)
    assert set(of["CT"]) == {"0.750"} and set(of["Fundus"]) == {"1.000"}
