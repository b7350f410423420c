"""`conf=medfact_r1` end to end on the real engine, in one shared run."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.pseudo_label.label import read_labels
from medical_rl.pseudo_label.retrieval.corpus import corpus
from medical_rl.pseudo_label.retrieval.retrieve import read_retrieved
from medical_rl.run.progress import read_metrics

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2700)]
STAGES = ["prepare", "retrieve", "calibrate", "align", "pseudo_label", "warm_start", "rl", "evaluate"]


def manifest(run):
    return json.loads((run.path / "manifest.json").read_text())["stages"]


def rows(run, relative):
    return list(read_samples(run.path / relative, with_images=False))


def test_all_eight_stages_are_done_and_those_before_the_kill_were_not_repeated(run):
    stages = manifest(run)
    assert list(stages) == STAGES and {s["status"] for s in stages.values()} == {"done"}
    assert run.printed.count("done before, skipped") == 5
    assert stages["warm_start"]["attempts"] == 2 and stages["pseudo_label"]["attempts"] == 1


def test_no_question_was_given_its_own_report(run):
    groups = {one.id: one.group for one in corpus(run.path / "data")}
    found = read_retrieved(run.path / "pseudo_label" / "retrieved.jsonl")
    asked = {s.id: s.group for split in ("train", "test") for s in rows(run, f"data/{split}.parquet")}
    assert found.keys() == asked.keys()
    assert not [i for i, hits in found.items() if asked[i] in {groups[hit.id] for hit in hits}]


def test_the_calibration_says_what_it_guarantees_and_its_questions_are_labelled_by_nobody(run):
    outcome = json.loads((run.path / "pseudo_label" / "calibration.json").read_text())
    assert outcome["guarantee"] is True and outcome["chosen"] in outcome["kept"]
    assert 8 in outcome["kept"], outcome["candidates"]
    labelled = {s.group for s in rows(run, "pseudo_label/train.parquet")}
    calibrated = {
        label.id for label in read_labels(run.path / "pseudo_label" / "calibration" / "k_8" / "labels.jsonl")
    }
    asked = {s.id: s.group for s in rows(run, "data/train.parquet")}
    assert calibrated and not labelled & {asked[i] for i in calibrated}
    assert (run.path / "pseudo_label" / "calibration.png").read_bytes()[:4] == b"\x89PNG"
    assert "Phantoms" in (run.path / "pseudo_label" / "calibration.md").read_text()


def test_the_policy_is_trained_on_labels_that_are_partly_wrong_and_tested_on_the_truth(run):
    labelled, truth = (
        rows(run, "pseudo_label/train.parquet"),
        {s.id: s.answer for s in rows(run, "data/train.parquet")},
    )
    wrong = sum(s.answer != truth[s.id] for s in labelled)
    assert 0 < wrong < len(labelled) / 2
    # what GRPO was rewarded by is the label of a labelled question, never the data's own answer
    label_of = {s.question: s.answer for s in labelled}
    seen = set()
    for file in (run.path / "rollouts" / "rl").glob("*.jsonl"):
        for rollout in map(json.loads, file.read_text().splitlines()):
            (question,) = {text for text in label_of if text in rollout["input"]}
            assert rollout["gts"] == label_of[question]
            seen.add(question)
    assert seen
    told = [note for note in manifest(run)["pseudo_label"]["notes"] if "agree with the gold answers" in note]
    assert told and "majority answer" in told[0]


def test_an_alignment_that_has_nothing_to_tune_says_so(run):
    assert manifest(run)["align"]["notes"] == [
        "nothing is aligned: the labeller is a rule and has no weights to tune"
    ]


def test_all_four_rewards_are_logged_and_one_is_the_offline_one(run):
    logged = read_metrics(run.path / "metrics.jsonl", "rl")
    assert {f"reward/{t}/mean" for t in ("accuracy", "format", "fact", "lexical_consistency")} <= set(
        logged[1]
    )


def test_results_have_the_table_1_figures_and_the_baseline_that_retrieves(run):
    results = json.loads((run.path / "results.json").read_text())
    found = {e["model"]: e["metrics"] for e in results["evaluations"]}
    assert list(found) == ["base", "warm_start", "rl", "retrieve_then_answer"]
    for figures in found.values():
        assert {
            "accuracy",
            "precision",
            "recall",
            "f1",
            "balanced_accuracy",
            "always_yes",
            "always_no",
        } <= set(figures)
        assert figures["always_yes"] + figures["always_no"] == pytest.approx(1)
    assert found["retrieve_then_answer"]["accuracy"] > found["retrieve_then_answer"]["majority_rate"]
    assert found["base"]["unparsed"] > 0.9 and found["warm_start"]["unparsed"] < 0.2
    assert "always answering yes would score" in run.printed and "retrieve, then answer" in run.printed


def test_a_cold_start_on_the_datas_own_answers_takes_the_labels_that_are_there(run, again):
    printed = again(
        run, "conf/warm_start/source=human", "conf.stages=[prepare,retrieve,calibrate,align,pseudo_label]"
    )
    assert printed.count("done before, skipped") == 4
    truth = {s.id: s.answer for s in rows(run, "data/train.parquet")}
    cold, labelled = rows(run, "pseudo_label/warm_start.parquet"), rows(run, "pseudo_label/train.parquet")
    assert [s.id for s in cold] == [s.id for s in labelled]
    assert all(s.answer == truth[s.id] for s in cold) and any(s.answer != truth[s.id] for s in labelled)


def test_every_stage_declares_the_settings_that_it_takes_and_no_other(run, settings_read):
    undeclared, unread = settings_read.undeclared_and_unread(run.path)
    assert undeclared == {}
    assert unread == {}
