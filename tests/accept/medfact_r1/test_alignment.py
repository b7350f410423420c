"""Preference alignment on three seeds: with the chosen answer held up, plain, and plain at a rate at which it collapses."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

pytestmark = [pytest.mark.accept, pytest.mark.timeout(7200)]
pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")

from medical_rl.data.prompts import messages  # noqa: E402
from medical_rl.pseudo_label.alignment.align import AlignmentRun, align  # noqa: E402
from medical_rl.pseudo_label.alignment.pairs import make_pairs  # noqa: E402

SEEDS = (1, 2, 3)
SIZE = {
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 256,
    "vision_depth": 2, "vision_hidden_size": 96, "vision_heads": 4, "vision_intermediate_size": 192,
}  # fmt: skip
TINY = {
    "lora": {"r": 16, "alpha": 32, "dropout": 0.0}, "lr": 5e-4, "epochs": None, "steps": 40, "batch_size": 16, "micro_batch": 16,
    "precision": "fp32", "gradient_checkpointing": False, "workers": 0, "max_new_tokens": 16, "measure_batch": 64, "log_every": 10,
}  # fmt: skip
PLAIN = {"loss_type": ["sigmoid"], "loss_weights": [1.0], "control": False}
RUNS = {
    "default": {},
    "default, 80 steps": {"steps": 80},
    "plain": PLAIN,
    "plain, lr 1e-3": PLAIN | {"lr": 1e-3, "steps": 60},
}


@pytest.fixture(scope="module")
def reports(accept, phantom):
    """{(seed, run): report} of every alignment; what is done already is read, not done again."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    base = OmegaConf.to_container(OmegaConf.load(accept.root / "conf" / "alignment" / "dpo.yaml")) | TINY
    found = {}
    for seed in SEEDS:
        folder = accept.runs / "medfact_r1" / f"align-{seed}"
        labeller, pairs = prepared(phantom, folder, seed)
        for name, changes in RUNS.items():
            at = folder / "".join(c if c.isalnum() else "_" for c in name)
            engine = {"device": "cpu", "dtype": "float32", "ranks": 1}
            place = AlignmentRun(
                at, at / "checkpoints" / "huggingface", phantom.LIMITS, engine, seed=seed, phantom=True
            )
            found[seed, name] = align(base | changes, labeller, pairs, place)
    return found


def prepared(phantom, folder: Path, seed: int):
    """(the labeller, its pairs): a model that sees, and was taught to lean on a report where there is one."""
    labeller, answers = folder / "labeller", folder / "answers.json"
    gold = phantom.drawn("train", 800, seed=seed)
    told = phantom.reported(gold, 0.5, seed)
    if not answers.exists():
        rows = phantom.drawn("warm_start", 800, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        phantom.taught(phantom.leaning(rows, 0.65, seed) + rows, labeller, steps=200, size=SIZE, seed=seed)
        answers.write_text(json.dumps([phantom.answers(labeller, some) for some in (gold, told)]))
    found = json.loads(answers.read_text())
    asked = lambda row: messages(row, phantom.PROMPT)  # noqa: E731
    return labeller, make_pairs(told, *found, asked, phantom.PROMPT, held_out=0.4, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_raises_the_margin_and_lowers_nothing(reports, seed):
    assert reports[seed, "default"]["verdict"] == "aligned", "half way"
    report = reports[seed, "default, 80 steps"]
    after = report["figures"]["arms"]["after"]
    assert report["verdict"] == "aligned" and after["margin"]["low"] > 0
    for name in ("chosen_logprob", "gold_logprob", "well_formed", "accuracy"):
        assert after[name]["change"] >= 0, (name, after[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_dpo_at_a_high_rate_collapses_behind_its_margin(reports, seed):
    report = reports[seed, "plain, lr 1e-3"]
    after = report["figures"]["arms"]["after"]
    assert after["margin"]["low"] > 0 and after["pair_accuracy"]["value"] > 0.9
    assert report["verdict"] == "collapsed" and report["kept"] == "reference"


def test_the_figures_are_kept(reports, figures):
    lines = [
        "# Preference alignment at the tiny scale",
        "",
        "RULE's knowledge-balanced preference tuning by TRL's DPOTrainer on **phantoms** (drawn by code; nothing here speaks of patients): a tiny",
        "labeller taught to answer as a report says in 65 % of the rows that have one, then asked about 800 gold rows half of whose reports are of another grade. Pairs are the",
        "rows answered rightly without and wrongly with the report; 40 % of the rows are held out. `default` is conf/alignment=dpo's loss, sigmoid + sft;",
        "`plain` is DPO alone (the papers'); each default's control is SFT on the chosen answers alone with as many steps. LoRA r 16, lr 5e-4, 40 steps",
        "of 16 (60 in the last run); 80 were tried after 40 had left seed 3's accuracy where it was. Margin and log-probabilities are nats an answer; accuracy and form are greedy, on ALL held-out rows with their",
        "reports (the pairs alone were chosen for being wrong before). Written by `make accept`.",
        "",
        "| seed | run | pairs (held out) | margin [95 %] | chosen log-prob: before, after | well-formed: before, after | accuracy: before, after (n) | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (seed, name), report in reports.items():
        arms, counts = report["figures"]["arms"], report["counts"]
        lines.append(row(seed, name, counts, arms["before"], arms["after"], report["verdict"]))
        if "control" in arms:
            lines.append(
                row(seed, f"control of {name}: SFT alone", counts, arms["before"], arms["control"], "–")
            )
    lines += ["", told(reports)]
    (figures / "alignment.md").write_text("\n".join(lines) + "\n")


def row(seed: int, name: str, counts: dict, before: dict, after: dict, verdict: str) -> str:
    margin, accuracy = after["margin"], after["accuracy"]
    changes = " | ".join(
        f"{before[key]['value']:.{digits}f}, {after[key]['value']:.{digits}f}"
        for key, digits in (("chosen_logprob", 2), ("well_formed", 3), ("accuracy", 3))
    )
    return (
        f"| {seed} | {name} | {counts['train_pairs']} ({counts['held_out_pairs']}) | {margin['value']:.2f} [{margin['low']:.2f}, "
        f"{margin['high']:.2f}] | {changes} ({accuracy['n']}) | {verdict} |"
    )


def told(reports: dict) -> str:
    """How default stands to its control, in one sentence with its own numbers."""
    gains = [
        tuple(
            reports[seed, "default, 80 steps"]["figures"]["arms"][arm]["accuracy"]["value"]
            for arm in ("after", "control")
        )
        for seed in SEEDS
    ]
    better = sum(after > control for after, control in gains)
    return (
        f"Greedy accuracy after 80 steps of the default is above its control's in {better} of {len(SEEDS)} seeds: on this task the gain is owed "
        "to the chosen answers at least as much as to the preferences." if better < 2 else
        f"Greedy accuracy after 80 steps of the default is above its control's in {better} of {len(SEEDS)} seeds."
    )  # fmt: skip
