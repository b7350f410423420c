"""The numbers of each picture, and that each says what it must: n, phantoms, not for clinical use."""

import pytest
from PIL import Image

from medical_rl.errors import UserError
from medical_rl.evaluation.__main__ import main
from medical_rl.evaluation.figures.medgr2 import mcnemar_p, scaling_arms, transfer_matrices, transition_counts
from medical_rl.evaluation.figures.plot import canvas, save_figure
from medical_rl.evaluation.figures.training_curves import run_curve
from medical_rl.evaluation.results import find_runs, read_predictions

GROUPS = {"modality": ["CT", "MRI"]}


def test_transitions_count_each_row_once_in_all_and_in_its_group(records):
    before, after = records([1, 1, 0, 0, 0, 1], GROUPS), records([1, 0, 1, 0, 1, 1], GROUPS)
    found = transition_counts(before, after)
    flows = {
        name: [of[f] for f in ("correct → correct", "wrong → correct", "correct → wrong", "wrong → wrong")]
        for name, of in found.items()
    }
    # rows 0, 2, 4 are CT: kept, corrected, corrected; rows 1, 3, 5 MRI: broken, missed, kept
    assert flows == {"all rows": [2, 2, 1, 1], "CT": [1, 2, 0, 0], "MRI": [1, 0, 1, 1]}
    assert [of["n"] for of in found.values()] == [6, 3, 3]
    # 2 corrected, 1 broken: both tails of (1/2)^3 x (3 + 1) x 2 = 1; CT 2 and 0: 2 x (1/2)^2
    assert found["all rows"]["p"] == 1.0 and found["CT"]["p"] == pytest.approx(0.5)


def test_mcnemars_p_is_exact():
    # 8 against 2 of 10: 2 x (1 + 10 + 45) / 1024
    assert mcnemar_p(8, 2) == mcnemar_p(2, 8) == pytest.approx(2 * 56 / 1024)
    assert mcnemar_p(10, 0) == pytest.approx(2 / 1024) and mcnemar_p(0, 0) == 1.0


def test_an_unparsed_answer_is_wrong_whatever_the_verdict_says(records):
    before, after = records([1]), records([1])
    after[0]["pred"] = None
    assert transition_counts(before, after)["all rows"]["correct → wrong"] == 1


def test_models_that_answered_other_rows_are_not_compared(records):
    with pytest.raises(UserError, match="1 rows are in one only, such as .'row 2'"):
        transition_counts(records([1, 1]), records([1, 1, 1]))


def test_a_model_without_predictions_is_answered_with_those_there_are(made_up):
    run = made_up("run", {}, {("rl", 1): [1], ("base", None): [0]})
    assert (
        read_predictions(run, "round_1/rl")[0]["correct"] and not read_predictions(run, "base")[0]["correct"]
    )
    with pytest.raises(UserError, match="no predictions of 'rl' in .*Available: base, round_1.rl"):
        read_predictions(run, "rl")


def test_transfer_reads_the_row_from_the_runs_data_and_the_base_from_its_own_results(made_up):
    everything = {"all": {("base", None): [0, 1] * 4, ("rl", None): [1, 1, 1, 0] * 2}}
    for seed in (1, 2):
        settings = {"conf.data.params.modalities": ["CT"], "conf.seed": seed}
        made_up(f"ct{seed}", settings, {("rl", None): [1]}, {"modality": ["CT", "MRI"]}, further=everything)
    run = made_up(
        "all", {"conf.data.params.modalities": None}, {("base", None): [0, 0], ("rl", None): [1, 0]}, GROUPS
    )
    found = transfer_matrices(find_runs([run.parent]), "modality")
    assert (
        found["rows"] == ["CT", "(all)"]
        and found["columns"] == ["CT", "MRI"]
        and found["runs"] == {"CT": 2, "(all)": 1}
    )
    # rows 0, 2, 4, 6 are CT: all right with rl, none with base; of MRI rl has 1, 0, 1, 0 and base all
    assert found["accuracy"] == {
        ("CT", "CT"): 1.0,
        ("CT", "MRI"): 0.5,
        ("(all)", "CT"): 1.0,
        ("(all)", "MRI"): 0.0,
    }
    assert found["difference"] == {
        ("CT", "CT"): 1.0,
        ("CT", "MRI"): -0.5,
        ("(all)", "CT"): 1.0,
        ("(all)", "MRI"): 0.0,
    }
    assert found["data"] == ["all", "made_up"], "the set with most groups of each run"


def test_transfer_without_such_groups_says_what_is_missing(made_up):
    run = made_up("run", {}, {("rl", None): [1]}, GROUPS)
    with pytest.raises(UserError, match="None of the 1 runs has 'rl' evaluated by question type"):
        transfer_matrices(find_runs([run]), "question_type")


def test_scaling_has_an_arm_for_each_filter_and_model_and_averages_seeds(made_up):
    def loop(name, by, k, seed=1, warm=(1, 0), rl=None):
        of = {("warm_start", 1): [0, 0], ("warm_start", 2): list(warm)} | (
            {("rl", 2): list(rl)} if rl else {}
        )
        return made_up(name, {"conf.loop.filter.by": by, "conf.loop.filter.k": k, "conf.seed": seed}, of)

    loop("a", "top_k", 10, 1, (1, 0), (1, 1))
    loop("b", "top_k", 10, 2, (1, 1), (1, 1))
    loop("c", "top_k", 20, 1, (1, 1))
    loop("d", "random_k", 10, 1, (0, 0))
    loop("e", "none", None, 1, (1, 0))
    folder = made_up("f", {}, {("rl", None): [1]}).parent
    found = scaling_arms(find_runs([folder]))
    short = {arm: [(p["k"], p["mean"], p["runs"]) for p in points] for arm, points in found.items()}
    assert short == {
        "TopK (SFT)": [(10, 0.75, 2), (20, 1.0, 1)],  # the last round; 0.5 and 1.0 over two seeds
        "TopK (SFT + GRPO)": [(10, 1.0, 2)],
        "RandK (SFT)": [(10, 0.0, 1)],
        "unfiltered (SFT)": [(None, 0.5, 1)],
    }
    assert found["TopK (SFT)"][0]["sd"] == pytest.approx(0.3536, abs=1e-4)  # |1 - 0.5| / sqrt(2)
    with pytest.raises(UserError, match="conf.loop.filter.by"):
        scaling_arms(find_runs([folder / "f"]))


def steps(stage, *totals):
    """Lines of metrics.jsonl: validated at step 0, then the totals given."""
    lines = [{"stage": stage, "step": 0, "validation/score": 0.25}]
    for step, total in enumerate(totals, 1):
        lines.append(
            {
                "stage": stage,
                "step": step,
                "reward/total": total,
                "reward/format/mean": 1.0,
                "reward/accuracy": total / 2,
            }
        )
    return lines


def test_a_curve_has_the_terms_and_accuracies_of_each_round_and_the_later_line_of_a_step(made_up):
    warm = [{"stage": "round_1/warm_start", "step": 1, "train/loss": 2.0}]
    again = [{"stage": "round_1/rl", "step": 2, "reward/total": 0.75}]  # the step ran again after a resume
    run = made_up("run", metrics=[*warm, *steps("round_1/rl", 0.25, 0.5), *again, *steps("round_2/rl", 0.5)])
    found = run_curve(run)
    assert list(found) == ["round_1/rl", "round_2/rl"]
    assert found["round_1/rl"]["rewards"] == {"total": {1: 0.25, 2: 0.75}, "format": {1: 1.0, 2: 1.0}}
    assert found["round_1/rl"]["accuracy"] == {
        "training rollouts": {1: 0.125, 2: 0.25},
        "validation": {0: 0.25},
    }
    assert "validation" in run_curve(run, "reward")["round_1/rl"]["rewards"], (
        "a reward is not drawn as an accuracy"
    )
    with pytest.raises(UserError, match="no step with rewards"):
        run_curve(made_up("none", metrics=warm))


@pytest.fixture
def study(made_up):
    """A folder with one loop run that every command can draw."""
    settings = {
        "conf.data.params.modalities": ["CT"],
        "conf.loop.filter.by": "top_k",
        "conf.loop.filter.k": 4,
    }
    of = {("base", None): [0, 0, 1, 0], ("warm_start", 1): [1, 0, 1, 0], ("rl", 1): [1, 1, 1, 0]}
    return made_up("study", settings, of, GROUPS, metrics=steps("round_1/rl", 0.5, 0.75))


COMMANDS = {
    "transitions": ["--from", "round_1/warm_start", "--to", "round_1/rl"],
    "transfer": [],
    "scaling": [],
    "curve": [],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("suffix", ["png", "html"])
def test_every_picture_says_n_phantom_and_not_for_clinical_use(study, tmp_path, capsys, command, suffix):
    out = tmp_path / f"picture.{suffix}"
    assert main([command, str(study), *COMMANDS[command], "--out", str(out)]) == 0
    said = capsys.readouterr().out + (out.read_text() if suffix == "html" else "")
    assert "Phantoms: images drawn by code" in said and ("n = " in said or "n 2" in said)
    if suffix == "html":
        assert (
            "Not for clinical use." in said
            and "<script" not in said
            and "http" not in said.replace("http-equiv", "")
        )
    else:
        assert Image.open(out).size[0] > 900


def test_the_share_of_each_modality_is_that_of_the_prepared_rows(tmp_path, capsys):
    from medical_rl.data.prepare.prepare import prepare
    from medical_rl.evaluation.figures.medgr2 import group_counts

    sizes = {"warm_start": 4, "train": 20, "val": 4, "test": 4}
    data = {
        "name": "phantoms",
        "reader": "phantoms",
        "source": None,
        "params": {"task": "vqa", "sizes": sizes},
    }
    prompt = {"name": "p", "template": "{{ question }}", "target": '\\boxed{{ "{" }}{{ answer }}{{ "}" }}'}
    prepare(data, prompt, tmp_path / "data", seed=1, batch_size=4)
    # rows run over five grades, then modalities: 5 bright, 5 dark, 5 speckled, 5 bright
    assert group_counts(tmp_path / "data") == {"bright": 10, "dark": 5, "speckled": 5}
    assert main(["distribution", str(tmp_path), "--out", str(tmp_path / "d.png")]) == 0
    assert "| bright | 10 | 50.0% |" in capsys.readouterr().out
    with pytest.raises(UserError, match="no split in .* 'nosuch'"):
        group_counts(tmp_path / "data", "nosuch")


def test_the_notes_are_in_the_picture_below_the_axes_and_within_the_page(tmp_path):
    figure, axes = canvas(6, 3)
    axes.plot([0, 1])
    save_figure(figure, tmp_path / "x.png", "Title", ["word " * 60])
    small = next(text for text in figure.texts if text.get_text().endswith("Not for clinical use."))
    box = small.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 < axes.get_tightbbox().y0


def test_wrong_questions_exit_2_with_one_line(study, tmp_path, capsys):
    assert main(["curve", str(study), "--out", str(tmp_path / "x.pdf")]) == 2
    assert "written as .png or .html" in capsys.readouterr().err
    assert main(["collect", str(tmp_path / "nosuch")]) == 2
    assert main(["transitions", str(study), "--to", "rl", "--out", str(tmp_path / "x.png")]) == 2
    assert not list(tmp_path.glob("x.*"))


def test_the_help_is_instant_and_loads_nothing_heavy():
    import subprocess
    import sys

    code = "import sys; from medical_rl.evaluation.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(sorted({'torch', 'matplotlib', 'sklearn', 'numpy'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
