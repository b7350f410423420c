"""The loop's table, from a manifest alone; and the loop inside a run's pipeline."""

import json

from rich.console import Console

from medical_rl.loop import rounds
from medical_rl.run.folder import RunFolder

LOOP = {
    "rounds": 2,
    "steps": ["generate", "score", "select", "warm_start", "rl", "preferences", "reward_model"],
    "evolve_last": False,
}


def folder(tmp_path, **stages):
    path = tmp_path / "run"
    path.mkdir()
    (path / "manifest.json").write_text(
        json.dumps({"stages": {k: {"figures": v} for k, v in stages.items()}})
    )
    return RunFolder(path)


def test_a_round_is_told_with_the_r_phi_it_was_scored_by(tmp_path):
    run = folder(
        tmp_path,
        **{
            "reward_model": {"spearman": 0.96, "probe_gap": 5.0},
            "round_1/select": {
                "candidates": 300,
                "kept": 170,
                "added": 170,
                "total": 234,
                "errors_generated": 0.3,
                "errors_kept": 0.05,
            },
            "round_1/rl": {"accuracy_before": 0.7, "accuracy": 0.8, "learned_before": 3.0, "learned": 6.0},
            "round_1/reward_model": {"spearman": 0.91, "probe_gap": 6.0},
        },
    )
    assert rounds.round_figures(run, 1, LOOP)["spearman"] == 0.96
    assert rounds.round_figures(run, 2, LOOP)["spearman"] == 0.91  # the one that round 1 trained
    assert rounds.round_figures(run, 2, LOOP)["accuracy"] is None


def test_the_table_fits_80_columns_and_marks_the_best_round():
    row = {name: 0.5 for name in rounds.ROUND_COLUMNS} | {"generated": 50000, "kept": 30000, "total": 32000}
    outcome = {"rounds": [row | {"round": 1}, row | {"round": 2}], "best_round": 2, "stopped": None}
    console = Console(width=80, record=True)
    console.print(rounds.rounds_table(outcome))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "50,000" in text and "2*" in text and "0.500" in text


def test_before_the_loop_has_ended_there_is_no_outcome(tmp_path):
    assert rounds.read_outcome(folder(tmp_path)) is None
