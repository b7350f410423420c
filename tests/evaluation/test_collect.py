"""One table of several runs: named by what differs, averaged over seeds, none dropped."""

import csv
import itertools
import json

import pytest

from medical_rl.errors import UserError
from medical_rl.evaluation.results import (
    differing_settings,
    distinguishing_settings,
    find_runs,
    has_phantom_data,
)
from medical_rl.evaluation.tables.collect import collect_runs, collected_markdown, write_collected

RL = ("rl", None)


def said(right, n=10):
    """{rl: `right` of `n` answers right}."""
    return {RL: [1] * right + [0] * (n - right)}


@pytest.fixture
def sweep(made_up):
    """Two shots by two seeds in a folder each, as a sweep leaves them; one more run without results."""
    for shots, seed, right in ((5, 1, 4), (5, 2, 6), (10, 1, 7), (10, 2, 9)):
        run = made_up(
            f"sweep/shots={shots},seed={seed}", {"conf.data.shots": shots, "conf.seed": seed}, said(right)
        )
    made_up("sweep/shots=20,seed=1", {"conf.data.shots": 20})
    return run.parent


def test_a_sweeps_runs_are_found_at_any_depth_and_nothing_in_a_run_is_one(sweep):
    inner = sweep / "shots=5,seed=1" / "superseded" / "old"
    inner.mkdir(parents=True)
    for name in ("config.yaml", "manifest.json"):
        (inner / name).write_text("{}")
    assert len(find_runs([sweep.parent])) == len(find_runs([sweep])) == 5
    assert len(find_runs([sweep, sweep / "shots=5,seed=1"])) == 5, "a run named twice is one run"


def test_a_run_is_named_by_what_one_would_have_typed(sweep):
    runs = find_runs([sweep])
    # data.seed copies conf.seed, and paths below the run's own folder are no difference
    assert differing_settings(runs) == ["conf.data.shots", "conf.seed", "data.seed"]
    assert distinguishing_settings(runs, differing_settings(runs)) == ["conf.data.shots", "conf.seed"]
    names = {row["run"] for row in collect_runs(runs)["runs"]}
    assert "conf.data.shots=10, conf.seed=2" in names and len(names) == 5


def test_a_choices_name_stands_for_what_is_in_it_and_ours_for_verls(made_up):
    for name, rate in (("retinamnist", 1e-4), ("breastmnist", 1e-5)):
        made_up(name, {"conf.data.name": name, "conf.data.source": f"/{name}.npz", "actor.lr": rate}, None)
    runs = find_runs([made_up("retinamnist2", {"conf.data.name": "retinamnist", "conf.data.source": "/retinamnist.npz",
                                               "actor.lr": 1e-4}, None).parent])  # fmt: skip
    assert distinguishing_settings(runs, differing_settings(runs)) == ["conf.data.name"]


def test_a_setting_of_verl_that_differs_by_itself_is_told(made_up):
    for seed, rate in ((1, 1e-4), (1, 2e-4), (2, 2e-4)):
        run = made_up(f"{seed}{rate}", {"conf.seed": seed, "actor.lr": rate}, said(5))
    runs = find_runs([run.parent])
    assert distinguishing_settings(runs, differing_settings(runs)) == ["actor.lr", "conf.seed"]


def test_means_are_over_runs_that_differ_by_their_seed_alone(sweep):
    means = {row["runs"]: row for row in collect_runs(find_runs([sweep]))["means"]}
    assert set(means) == {"conf.data.shots=5", "conf.data.shots=10"}
    # 0.4 and 0.6: mean 0.5, sample sd sqrt((0.01 + 0.01) / 1) = 0.1414
    five = means["conf.data.shots=5"]
    assert five["accuracy"] == {"mean": pytest.approx(0.5), "sd": pytest.approx(0.1414, abs=1e-4)}
    assert five["over"] == [1, 2] and means["conf.data.shots=10"]["accuracy"]["mean"] == pytest.approx(0.8)


def test_the_rows_of_an_ablation_are_named_by_it_and_what_follows_from_it_is_not_told(made_up):
    rows = {"sft": (None, "[sft]"), "fact": (None, "[rl]"), "full": (1.0, "[rl]")}
    for (name, (weight, stages)), seed in itertools.product(rows.items(), (1, 2)):
        made_up(
            f"{name}{seed}",
            {"conf.ablation": name, "conf.seed": seed, "conf.rewards.fact": weight, "conf.stages": stages},
            said(5),
        )
    runs = find_runs([made_up("base1", {"conf.ablation": "base", "conf.seed": 1}, said(1)).parent])
    assert distinguishing_settings(runs, differing_settings(runs)) == ["conf.ablation", "conf.seed"]
    assert {row["runs"] for row in collect_runs(runs)["means"]} == {
        "conf.ablation=sft",
        "conf.ablation=fact",
        "conf.ablation=full",
    }


def test_two_runs_with_one_seed_are_no_two_seeds(made_up):
    for name, stages in (("short", "[sft]"), ("long", "[sft,rl]")):
        run = made_up(name, {"conf.stages": stages}, said(5))
    assert collect_runs(find_runs([run.parent]))["means"] == []


def test_numbers_that_some_runs_have_get_columns_of_their_own(made_up):
    run = made_up("a", {}, said(5))
    results = json.loads((run / "results.json").read_text())
    results["evaluations"][0]["metrics"] |= {"precision": 0.5, "f1": 0.25}
    (run / "results.json").write_text(json.dumps(results))
    text = collected_markdown(collect_runs(find_runs([run])))
    assert "| Macro F1 | Precision | F1 |" in text and "| 0.500 | 0.250 |" in text and "Recall" not in text


def test_another_setting_can_be_averaged_over_or_none(sweep):
    runs = find_runs([sweep])
    means = {row["runs"]: row["accuracy"]["mean"] for row in collect_runs(runs, by="data.shots")["means"]}
    # seed 1: 0.4 and 0.7; seed 2: 0.6 and 0.9
    assert means == {"conf.seed=1": pytest.approx(0.55), "conf.seed=2": pytest.approx(0.75)}
    assert collect_runs(runs, by=None)["means"] == []
    with pytest.raises(UserError, match="no setting to average over 'shot'"):
        collect_runs(runs, by="shot")


def test_different_models_rounds_and_data_are_never_averaged_together(made_up):
    for seed in (1, 2):
        of = {("rl", 1): [1, 0], ("rl", 2): [1, 1], ("base", None): [0, 0]}
        run = made_up(str(seed), {"conf.seed": seed}, of, further={"other": {("rl", 2): [0, 1]}})
    means = collect_runs(find_runs([run.parent]))["means"]
    found = {(row["model"], row["round"], row["dataset"]): row["accuracy"] for row in means}
    assert {key: of["mean"] for key, of in found.items()} == {
        ("rl", 1, "made_up"): 0.5, ("rl", 2, "made_up"): 1.0, ("base", None, "made_up"): 0.0, ("rl", 2, "other"): 0.5
    }  # fmt: skip
    assert all(of["sd"] == 0 for of in found.values())


def test_a_run_without_results_is_listed_with_how_far_it_came(sweep):
    text = collected_markdown(collect_runs(find_runs([sweep])))
    assert "5 runs, 1 without results." in text
    assert "| conf.data.shots=20, conf.seed=1 | **no results (prepare done, rl failed)** | – |" in text
    assert "| conf.data.shots=5, conf.seed=2 | made_up, test | rl | 10 | 0.600 [0.313, 0.832] |" in text
    assert "| conf.data.shots=10 | made_up, test | rl | 2 | 0.800 ± 0.141 |" in text
    assert "phantoms" in text and text.endswith("Not for clinical use.\n")


def test_broken_results_are_listed_as_such_and_not_taken_for_none(sweep):
    (sweep / "shots=5,seed=1" / "results.json").write_text("{")
    row = next(r for r in collect_runs(find_runs([sweep]))["runs"] if "shots=5, conf.seed=1" in r["run"])
    assert "cannot be read as JSON" in row["problem"]


def test_real_images_are_not_called_phantoms(made_up):
    run = made_up("real", {}, said(5), phantom=False)
    assert not has_phantom_data(run) and "phantom" not in collected_markdown(collect_runs(find_runs([run])))


def test_the_files_hold_what_the_table_holds(sweep, tmp_path):
    found = collect_runs(find_runs([sweep]))
    names = [path.name for path in write_collected(found, tmp_path / "out")]
    assert names == ["collected.md", "collected.csv", "collected.json"]
    rows = list(csv.DictReader((tmp_path / "out" / "collected.csv").open()))
    assert len(rows) == 5 and {row["accuracy"] for row in rows} == {"0.4", "0.6", "0.7", "0.9", ""}
    assert [row["problem"] for row in rows if not row["accuracy"]] == ["no results (prepare done, rl failed)"]
    assert json.loads((tmp_path / "out" / "collected.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "out" / "collected.md").read_text() == collected_markdown(found)


def test_a_folder_without_runs_is_explained(tmp_path):
    with pytest.raises(UserError, match="There is no run in"):
        find_runs([tmp_path])
