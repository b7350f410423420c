"""The template generator: true where it means to be, wrong at the rate it says, seeded by (seed, round, row)."""

import collections
from pathlib import Path

import pytest

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.loop.generators import template, triplets
from medical_rl.tiny import phantoms
from medical_rl.tiny.phantoms import facts_question


@pytest.fixture
def propose(settings):
    """Triplets of rows as (row, triplet) pairs."""

    def make(rows, seed=0, round=1, **changes):
        work = RoundContext(round, seed, Path(), Path(), {}, {})
        return template.propose(settings("template", **changes), rows, work)

    return make


def texts(proposals):
    return [(row.id, t.question, t.answer, t.rationale) for row, t in proposals.pairs]


def test_without_errors_everything_said_of_a_phantom_is_true(propose, facts_rows):
    found = propose(facts_rows(60), error_rate=0.0).pairs
    assert len(found) == 120
    for row, one in found:
        truth = facts_question(one.known["question_type"], row.meta["facts"])
        assert (one.question, one.answer, one.rationale) == (
            truth["question"],
            truth["answer"],
            truth["thought"],
        )
        assert (
            one.known["truth"] == one.answer and not one.known["is_error"] and triplets.problem(one) is None
        )
    kinds = {row.id: {t.known["question_type"] for r, t in found if r is row} for row, _ in found[:20]}
    assert all(types == {"grading", "side"} for types in kinds.values()), "two triplets ask of both types"


def test_errors_come_at_their_rate_and_kinds(propose, facts_rows):
    found = [t for _, t in propose(facts_rows(1000), error_rate=0.3).pairs]
    kinds = collections.Counter(t.known["error"] for t in found if t.known["is_error"])
    # 2,000 draws: 0.3 has a standard error of 0.0102, so four of them are 0.041; and 600 errors: half of them +- 4 x 0.0204
    assert abs(kinds.total() / 2000 - 0.3) < 0.041
    assert abs(kinds["wrong"] / kinds.total() - 0.5) < 0.082
    assert (
        abs(kinds["unsound"] / kinds.total() - 0.25) < 0.071
        and abs(kinds["contradicted"] / kinds.total() - 0.25) < 0.071
    )


@pytest.mark.parametrize("rate, expected", [(0.0, 0), (1.0, 120)])
def test_the_ends_of_the_rate_are_exact(propose, facts_rows, rate, expected):
    found = propose(facts_rows(60), error_rate=rate).pairs
    assert sum(t.known["is_error"] for _, t in found) == expected


@pytest.mark.parametrize("kind", ["wrong", "unsound", "contradicted"])
def test_an_error_is_what_it_is_called(propose, facts_rows, kind):
    for row, one in propose(facts_rows(80), error_rate=1.0, errors={kind: 1.0}).pairs:
        right = facts_question(one.known["question_type"], row.meta["facts"])
        assert one.known["error"] == kind and one.known["truth"] == right["answer"]
        assert (one.answer == right["answer"]) == (kind == "unsound")
        assert (one.rationale == right["thought"]) == (kind == "contradicted")
        assert triplets.problem(one) is None, "an error is a triplet of good form"
        if kind == "wrong":  # answer and rationale fit each other: some picture has both
            pictures = [{"grade": g, "side": s} for g in range(5) for s in ("left", "right", "none")]
            said = [facts_question(one.known["question_type"], facts) for facts in pictures]
            assert (one.answer, one.rationale) in [(s["answer"], s["thought"]) for s in said]


def test_the_same_seed_round_and_row_say_the_same_whatever_other_rows_there_are(propose, facts_rows):
    rows = facts_rows(40)
    whole = texts(propose(rows))
    assert texts(propose(rows)) == whole
    assert texts(propose(rows[10:20])) == whole[20:40]


def test_rounds_and_seeds_err_elsewhere(propose, facts_rows):
    first, second, other = (
        texts(propose(facts_rows(60), seed=s, round=r)) for s, r in ((0, 1), (0, 2), (1, 1))
    )
    # the chance that 120 triplets err alike is below 0.58^120
    assert first != second and first != other and second != other


def test_wordings_change_questions_and_nothing_else(propose, facts_rows):
    found = propose(facts_rows(30), error_rate=0.0, wordings=3, per_image=6).pairs
    questions = collections.defaultdict(set)
    for row, one in found:
        truth = facts_question(one.known["question_type"], row.meta["facts"])
        assert (one.answer, one.options, one.knowledge) == (
            truth["answer"],
            truth["choices"],
            truth["knowledge"],
        )
        questions[one.known["question_type"]].add(one.question)
    assert {kind: len(said) for kind, said in questions.items()} == {"grading": 3, "side": 3}
    keys = {(row.id, one.question) for row, one in found}
    assert len(keys) == len(found), "six ways for six triplets: none repeats itself"


def test_types_of_question_can_be_chosen(propose, facts_rows):
    found = propose(facts_rows(20), question_types=["side"]).pairs
    assert {t.known["question_type"] for _, t in found} == {"side"}
    with pytest.raises(UserError, match="grading, side"):
        propose(facts_rows(20), question_types=["sides"])


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "label", "choices": ("a", "b", "c"), "answer": "b"},
        {"kind": "choice", "choices": ("CT", "MRI"), "answer": "A"},
        {"kind": "grade", "choices": ("0", "1", "2"), "answer": "2"},
        {"kind": "grade", "choices": (), "answer": "0"},
        {"kind": "yes_no", "choices": (), "answer": "no"},
        {"kind": "yes_no", "choices": ("yes", "no"), "answer": "yes"},
    ],
)
def test_rows_of_other_data_are_asked_their_own_question(propose, make_row, fields):
    row = make_row(1, knowledge="k", **fields)
    ((_, right),) = propose([row], error_rate=0.0, per_image=1).pairs
    made = triplets.sample_of(row, right, 1)
    assert (made.question, made.kind, made.choices, made.knowledge) == (
        row.question,
        row.kind,
        row.choices,
        "k",
    )
    assert triplets.problem(right) is None and not right.known["is_error"] and right.rationale
    errors = {"wrong": 1.0}
    for _, wrong in propose([row], error_rate=1.0, errors=errors, per_image=6, wordings=3).pairs:
        assert triplets.problem(wrong) is None and row.question in wrong.question
        assert triplets.sample_of(row, wrong, 1).answer != made.answer == wrong.known["truth"]


def test_wrong_thoughts_are_borrowed_from_rows_with_that_answer(propose, make_row):
    """Else an error could be told by its style alone."""
    rows = [
        make_row(
            i,
            answer="ab"[i % 2],
            choices=("a", "b"),
            meta={"thought": f"it looks like {'ab'[i % 2]}, case {i}"},
        )
        for i in range(10)
    ]
    for row, one in propose(rows, error_rate=1.0, errors={"wrong": 1.0}, per_image=1).pairs:
        assert one.answer != row.answer and one.rationale.startswith(f"it looks like {one.answer}, case")
    for row, one in propose(rows, error_rate=0.0, per_image=1).pairs:
        assert one.rationale == row.meta["thought"]


def test_a_free_answer_is_made_wrong_by_another_rows_answer_or_not_at_all(propose, make_row):
    alone = make_row(1, answer="aorta")
    ((_, one),) = propose([alone], error_rate=1.0, per_image=1).pairs
    assert one.answer == "aorta" and not one.known["is_error"]
    rows = [alone, make_row(2, answer="heart"), make_row(3, answer="spine", question="Another?")]
    found = propose(rows, error_rate=1.0, errors={"wrong": 1.0}, per_image=1).pairs
    assert [t.answer for _, t in found] == ["heart", "aorta", "spine"]


def test_a_thought_that_is_the_same_for_all_answers_makes_no_unsound_error(propose):
    """The phantoms of grading have one thought: an `unsound` one would be right, so it errs in the answer instead."""
    rows = list(phantoms.rows(None, "train", task="grading", sizes={"train": 20}))
    found = propose(rows, error_rate=1.0, errors={"unsound": 1.0}, per_image=1).pairs
    assert all(t.answer != row.answer and t.known["is_error"] for row, t in found)


def test_a_row_that_is_wrong_itself_gives_errors_and_says_so(propose):
    rows = list(phantoms.rows(None, "warm_start", task="grading", sizes={"warm_start": 60}, label_noise=0.5))
    found = propose(rows, error_rate=0.0, per_image=1).pairs
    wrong = [row for row, t in found if t.known["is_error"]]
    assert wrong == [row for row in rows if row.answer != row.meta["truth"]] and 0 < len(wrong) < 60


def test_boxes_are_not_asked_about_and_counted(propose):
    rows = list(phantoms.rows(None, "train", task="localisation", sizes={"train": 3}))
    found = propose(rows)
    assert not found.pairs and found.bad_replies == {"rows of kind box are not asked about": 3}


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"error_rate": 1.5}, "error_rate=1.5"),
        ({"wordings": 4}, "wordings=4"),
        ({"errors": {"wrogn": 1.0}}, "Did you mean 'wrong'"),
        ({"errors": {"wrong": -1.0, "unsound": 2.0}}, "negative"),
        ({"errors": {"wrong": 0.0}}, "at least one kind"),
    ],
)
def test_settings_that_cannot_work_are_refused(propose, facts_rows, changes, said):
    with pytest.raises(UserError, match=said):
        propose(facts_rows(1), **changes)
