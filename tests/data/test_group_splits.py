import collections
import random

import pytest

from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.errors import UserError

# 300 lesions of 1, 2 or 3 images, two thirds of them nv: 600 images, 400 and 200
ROWS = [(f"lesion {i}", "nv" if i % 3 else "mel") for i in range(300) for _ in range(1 + i // 3 % 3)]
SHARES = {"test": 0.2, "val": 0.1}


def counts(where, rows=ROWS):
    return collections.Counter((where[group], name) for group, name in rows)


def test_shares_hold_for_every_class_to_the_row():
    found = counts(split_by_group(ROWS, SHARES, seed=3))
    total = collections.Counter(name for _, name in ROWS)
    for name in ("nv", "mel"):
        assert [found[split, name] for split in ("test", "val")] == [
            round(0.2 * total[name]),
            round(0.1 * total[name]),
        ]


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows():
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert (
        split_by_group(ROWS, SHARES, seed=3)
        == split_by_group(shuffled, SHARES, seed=3)
        != split_by_group(ROWS, SHARES, seed=4)
    )


def test_a_small_class_is_in_every_split_where_it_has_enough_groups():
    rows = [
        (f"{name} {i}", name) for name, n in (("rare", 3), ("rarer", 2), ("common", 50)) for i in range(n)
    ]
    found = counts(split_by_group(rows, {"test": 0.1, "val": 0.05}, seed=0), rows)
    assert [found[split, "rare"] for split in ("train", "val", "test")] == [1, 1, 1]
    assert found["train", "rarer"] == 2


def test_a_split_whose_share_is_smaller_than_every_group_still_gets_the_smallest():
    rows = [
        (f"patient {i}", "x") for i in range(4) for _ in range(5 + i)
    ]  # groups of 5, 6, 7, 8; 10 % of 26 is 3
    assert split_by_group(rows, {"test": 0.1}, seed=0)["patient 0"] == "test"


@pytest.mark.parametrize(
    "shares", [{"test": 1.0}, {"test": 0.6, "val": 0.4}, {"test": -0.1}, {"test": "0.1"}]
)
def test_shares_that_leave_nothing_for_train_are_refused(shares):
    with pytest.raises(UserError, match="leave something for train"):
        split_by_group(ROWS, shares, seed=0)
