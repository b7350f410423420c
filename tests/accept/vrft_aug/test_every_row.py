"""Every method of VRFT-Aug by its own override, at the tiny scale on CPU: on phantoms, and classification on real PneumoniaMNIST.

Few rows and steps: what is proved is that each command ends in results for the right models on the right sets. What is learned is
in test_mfrs.py, test_localisation.py and ../test_learning.py.
"""

import json

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
SMALL = (
    "conf.data.params.sizes={warm_start: 256, train: 64, val: 20, test: 60}",
    "conf.warm_start.epochs=2",
    "trainer.total_training_steps=2",
    "trainer.save_freq=2",
    "trainer.test_freq=2",
    "conf.sft.steps=8",
)
ON_GRADES = ("conf/data=phantom_grading", *SMALL)
ROWS = {
    "V-SFT": (
        "vrft_aug",
        ("conf/prompt=class_names", "conf.arm=sft", *ON_GRADES),
        ["base", "warm_start", "sft"],
    ),
    "V-RFT": (
        "vrft_aug",
        ("conf/prompt=class_names", "conf.arm=rl", *ON_GRADES),
        ["base", "warm_start", "rl"],
    ),
    "PA_P": ("vrft_aug", ("conf/prompt=visual_attributes", *ON_GRADES), ["base", "warm_start", "rl"]),
    "R_recite": ("vrft_aug", ("conf/rewards=vrft_recite", *ON_GRADES), ["base", "warm_start", "rl"]),
    "R_unrecite": ("vrft_aug", ("conf/rewards=vrft_unrecite", *ON_GRADES), ["base", "warm_start", "rl"]),
    "R_MFRS": ("vrft_aug", ("conf/rewards=vrft_mfrs", *ON_GRADES), ["base", "warm_start", "rl"]),
    "10-shot": ("vrft_aug", ("conf.data.shots=10", *ON_GRADES), ["base", "warm_start", "rl"]),
    "V-SFT + PA_pi": (
        "vrft_aug_localize",
        ("conf.localize.by=sft", *SMALL),
        ["base", "warm_start", "localize_sft"],
    ),
    "V-RFT + PA_pi": (
        "vrft_aug_localize",
        ("conf.localize.by=rl", *SMALL),
        ["base", "warm_start", "localize_rl"],
    ),
    "M boxes": ("vrft_aug_localize", ("conf.data.limit=32", *SMALL), ["base", "warm_start", "localize_rl"]),
}


# Of the whole table three images are there: a seed by which each falls into another split.
SPLIT = (
    "conf.data.params.test_share=0.34",
    "conf.data.params.val_share=0.33",
    "conf.data.params.split_seed=1",
)


@pytest.fixture(scope="module")
def done(accept):
    """Runs a row once; gives (folder, evaluations)."""
    found = {}

    def go(row):
        if row not in found:
            recipe, overrides, _ = ROWS[row]
            folder = accept.train(f"vrft_aug/{row.replace(' ', '')}", *overrides, recipe=recipe)
            found[row] = folder, json.loads((folder / "results.json").read_text())["evaluations"]
        return found[row]

    return go


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_runs(done, row):
    folder, evaluations = done(row)
    recipe, _, models = ROWS[row]
    sets = (
        ["phantom_localisation", "phantom_grading"] if recipe == "vrft_aug_localize" else ["phantom_grading"]
    )
    assert [(e["dataset"], e["model"]) for e in evaluations] == [
        (data, model) for data in sets for model in models
    ]
    for of in evaluations:
        wanted = (
            {"mean_iou", "hit_rate"}
            if of["dataset"] == "phantom_localisation"
            else {"accuracy", "balanced_accuracy", "majority_rate"}
        )
        assert wanted <= set(of["metrics"]) and of["n"] in (60, 300)
    assert (folder / "boxes" / "phantom_localisation.png").exists() == (recipe == "vrft_aug_localize")
    if models[-1] in ("rl", "localize_rl"):
        logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert any("reward/total" in line and line["stage"] == models[-1] for line in logged)


def test_pneumoniamnist_with_class_names_and_both_arms(accept, realdata):
    source = (
        "conf/data=pneumoniamnist",
        f"conf.data.source={realdata / 'medmnist' / 'pneumoniamnist.npz'}",
        "conf.data.allow_altered=true",
    )
    few = (
        *source,
        "conf.data.limit=512",
        "conf.data.test_per_class=100",
        *SMALL[1:],
        "conf/prompt=class_names",
    )
    for arm in ("sft", "rl"):
        folder = accept.train(
            f"vrft_aug/pneumonia-{arm}", *few, f"conf.arm={arm}", "data.max_response_length=40"
        )
        assert list(accept.results(folder)) == ["base", "warm_start", arm]


def test_ham10000_from_its_real_image_and_mask_pairs(accept, realdata):
    """A smoke test: the pairs that are there are few."""
    folder = realdata / "ham10000"
    if not list(folder.rglob("*_segmentation.png")):
        pytest.skip("no masks of HAM10000 beside this checkout")
    small = ("conf/data=ham10000", f"conf.data.source={folder}", "conf.data.params.by_image=true", *SPLIT,
             "data.train_batch_size=4", "conf.warm_start.batch_size=2", "conf.warm_start.epochs=1", "data.max_response_length=40",
             "actor_rollout_ref.rollout.n=4", "trainer.total_training_steps=1", "trainer.save_freq=1", "trainer.test_freq=1")  # fmt: skip
    folder = accept.train(
        "vrft_aug/ham10000",
        *small,
        "data.max_prompt_length=800",
        "conf.warm_start.max_length=900",
        recipe="vrft_aug_localize",
    )
    found = json.loads((folder / "results.json").read_text())["evaluations"]
    assert {e["dataset"] for e in found} == {"ham10000_boxes", "ham10000"} and (
        folder / "boxes" / "ham10000_boxes.png"
    ).exists()


def test_the_figures_are_kept(done, figures):
    lines = [
        "# VRFT-Aug, every method at the tiny scale",
        "",
        "Two steps of GRPO or eight of SFT on 60 test **phantoms** (drawn by code; nothing here speaks of patients): that each command runs, not what it",
        "learns: the warm start, which stands in for the Instruct model, is so short that it gives every picture one grade. Written by `make accept`.",
        "",
        "| method | tested on | warm start | trained | majority rate |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        _, evaluations = done(row)
        for data in dict.fromkeys(e["dataset"] for e in evaluations):
            of = {e["model"]: e["metrics"] for e in evaluations if e["dataset"] == data}
            key = "mean_iou" if "mean_iou" in of["base"] else "accuracy"
            values = [f"{of[m][key]:.3f}" for m in ("warm_start", ROWS[row][2][-1])]
            majority = f"{of['base']['majority_rate']:.3f}" if "majority_rate" in of["base"] else "–"
            lines.append(f"| {row} | {data} ({key.replace('_', ' ')}) | {' | '.join(values)} | {majority} |")
    (figures / "vrft_aug.md").write_text("\n".join(lines) + "\n")
