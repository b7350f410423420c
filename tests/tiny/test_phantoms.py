"""Phantoms: drawn from a seed, disjoint by split, true where they must be, wrong on purpose where it is said."""

import hashlib
import json

import numpy as np
import pytest

from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.tiny import phantoms

TASKS = list(phantoms.TASKS)


def drawn(task, split, n, **options):
    return list(phantoms.rows(None, split, task=task, sizes={split: n}, **options))


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_draws_the_same_and_another_seed_others(task):
    images = [[s.images[0] for s in drawn(task, "train", 6, seed=seed)] for seed in (1, 1, 2)]
    assert images[0] == images[1] and not set(images[0]) & set(images[2])


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_picture_and_growing_one_changes_nothing(task):
    splits = {split: drawn(task, split, 20) for split in phantoms.SPLITS}
    hashes = [hashlib.sha256(s.images[0]).hexdigest() for rows in splits.values() for s in rows]
    assert len(set(hashes)) == len(hashes)
    assert [s.images for s in drawn(task, "train", 40)[:20]] == [s.images for s in splits["train"]]


@pytest.mark.parametrize("task", TASKS)
def test_only_warm_start_labels_are_wrong_and_the_truth_is_kept(task):
    for split in ("train", "val", "test"):
        assert all(s.answer == s.meta["truth"] for s in drawn(task, split, 40, label_noise=1.0))
    noisy = drawn(task, "warm_start", 400, label_noise=0.5)
    wrong = np.mean([s.answer != s.meta["truth"] for s in noisy])
    # grading: half of the four grades in five that have a lower one, 0.4; else 0.5; four standard errors of 400 rows are 0.1
    assert abs(wrong - (0.4 if task == "grading" else 0.5)) < 0.1


def test_a_wrong_grade_is_one_too_low():
    for s in drawn("grading", "warm_start", 200, label_noise=1.0):
        assert int(s.answer) == max(int(s.meta["truth"]) - 1, 0)


def test_a_higher_grade_is_a_larger_disc():
    areas = {}
    for s in drawn("grading", "test", 200):
        picture = np.asarray(decode(s.images[0]).convert("L"), dtype=float)
        areas.setdefault(int(s.answer), []).append(
            (picture > np.median(picture) + 45).sum() if int(s.answer) < 4 else (picture > 110).sum()
        )
    means = [np.mean(areas[g]) for g in range(4)]
    assert means == sorted(means) and means[0] < 40 < means[1]


def test_a_box_encloses_the_bright_lesion():
    for s in drawn("localisation", "test", 30):
        x1, y1, x2, y2 = json.loads(s.answer)
        picture = np.asarray(decode(s.images[0]).convert("L"), dtype=float)
        inside = picture[y1:y2, x1:x2]
        assert inside.mean() > picture.mean() + 20
        assert 0 <= x1 < x2 <= phantoms.SIDE and 0 <= y1 < y2 <= phantoms.SIDE


def test_the_description_says_phantom_and_names_the_wrong_labels():
    said = phantoms.describe(task="grading", label_noise=0.5)
    assert (
        said["phantom"] is True
        and "wrong on purpose" in " ".join(said["notes"])
        and "50%" in " ".join(said["notes"])
    )
    assert "wrong" not in " ".join(phantoms.describe(task="grading")["notes"])


def test_an_unknown_task_or_split_is_refused():
    with pytest.raises(UserError, match="grading"):
        list(phantoms.rows(None, "train", task="graading"))
    with pytest.raises(UserError, match="warm_start"):
        list(phantoms.rows(None, "trian"))


def test_on_a_grid_boxes_are_multiples_of_it_and_wrong_ones_are_a_step_further_where_there_is_room():
    rows = list(
        phantoms.rows(
            split="warm_start", task="localisation", sizes={"warm_start": 200}, label_noise=1.0, grid=14
        )
    )
    for row in rows:
        truth, said = json.loads(row.meta["truth"]), json.loads(row.answer)
        assert all(v % 14 == 0 and 0 <= v <= 56 for v in truth + said)
        assert truth[2] - truth[0] == truth[3] - truth[1] in (28, 42)
        # x moves with x, y with y, each by 14 unless the box already ends at the edge
        assert [b - a for a, b in zip(truth, said, strict=True)] == [
            14 * (truth[2] < 56),
            14 * (truth[3] < 56),
        ] * 2
    assert len({row.meta["truth"] for row in rows}) == 9 + 4, (
        "nine places for the small disc, four for the large one"
    )


def test_a_grid_is_of_localisation_only():
    with pytest.raises(UserError, match="grid=14 is of the phantom task localisation"):
        next(phantoms.rows(task="grading", grid=14))
    with pytest.raises(UserError, match="grid=5"):
        next(phantoms.rows(task="localisation", grid=5))
