"""Curves of several runs (VRFT-Aug, figure 4): which lines, told by what differs, recitation on one scale."""

import pytest

from medical_rl.errors import UserError
from medical_rl.evaluation.__main__ import main
from medical_rl.evaluation.figures.training_curves import compared_curves, compared_table
from medical_rl.evaluation.results import find_runs


@pytest.fixture
def study(made_up):
    """Three runs: without the term, paid 0.2 and charged 2 for reciting; each thought has a BLEU of 0.5, then 0.25."""
    for name, delta in (("none", None), ("paid", 0.2), ("charged", -2.0)):
        settings = {"conf.rewards.terms.outcome.weight": 0.9}
        settings |= {"conf.rewards.terms.recitation.delta": delta} if delta else {}
        lines = []
        for step, bleu in ((1, 0.5), (2, 0.25)):
            line = {"stage": "rl", "step": step, "reward/total": 0.5, "reward/accuracy": 0.4 * step}
            line |= {"reward/recitation/mean": delta * bleu} if delta else {}
            lines.append(line)
        lines.append({"stage": "rl", "step": 2, "validation/score": 0.7})
        run = made_up(f"study/{name}", settings, metrics=lines)
    return run.parent


def test_recitation_is_shown_as_bleu_whatever_its_delta(study):
    found = compared_curves(find_runs([study]))
    deltas = {name.split("delta=")[1].split(",")[0]: of for name, of in found.items()}
    # 0.2 x 0.5 / 0.2 and -2 x 0.5 / -2: the same thoughts
    assert deltas["0.2"]["bleu"] == deltas["-2.0"]["bleu"] == {1: pytest.approx(0.5), 2: pytest.approx(0.25)}
    assert "bleu" not in deltas["null"]
    assert deltas["null"]["rollouts"] == {1: 0.4, 2: 0.8} and deltas["null"]["validation"] == {2: 0.7}
    header, body = compared_table(found)
    # 95 % of 0.8 is reached at step 2; of BLEU's 0.5 at step 1
    assert [row[-1] for row in body if "rollouts" in row[1]] == ["2"] * 3
    assert [row[-1] for row in body if "BLEU" in row[1]] == ["1"] * 2


def test_one_run_leaves_its_picture_in_its_folder_and_several_need_a_place(study, tmp_path, capsys):
    assert main(["curve", str(study / "paid")]) == 0
    assert (study / "paid" / "curve.png").stat().st_size > 5000
    assert main(["curve", str(study)]) == 2
    assert "3 runs" in capsys.readouterr().err
    assert main(["curve", str(study), "--out", str(tmp_path / "figure4.png")]) == 0
    assert "Phantoms" in capsys.readouterr().out and (tmp_path / "figure4.png").stat().st_size > 5000


def test_runs_without_a_step_are_told(made_up):
    with pytest.raises(UserError, match="None of the 1 runs has logged a step"):
        compared_curves(find_runs([made_up("bare")]))
