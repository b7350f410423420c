"""The files R_phi is trained and measured on: nothing of one part in another, the same again with the same seed."""

from collections import Counter

import pytest

from medical_rl.data.parquet import write_split
from medical_rl.errors import UserError
from medical_rl.reward_model.calibration import markdown
from medical_rl.reward_model.graded import Graded, read_graded, write_graded
from medical_rl.reward_model.training import rows as graded_files
from medical_rl.reward_model.training.rows import generator_rows, reward_model_rows, seed_rows
from medical_rl.tiny import phantoms

PROMPT = {
    "name": "p",
    "template": "{{ question }}",
    "target": "<think>{{ thought }}</think><answer>{{ answer }}</answer>",
}
SETTINGS = {
    "seed_from": "graded",
    "synonyms": "builtin",
    "rows": 30,
    "contradictions": 0.25,
    "images": "own",
    "held_out": 10,
    "pairs": 5,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, n in (("train", 60), ("val", 20)):
        rows = phantoms.rows(None, split, task="vqa", sizes={split: n}, question_types=["grading"])
        write_split(rows, folder / f"{split}.parquet", PROMPT)
    return folder


def test_the_seeds_texts_are_of_the_four_grades_and_of_so_many_rows(data, tmp_path):
    notes = graded_files.write_seed_rows(
        data / "train.parquet", tmp_path / "g.parquet", SETTINGS, PROMPT, seed=1
    )
    rows = list(read_graded(tmp_path / "g.parquet"))
    counts = Counter(row.made_by for row in rows)
    assert counts["original"] == 30 and counts["irrelevant"] == 30
    assert {row.grade for row in rows} == {10.0, 6.0, 0.0, -6.0}
    assert f"{len(rows):,} graded texts" in notes[0]
    graded_files.write_seed_rows(data / "train.parquet", tmp_path / "again.parquet", SETTINGS, PROMPT, seed=1)
    assert (tmp_path / "g.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_no_row_is_both_learned_from_and_asked_about_and_none_is_lost(data):
    train = data / "train.parquet"
    learned = {s.id for s in reward_model_rows(train, 30, seed=1)}
    left = {s.id for s in generator_rows(train, 30, seed=1)}
    assert len(learned) == 30 and not learned & left and len(learned | left) == 60
    seeds = {s.id for s in seed_rows(train, 8, 30, seed=1)}
    assert len(seeds) == 8 and seeds <= learned
    assert {s.id for s in reward_model_rows(train, 30, seed=2)} != learned


def test_rows_of_one_patient_stay_together(tmp_path):
    import dataclasses

    rows = [
        dataclasses.replace(s, group=f"patient {i // 6}")
        for i, s in enumerate(phantoms.rows(None, "train", task="vqa", sizes={"train": 60}))
    ]
    write_split(rows, tmp_path / "train.parquet", PROMPT)
    groups = {s.group for s in generator_rows(tmp_path / "train.parquet", 30, seed=1)}
    assert not groups & {s.group for s in reward_model_rows(tmp_path / "train.parquet", 30, seed=1)}


def test_the_held_out_texts_are_graded_ones_without_contradictions_and_probes(data, tmp_path):
    graded_files.write_held_out_rows(data / "val.parquet", tmp_path / "h.parquet", SETTINGS, PROMPT, seed=1)
    counts = Counter(row.made_by for row in read_graded(tmp_path / "h.parquet"))
    assert set(graded_files.MEASURED) <= set(counts) and set(graded_files.WRONG) <= set(counts)
    assert counts["original"] == 10 and not {"hallucinated", "unsound"} & set(counts)


def test_the_control_sees_one_grey_picture(data, tmp_path):
    graded_files.write_seed_rows(
        data / "train.parquet", tmp_path / "g.parquet", {**SETTINGS, "images": "grey"}, PROMPT, seed=1
    )
    assert len({row.sample.images for row in read_graded(tmp_path / "g.parquet")}) == 1
    with pytest.raises(UserError, match="images"):
        graded_files.write_seed_rows(
            data / "train.parquet", tmp_path / "g.parquet", {**SETTINGS, "images": "black"}, PROMPT, seed=1
        )


def test_a_retraining_has_the_policys_answers_and_at_least_as_large_a_share_of_replay(data, tmp_path):
    graded_files.write_seed_rows(data / "train.parquet", tmp_path / "seed.parquet", SETTINGS, PROMPT, seed=1)
    sample = next(iter(generator_rows(data / "train.parquet", 30, 1)))
    write_graded(
        [Graded(sample, f"text {i}", -6.0, "policy_wrong") for i in range(500)], tmp_path / "policy.parquet"
    )
    graded_files.write_retraining_rows(
        tmp_path / "policy.parquet", tmp_path / "seed.parquet", tmp_path / "again.parquet", 0.5, seed=3
    )
    counts = Counter(row.made_by.startswith("policy") for row in read_graded(tmp_path / "again.parquet"))
    # the seed has some 125 rows: with half of all replayed, no more of the policy's 500 are taken than that
    assert counts[True] <= counts[False] and counts[False] > 100


def test_an_unknown_seed_is_refused_with_those_there_are(data, tmp_path):
    with pytest.raises(UserError, match="graded, judge|judge"):
        graded_files.write_seed_rows(
            data / "train.parquet",
            tmp_path / "g.parquet",
            {**SETTINGS, "seed_from": "expert"},
            PROMPT,
            seed=1,
        )


def test_the_report_says_phantom_and_not_for_clinical_use():
    kind = {"n": 4, "grade": 10.0, "mean": 9.5, "std": 0.5, "min": 9.0, "max": 10.0, "histogram": [0] * 32}
    figures = {
        "rows": 4, "spearman": 0.95, "mae": 0.2, "grey_spearman": 0.1, "drift": {"shift": -0.5, "spearman": 0.9},
        "swapped": {"n": 4, "before": 9.5, "after": -5.0, "drop": 14.5, "low": 13.0, "high": 15.0},
        "kinds": {"original": kind}, "probe_gaps": {"grey_image": {"n": 4, "gap": 15.2, "share_above": 0.0}},
    }  # fmt: skip
    text = markdown(figures, "round_1/reward_model", phantom=True)
    for part in (
        "phantom images drawn by code",
        "0.950",
        "fall of 14.50 [13.00, 15.00]",
        "| grey_image | 4 | 15.20 | 0.00 |",
        "Not for clinical use.",
    ):
        assert part in text
    assert "phantom" not in markdown(figures, "x")
