"""BM25 against the formula, worked out by hand, and the words it asks with."""

import dataclasses
import math

import numpy as np
import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval.bm25 import Bm25, top_positions


@pytest.fixture
def plain(bm25):
    """No stemming and no word ignored: the bare formula."""
    return {**bm25, "stem": False, "ignore": []}


def test_scores_are_bm25s(plain, report, row):
    texts = ("effusion left", "effusion effusion right small", "clear")
    index = Bm25(plain, [report(str(i), text) for i, text in enumerate(texts)])
    (hits,) = index.rank([row(question="Effusion left?")], 3)
    # N = 3 reports of 7 / 3 words on average; idf(effusion, in 2) = ln(1 + 1.5 / 2.5), idf(left, in 1) = ln(1 + 2.5 / 1.5);
    # a word that is f times in a report of n words has weight f / (f + k1 (1 - b + b n / average)), k1 = 1.5, b = 0.75.
    effusion, left = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    weight = lambda f, n: f / (f + 1.5 * (0.25 + 0.75 * n / (7 / 3)))  # noqa: E731
    expected = {"0": (effusion + left) * weight(1, 2), "1": effusion * weight(2, 4), "2": 0.0}
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert [hit.id for hit in hits] == ["0", "1", "2"]


def test_the_form_of_a_question_does_not_outweigh_what_is_asked(bm25, plain, report, row):
    reports = [
        report("form", "The patient does have any of it."),
        *(report(str(i), "No pneumothorax.") for i in range(9)),
    ]
    asked = row(question="Does the patient have any pneumothorax?")
    # Nine reports of ten name it, so that by the bare formula it weighs least of all the words.
    assert Bm25(plain, reports).rank([asked], 1)[0][0].id == "form"
    assert Bm25(bm25, reports).rank([asked], 1)[0][0].id == "0"
    # Nothing but form: then it is asked with all of it.
    assert Bm25(bm25, reports).rank([row(question="Does it have any?")], 1)[0][0].id == "form"


def test_the_forms_of_a_word_are_one(bm25, plain, report, row):
    reports = [report("0", "A clear lung."), report("1", "Bilateral effusions.")]
    asked = row(question="Is there an effusion?")
    assert Bm25(bm25, reports).rank([asked], 1)[0][0].id == "1"
    assert Bm25(plain, reports).rank([asked], 1)[0][0].score == 0.0


def test_choices_are_asked_with_unless_they_are_yes_and_no(bm25, report, row):
    reports = [report("0", "Yes and no."), report("1", "Left sided device.")]
    asked = dataclasses.replace(
        row(question="Which side is the device on?"), kind="choice", choices=("left", "right")
    )
    asked_yes = row(question="Is something there?", choices=("yes", "no"))
    assert Bm25(bm25, reports).rank([asked], 1)[0][0].id == "1"
    assert Bm25(bm25, reports).rank([asked_yes], 1)[0][0].score == 0.0


def test_equal_scores_keep_the_corpus_order_for_every_k():
    scores = np.array([1, 3, 1, 2, 1, 3], np.float32)
    ranked = [1, 5, 3, 0, 2, 4]
    assert all(top_positions(scores, k).tolist() == ranked[:k] for k in range(8))


def test_a_question_of_unknown_words_scores_nothing_and_an_empty_corpus_is_refused(bm25, report, row):
    reports = [report("0", "Clear."), report("1", "Large.")]
    (hits,) = Bm25(bm25, reports).rank([row(question="Ünïcode 文字?")], 2)
    assert [(hit.id, hit.score) for hit in hits] == [("0", 0.0), ("1", 0.0)]
    with pytest.raises(UserError, match="None of the 1 reports holds a word"):
        Bm25(bm25, [report("0", "...")])
