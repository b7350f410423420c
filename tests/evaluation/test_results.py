"""Claims about results.json and results.md."""

import json
import os

import pytest

from medical_rl.errors import UserError
from medical_rl.evaluation.results import entry, read_results, write_results


def rows(golds, preds, kind="label"):
    """Prediction records whose verdict is equality."""
    return [
        {"id": str(i), "kind": kind, "gold": g, "pred": p, "choices": [], "response": "", "correct": g == p}
        for i, (g, p) in enumerate(zip(golds, preds, strict=True))
    ]


BASE = entry("base", "pneumoniamnist", "test", rows("aaab", ["a", "a", "b", None]))


def test_an_entry_keeps_the_contract():
    found = entry("rl", "heel", "test", rows("0122", "0122", "grade"), round=2)
    contract = [
        "model",
        "round",
        "dataset",
        "split",
        "n",
        "metrics",
        "interval",
        "groups",
        "macro_accuracy",
        "per_class",
    ]
    assert list(found) == contract
    assert (found["model"], found["round"], found["dataset"], found["split"], found["n"]) == (
        "rl",
        2,
        "heel",
        "test",
        4,
    )
    assert found["metrics"]["quadratic_kappa"] == 1
    # all 4 of 4 right: Wilson's low is 4 / (4 + 1.96^2) = 4 / 7.8415 = 0.5101
    assert found["interval"]["accuracy"] == pytest.approx([0.5101, 1], abs=1e-4)
    assert found["per_class"]["2"]["n"] == 2
    assert BASE["round"] is None


def test_what_is_written_is_read_back(tmp_path):
    path = write_results(tmp_path / "run", "vrft_aug", "tiny", 7, [BASE], ["A note."])
    assert path == tmp_path / "run" / "results.json"
    assert read_results(tmp_path / "run") == {
        "recipe": "vrft_aug", "scale": "tiny", "seed": 7, "evaluations": [BASE], "notes": ["A note."]
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path / "run")) == ["results.json", "results.md"]


def test_rerunning_replaces(tmp_path):
    write_results(tmp_path, "vrft_aug", "tiny", 1, [BASE, BASE], ["Old."])
    write_results(tmp_path, "vrft_aug", "tiny", 2, [BASE], [])
    assert read_results(tmp_path)["seed"] == 2
    assert len(read_results(tmp_path)["evaluations"]) == 1
    assert "Old." not in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize("broken", ["os.replace", "pathlib.Path.write_text"])
def test_a_failure_while_writing_leaves_the_old_files_and_no_rubbish(tmp_path, monkeypatch, broken):
    write_results(tmp_path, "vrft_aug", "tiny", 1, [BASE])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fail)
        with pytest.raises(OSError, match="disk full"):
            write_results(tmp_path, "vrft_aug", "tiny", 2, [BASE])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_number_that_json_has_no_word_for_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError):
        write_results(
            tmp_path / "run", "vrft_aug", "tiny", 1, [BASE | {"metrics": {"accuracy": float("nan")}}]
        )
    assert not (tmp_path / "run").exists()


def test_the_markdown_has_notes_figures_and_the_disclaimer(tmp_path):
    after = entry("rl", "pneumoniamnist", "test", rows("aaab", "aaab"))
    note = "The warm start's labels are wrong on purpose: 50 % of them."
    write_results(tmp_path, "vrft_aug", "tiny", 0, [BASE, after | {"model": "warm_start"}, after], [note])
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert text.startswith("# Results: vrft_aug (tiny scale, seed 0)\n")
    assert note in text
    assert (
        "| Model | n | Accuracy [95 % CI] | Accuracy among parsed | Balanced accuracy | Majority rate | Macro F1 "
        "| Unparsed |\n" in text
    )
    # accuracy 2/4, Wilson 0.150 to 0.850, 2/3 of the parsed; recalls 2/3 and 0; F1 of a 2*2/(2*2+0+1) = 0.8, of b 0; one of 4 unparsed
    assert (
        "| base (untrained or as downloaded) | 4 | 0.500 [0.150, 0.850] | 0.667 | 0.333 | 0.750 | 0.400 | 0.250 |\n"
        in text
    )
    assert "| warm start | 4 | 1.000 [" in text
    assert "| RL (best by validation) | 4 | 1.000 [" in text
    assert "| base (untrained or as downloaded) | a | 3 | 0.667 | 1.000 | 0.800 |\n" in text
    assert text.endswith("\nNot for clinical use.\n")


def test_columns_of_a_kind_appear_only_in_the_table_of_their_data_set(tmp_path):
    graded = entry("base", "heel", "test", rows("012", "022", "grade"))
    asked = entry("base", "iu_xray", "test", rows(["yes", "no"], ["yes", "no"], "yes_no"))
    write_results(tmp_path, "vrft_aug", "tiny", 0, [graded, asked])
    heel, xray = (tmp_path / "results.md").read_text(encoding="utf-8").split("## ")[1:]
    assert "| Unparsed | MAE | Quadratic kappa |\n" in heel
    assert "| Unparsed | Precision | Recall | F1 |\n" in xray
    assert "0.333 | 0.800 |" in heel  # mae 1/3 and kappa 0.8, see test_metrics


def test_class_names_from_data_cannot_break_the_table_and_many_are_cut(tmp_path):
    golds = ["bar|red\nnext", "bar|red\nnext"] + [f"c{i:02}" for i in range(24)]
    write_results(tmp_path, "vrft_aug", "tiny", 0, [entry("base", "mmmu", "test", rows(golds, golds))])
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| bar\\|red next | 2 |" in text
    assert "| 5 rarer classes: see results.json |" in text  # 25 classes, 20 shown
    assert len(read_results(tmp_path)["evaluations"][0]["per_class"]) == 25


@pytest.mark.parametrize(
    "content, complaint",
    [
        (None, "There is no .*results.json"),
        ("{", "cannot be read as JSON"),
        ("[]", "lacks recipe, scale, seed, evaluations"),
        ('{"recipe": "x", "scale": "tiny", "seed": 0}', "lacks evaluations"),
        ('{"recipe": "x", "scale": "tiny", "seed": 0, "evaluations": 3}', "evaluations without model"),
        (
            '{"recipe": "x", "scale": "tiny", "seed": 0, "evaluations": [{"model": "rl"}]}',
            "evaluations without model",
        ),
    ],
)
def test_absent_or_broken_results_are_explained(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_results(tmp_path)


def test_the_file_is_plain_json_with_numbers_not_strings(tmp_path):
    found = json.loads(write_results(tmp_path, "vrft_aug", "tiny", 0, [BASE]).read_text())
    assert all(isinstance(value, float) for value in found["evaluations"][0]["metrics"].values())
    assert isinstance(found["evaluations"][0]["per_class"]["a"]["n"], int)
