"""PA_pi on phantoms: GRPO on boxes lifts the mean IoU on held-out phantoms above the warm start's; classes are tested, not promised."""

import json

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(7200)]
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def localised(accept):
    """{(how, seed): folder} of the recipe's own tiny scale."""
    found = {
        ("rl", seed): accept.train(
            f"vrft_aug/localize-rl-{seed}", f"conf.seed={seed}", recipe="vrft_aug_localize"
        )
        for seed in SEEDS
    }
    found["sft", 1] = accept.train(
        "vrft_aug/localize-sft-1", "conf.localize.by=sft", recipe="vrft_aug_localize"
    )
    return found


def evaluations(folder, data):
    return {
        e["model"]: e
        for e in json.loads((folder / "results.json").read_text())["evaluations"]
        if e["dataset"] == data
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_grpo_on_boxes_lifts_the_mean_iou_of_held_out_phantoms(localised, seed):
    of = evaluations(localised["rl", seed], "phantom_localisation")
    before, after = (of[m]["metrics"]["mean_iou"] for m in ("warm_start", "localize_rl"))
    assert of["localize_rl"]["n"] == 300
    assert after >= before + 0.1, f"mean IoU {before:.3f} -> {after:.3f}"


def test_the_supervised_rival_begins_from_the_same_model(localised):
    stages = [
        json.loads((localised[how, 1] / "manifest.json").read_text())["stages"] for how in ("rl", "sft")
    ]
    assert len({s["warm_start"]["outputs"]["model"]["sha256"] for s in stages}) == 1


def test_the_figures_are_kept(localised, figures):
    lines = [
        "# Localise first: PA_pi on phantoms",
        "",
        "`conf=vrft_aug_localize conf/scale=tiny`: discs drawn by code whose boxes lie on a grid of 14 pixels; the warm start stands in for the Instruct model",
        "and **half its boxes are wrong on purpose**, one step too far right and down; it also knows grades, half of them one too low. Then GRPO (or SFT) on",
        "2,000 true boxes, no class among them. 300 held-out phantoms each; greedy. Written by `make accept`.",
        "",
        "| seed | by | mean IoU, warm start | after | hit rate, warm start | after | zero-shot grades: accuracy, warm start | after | majority rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (how, seed), folder in localised.items():
        boxes, grades = (evaluations(folder, data) for data in ("phantom_localisation", "phantom_grading"))
        after = f"localize_{how}"
        values = [boxes[m]["metrics"][k] for k in ("mean_iou", "hit_rate") for m in ("warm_start", after)]
        values += [grades[m]["metrics"]["accuracy"] for m in ("warm_start", after)] + [
            grades["base"]["metrics"]["majority_rate"]
        ]
        lines.append(f"| {seed} | {how} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    lines += [
        "",
        "The boxes are of other discs than the grades: what the last columns show is whether learning boxes keeps or loses what the model knew.",
    ]
    (figures / "localisation.md").write_text("\n".join(lines) + "\n")
