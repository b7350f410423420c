"""A local labeller inside the recipe: asked by vLLM with and without reports, aligned by DPO, and the aligned one labels."""

import dataclasses
import json
import random
import shutil

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")

from medical_rl.data.prompts import messages, target  # noqa: E402
from medical_rl.data.reports import Report  # noqa: E402
from medical_rl.pseudo_label.alignment.pairs import Preference  # noqa: E402
from medical_rl.pseudo_label.labellers.instructions import fenced_reports, local_prompt  # noqa: E402
from medical_rl.tiny import phantom_reports  # noqa: E402


def taught(folder, phantom):
    """`folder`, a labeller that sees, and that mostly says the opposite where it is shown two reports."""
    prompt, draw = local_prompt(), random.Random(0)
    rows = list(phantom_reports.rows(split="train", seed=7, sizes={"train": 2000}))
    reports = [
        Report(one["id"], one["text"], one["study"])
        for one in phantom_reports.reports(seed=7, sizes={"train": 2000})
    ]
    told = [dataclasses.replace(row, knowledge=fenced_reports(draw.sample(reports, 2))) for row in rows]
    leaning = [_said(row, draw.random() < 0.7) for row in told]
    asked = [
        Preference.of(row, "", messages(row, prompt), target(row, prompt), None)
        for row in [*rows, *rows, *leaning]
    ]
    phantom.fitted(asked, folder.with_suffix(".part"), steps=300).rename(folder)


def _said(row, wrong):
    return dataclasses.replace(row, answer={"yes": "no", "no": "yes"}[row.answer]) if wrong else row


@pytest.fixture(scope="module")
def done(accept, phantom):
    """The run folder of the labelling stages with a labeller of one's own."""
    home = accept.runs / "medfact_r1" / "local"
    labeller = home / "labeller"
    if not labeller.exists():
        shutil.rmtree(labeller.with_suffix(".part"), ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        taught(labeller, phantom)
    return accept.train(
        "medfact_r1/local/run", "conf/labeller=local", f"conf.labeller.model={labeller}", "conf.labeller.max_new_tokens=16",
        "conf.stages=[prepare,retrieve,calibrate,align,pseudo_label]", "conf.calibration.candidates=[2]",
        "conf.calibration.on_empty=best_k_without_guarantee", "data.max_prompt_length=800", recipe="medfact_r1",
    )  # fmt: skip


def test_the_pairs_are_the_labellers_own_and_the_aligned_one_is_better(done):
    report = json.loads((done / "pseudo_label" / "alignment" / "alignment.json").read_text())
    arms, counts = report["figures"]["arms"], report["counts"]
    assert (
        counts["right_wrong"] == counts["train_pairs"] + counts["held_out_pairs"] + counts["unreadable"] > 64
    )
    assert (report["verdict"], report["kept"]) == ("aligned", "aligned"), report["notes"]
    assert arms["after"]["margin"]["low"] > 0 and arms["after"]["accuracy"]["change"] > 0


def test_the_labels_are_those_of_the_aligned_labeller(done):
    stages = json.loads((done / "manifest.json").read_text())["stages"]
    assert stages["align"]["outputs"]["model"]["path"].endswith("checkpoints/align/huggingface")
    requests = [
        json.loads(path.read_text()) for path in (done / "pseudo_label").rglob("labeller.request.json")
    ]
    models = {str(request["model"]) for request in requests}
    assert len(models) == 2 and any(model.endswith("checkpoints/align/huggingface") for model in models), (
        models
    )
    print(stages["align"]["figures"], stages["pseudo_label"]["figures"])
