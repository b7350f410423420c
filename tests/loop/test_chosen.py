"""Which rows a round asks about: seeded, another draw each round, one row an image where the image is all that is seen."""

import dataclasses
import random

from medical_rl.loop.generate import draw_rows


def ids(rows):
    return [row.id for row in rows]


def test_the_draw_follows_from_seed_and_round_and_not_from_order(make_row):
    pool = [make_row(i) for i in range(60)]
    first = ids(draw_rows(pool, 20, seed=1, round=1))
    assert len(first) == len(set(first)) == 20 and first == sorted(first, key=int), "in the order they came"
    mixed = random.Random(0).sample(pool, len(pool))
    assert sorted(ids(draw_rows(mixed, 20, seed=1, round=1))) == sorted(first)
    # of 20 in 60, another draw shares 6.7 on average; all 20 in one of 10^15 draws
    assert (
        set(ids(draw_rows(pool, 20, seed=1, round=2)))
        != set(first)
        != set(ids(draw_rows(pool, 20, seed=2, round=1)))
    )


def test_a_smaller_draw_is_part_of_a_larger_one(make_row):
    pool = [make_row(i) for i in range(40)]
    assert set(ids(draw_rows(pool, 5, 0, 1))) < set(ids(draw_rows(pool, 15, 0, 1)))


def test_fewer_rows_than_wanted_are_all_taken(make_row):
    pool = [make_row(i) for i in range(3)]
    assert ids(draw_rows(pool, 9, 0, 1)) == ["0", "1", "2"]


def test_rows_without_an_image_are_passed_over(make_row):
    pool = [make_row(i) if i % 2 else dataclasses.replace(make_row(i), images=()) for i in range(10)]
    assert ids(draw_rows(pool, 9, 0, 1)) == ["1", "3", "5", "7", "9"]


def test_rows_about_one_image_are_one_where_only_the_image_is_seen(make_row):
    """Five images with four rows each, in any order: the first row of each image stands for it."""
    pool = [dataclasses.replace(make_row(i % 5), id=str(i)) for i in range(20)]
    assert ids(draw_rows(pool, 9, 0, 1, by_image=True)) == ["0", "1", "2", "3", "4"]
    assert len(draw_rows(pool, 9, 0, 1)) == 9
    for count in (1, 2, 3, 4):
        found = draw_rows(pool, count, 0, 1, by_image=True)
        assert len({row.images for row in found}) == len(found) == count
        assert set(ids(found)) <= {"0", "1", "2", "3", "4"}


def test_a_row_that_is_repeated_to_fill_a_batch_is_one_row(make_row):
    pool = [make_row(i % 3) for i in range(12)]
    assert ids(draw_rows(pool, 9, 0, 1)) == ["0", "1", "2"]
