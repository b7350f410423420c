import collections
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.data.prepare.sampling import balanced, k_shot, limit, repeat_to, top_k
from medical_rl.errors import UserError
from medical_rl.sample import Sample


def pool(answers):
    return [
        Sample(id=str(i), source="demo", question="?", kind="label", answer=a) for i, a in enumerate(answers)
    ]


ANSWERS = st.lists(st.sampled_from("abc"), max_size=40)
SHOTS = st.integers(1, 8)
SEEDS = st.integers(0, 2**32)


@given(ANSWERS, SHOTS, SEEDS)
def test_k_shot_gives_k_of_every_class_or_all_it_has(answers, k, seed):
    chosen = collections.Counter(s.answer for s in k_shot(pool(answers), k, seed))
    assert chosen == {answer: min(k, n) for answer, n in collections.Counter(answers).items()}


@given(ANSWERS, SHOTS, SEEDS, st.randoms())
def test_k_shot_does_not_depend_on_row_order(answers, k, seed, rng):
    samples = pool(answers)
    shuffled = rng.sample(samples, len(samples))
    assert {s.id for s in k_shot(samples, k, seed)} == {s.id for s in k_shot(shuffled, k, seed)}


@given(ANSWERS, SHOTS, SEEDS)
def test_k_shot_of_a_class_does_not_depend_on_the_others(answers, k, seed):
    together = [s.id for s in k_shot(pool(answers), k, seed) if s.answer == "a"]
    alone = [s.id for s in k_shot((s for s in pool(answers) if s.answer == "a"), k, seed)]
    assert together == alone


@given(ANSWERS, SHOTS, SEEDS)
def test_more_shots_contain_fewer(answers, k, seed):
    assert {s.id for s in k_shot(pool(answers), k, seed)} <= {
        s.id for s in k_shot(pool(answers), k + 1, seed)
    }


def test_k_shot_keeps_the_order_of_the_stream():
    ids = [int(s.id) for s in k_shot(pool("abcabcabcabc" * 5), 3, seed=1)]
    assert ids == sorted(ids) and len(ids) == 9


def test_another_seed_draws_other_rows():
    draws = {tuple(s.id for s in k_shot(pool("a" * 100), 5, seed)) for seed in range(10)}
    assert len(draws) == 10


def test_the_draw_is_the_same_in_every_release():
    # Written down once: a change of these ids changes everyone's k-shot sets.
    assert [s.id for s in k_shot(pool("ab" * 20), 2, seed=0)] == ["7", "14", "27", "34"]


def test_every_row_is_drawn_about_equally_often():
    counts = collections.Counter(s.id for seed in range(2000) for s in limit(pool("a" * 10), 3, seed))
    # 2000 x 3 / 10 = 600 expected each, standard deviation about 20: 500 to 700 is five of them.
    assert len(counts) == 10 and all(500 < n < 700 for n in counts.values())


def test_k_shot_counts_by_any_key():
    assert len(k_shot(pool("aabb"), 1, seed=0, key=lambda s: "all")) == 1


def test_limit_of_more_than_there_are_gives_all():
    assert limit(pool("abc"), 10, seed=0) == pool("abc")


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "4"])
def test_a_number_of_rows_that_is_none_is_refused(k):
    with pytest.raises(UserError, match="at least 1"):
        k_shot(pool("ab"), k, seed=0)
    with pytest.raises(UserError, match="at least 1"):
        limit(pool("ab"), k, seed=0)


@given(st.integers(1, 20), st.integers(1, 70), SEEDS)
def test_repeat_gives_whole_passes_and_one_part(size, n, seed):
    samples = pool("a" * size)
    repeated = repeat_to(samples, n, seed)
    assert len(repeated) == max(size, n)
    assert repeated[:size] == samples
    for number in range(1, n // size):
        copy = repeated[number * size : (number + 1) * size]
        assert {s.id for s in copy} == {s.id for s in samples}
        assert {s.meta["copy"] for s in copy} == {number}
    assert all("#" not in s.id for s in repeated)


def test_enough_rows_are_returned_unchanged():
    samples = pool("ab")
    assert repeat_to(samples, 2, seed=0) is samples


def test_copies_are_shuffled_and_leave_the_originals_alone():
    samples = pool("a" * 30)
    repeated = repeat_to(samples, 90, seed=0)
    first, second = ([s.id for s in repeated[a : a + 30]] for a in (30, 60))
    assert first != [s.id for s in samples] and first != second
    assert all(s.meta == {} for s in samples)


def test_nothing_cannot_be_repeated():
    with pytest.raises(UserError, match="no rows"):
        repeat_to([], 4, seed=0)


def test_the_global_random_state_is_neither_used_nor_changed():
    random.seed(1)
    before = random.getstate()
    chosen = k_shot(pool("ab" * 9), 2, seed=0)
    assert random.getstate() == before
    random.seed(2)
    assert k_shot(pool("ab" * 9), 2, seed=0) == chosen


@given(ANSWERS, st.integers(1, 30), SEEDS)
def test_balanced_gives_n_rows_and_no_class_has_two_more_than_one_that_has_rows_left(answers, n, seed):
    chosen = collections.Counter(s.answer for s in balanced(pool(answers), n, seed))
    there = collections.Counter(answers)
    assert chosen.total() == min(n, len(answers))
    for answer, count in there.items():
        if chosen[answer] < count and chosen:
            assert chosen[answer] >= max(chosen.values()) - 1


@given(ANSWERS, st.integers(1, 30), SEEDS, st.randoms())
def test_balanced_does_not_depend_on_row_order_and_keeps_it(answers, n, seed, rng):
    samples = pool(answers)
    chosen = balanced(samples, n, seed)
    assert {s.id for s in chosen} == {s.id for s in balanced(rng.sample(samples, len(samples)), n, seed)}
    assert [int(s.id) for s in chosen] == sorted(int(s.id) for s in chosen)


def scored(scores):
    return [
        Sample(id=str(i), source="demo", question="?", kind="label", answer="a", meta={"s": s})
        for i, s in enumerate(scores)
    ]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 40), SEEDS)
def test_top_k_gives_the_highest_scores_in_stream_order(scores, k, seed):
    chosen = top_k(scored(scores), k, "s", seed)
    assert sorted(s.meta["s"] for s in chosen) == sorted(scores)[-k:]
    assert [int(s.id) for s in chosen] == sorted(int(s.id) for s in chosen)


def test_equal_scores_are_drawn_by_the_seed():
    draws = {tuple(s.id for s in top_k(scored([1] * 50), 5, "s", seed)) for seed in range(10)}
    assert len(draws) == 10


@pytest.mark.parametrize("value", [None, "high", "nan", float("nan"), [1]])
def test_a_row_without_a_score_is_named_with_what_it_has(value):
    with pytest.raises(UserError, match="Row 1 has no number for the score 's'.*Its meta has: s"):
        top_k(scored([1, value]), 1, "s", seed=0)
