"""RULE's real IU-Xray texts: 2,069 reports and 2,573 questions, calibrated on one half of the studies and measured on the other."""

import json
import time

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.prepare import prepare
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.pseudo_label.agreement import agreement, gold_answers, markdown
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.pseudo_label.calibration.calibrate import calibrate, errors_by_k
from medical_rl.pseudo_label.calibration.learn_then_test import calibration_settings
from medical_rl.pseudo_label.calibration.report import calibration_record, page
from medical_rl.pseudo_label.parts import check_disjoint, set_apart
from medical_rl.pseudo_label.retrieval.corpus import Guard, corpus, refuse_own
from medical_rl.pseudo_label.retrieval.retrieve import FILE, read_retrieved, retrieve

pytestmark = [pytest.mark.accept, pytest.mark.timeout(900)]
KS = [1, 2, 3, 5, 8, 16]
SEED = 1


def settings(group, *overrides):
    chosen = [
        "conf=medfact_r1",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "conf/data=iu_xray",
        "conf.data.source=unused",
        *overrides,
    ]
    return OmegaConf.to_container(compose(chosen).conf, resolve=True)[group]


@pytest.fixture(scope="module")
def texts(realdata, tmp_path_factory):
    """(rows, reports, retrieved lists, their counts, seconds) of the whole corpus; the images are not needed by BM25."""
    source = realdata / "iu_xray"
    if not (source / "rule_iuxray_test.jsonl").is_file():
        pytest.skip("RULE's question file is not among the real files")
    begun, out = time.monotonic(), tmp_path_factory.mktemp("text")
    params = {"splits": "test", "require_images": False}
    data = {**settings("data"), "source": str(source), "only": ["test"]}
    prepare(
        {**data, "params": {**data["params"], **params}},
        settings("prompt", "conf/prompt=yes_no"),
        out,
        seed=SEED,
        batch_size=1,
    )
    rows, reports = list(read_samples(out / "test.parquet")), corpus(out)
    counts = retrieve(settings("retriever"), rows, reports, max(KS), out)
    return rows, reports, read_retrieved(out / FILE), counts, begun, out


@pytest.fixture(scope="module")
def halves(texts):
    """({silence: (labels per k, the calibration's outcome, labels of the other half per k)}, rows of both halves)."""
    rows, reports, found, _, _, out = texts
    apart = set_apart(rows, SEED, share=0.5, per_study=1)
    known = {row.id: row for row in rows}
    ours, others = ([known[i] for i in ids] for ids in (apart.calibration, apart.train))
    check_disjoint(ours, {"the other half": others})
    by_id, lists = (
        {one.id: one for one in reports},
        {i: [hit.id for hit in hits] for i, hits in found.items()},
    )
    made = {}
    for silence in ("abstain", "no"):
        labeller = {**settings("labeller"), "on_silence": silence}
        work = RoundContext(1, SEED, out / silence, out, {}, {})
        rule = calibration_settings(
            {
                **settings("calibration"),
                "candidates": KS,
                "alpha": 0.2,
                "delta": 0.1,
                "on_empty": "no_retrieval",
            }
        )
        labels = answers_per_k(labeller, ours, lists, by_id, KS, work)
        errors = errors_by_k(gold_answers(ours), labels)
        outcome = calibrate(errors.by_k, rule, studies=apart.studies, majority_rate=errors.majority_rate)
        work = RoundContext(1, SEED, out / f"{silence}-other", out, {}, {})
        made[silence] = outcome, labels, answers_per_k(labeller, others, lists, by_id, KS, work)
    return made, ours, others


def test_all_is_there_and_no_row_was_given_its_own_report(texts):
    rows, reports, found, counts, _, _ = texts
    assert (len(rows), len(reports), counts["k"]) == (
        2488,
        2069,
        max(KS),
    )  # 2,573 less 72 that are neither and 13 doubtful
    refuse_own(rows, found, Guard(reports, 0.7), ["train"])


def test_a_kept_k_has_the_risk_that_was_promised_on_the_other_half(halves):
    made, _, others = halves
    golds = gold_answers(others)
    for outcome, _, labels in made.values():
        for k in outcome.kept:
            measured = agreement(labels[k], golds)
            # the promise is of the true risk; the other half's own interval must reach down to it
            assert 1 - measured["accuracy_interval"][1] <= outcome.alpha


def test_the_figures_are_kept(texts, halves, figures):
    rows, reports, _, counts, begun, _ = texts
    made, ours, others = halves
    lines = [
        "# Calibrated retrieval on RULE's IU-Xray texts",
        "",
        f"{len(reports):,} reports, {len(rows):,} usable questions of 2,573 (72 answers are neither yes nor no, 13 are doubtful), BM25, the rule labeller;",
        "it reads reports of OTHER studies and never sees an image. Calibrated on one question of each study of one half, measured on all questions of",
        f"the other half of the studies. A question's own report stood in {counts['own']:,} places of the rankings and was left out. Written by `make accept`.",
    ]
    told = {}
    for silence, (outcome, labels, measured) in made.items():
        ours_agree, theirs = (
            {k: agreement(of_k, gold_answers(half)) for k, of_k in found.items()}
            for found, half in ((labels, ours), (measured, others))
        )
        told[silence] = {
            "calibration": calibration_record(outcome),
            "calibrated_half": ours_agree,
            "other_half": theirs,
        }
        lines += [
            "",
            f"## on_silence: {silence}",
            "",
            page(outcome).replace("# ", "### ", 1).replace("Not for clinical use.", "").strip(),
        ]
        lines += ["", "The other half:", "", markdown(theirs)]
    seconds = time.monotonic() - begun
    assert seconds < 300
    lines += [
        "",
        f"Preparation, retrieval, calibration and labels of both halves and both settings: {seconds:.0f} s on two cores. Not for clinical use.",
    ]
    (figures / "medfact_text.md").write_text("\n".join(lines) + "\n")
    (figures / "medfact_text.json").write_text(json.dumps(told, indent=1) + "\n")
