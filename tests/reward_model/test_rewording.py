"""Synonyms in a text: what is replaced, and what never is."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medical_rl.reward_model.grading.synonyms import Table, load
from medical_rl.reward_model.grading.text_changes import _WORD, PROTECTED, reword

BUILTIN = load("builtin")


class Everything:
    """A source that has a synonym for every word, protected ones too."""

    name, longest = "everything", 1

    def of(self, phrase):
        return ("zzz",)


def every(text, synonyms=BUILTIN, **options):
    return reword(text, synonyms, np.random.default_rng(0), share=1.0, **options)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("a large disc is seen", "a big circle is visible"),
        ("A Large disc", "A Big circle"),
        ("MILD", "SLIGHT"),
        ("a large mass", "a big mass"),
        ("a huge mass", "an enormous mass"),  # the article goes with the new word
        ("An enormous mass", "A huge mass"),
        ("the heart is enlarged", "the heart is increased in size"),
        ("an enlarged heart", None),  # "increased in size heart" would be no English
        ("mild pulmonary edema", "slight lung edema"),
        ("small, round", "little, circular"),
    ],
)
def test_worked_examples(text, new):
    assert every(text) == new


@pytest.mark.parametrize(
    "text",
    [
        "no left effusion",
        "not on the right, without the upper one",
        "grade 3 of 4, T2 12 mm",
        "<think></think>",
        "possibly bilateral",
    ],
)
def test_negations_sides_numbers_doubts_and_tags_stay_even_if_a_source_knows_synonyms(text):
    new = every(text, Everything()) or text
    for word in _WORD.findall(text):
        if word.lower() in PROTECTED or any(c.isdigit() for c in word):
            assert word in _WORD.findall(new)
    assert ("<think></think>" in new) == ("<think></think>" in text)


def test_a_source_cannot_bring_in_a_negation_or_a_side():
    table = Table("bad", {"proper": ("right", "correct"), "lacking": ("without",)})
    assert every("proper", table) == "correct" and every("lacking", table) is None


def test_words_of_the_answer_stay_and_are_not_brought_in():
    assert every("a large disc", kept={"large", "disc"}) is None
    assert (
        every("a small nodule", Table("t", {"small": ("tiny", "minor")}), kept={"tiny"}) == "a minor nodule"
    )


def test_the_name_of_a_finding_is_replaced_whole_or_not_at_all():
    # "optic disc" is in the lexicon: no part of it is a word of its own, though the table knows "disc"
    assert every("the optic disc") is None and every("the disc") == "the circle"
    assert every("pleural effusion", Table("t", {"effusion": ("outpouring",)})) is None
    assert every("large pleural effusion") == "big effusion of the pleural space"


def test_at_least_one_place_and_about_the_share_is_replaced():
    table = Table("t", {f"old{c}": (f"v{c}",) for c in "abcdefgh"})
    text = " ".join(table.table)
    for share, wanted in ((0.0, 1), (0.5, 4), (1.0, 8)):
        assert reword(text, table, np.random.default_rng(1), share).count("v") == wanted


def test_no_word_with_a_synonym_is_none_and_not_the_same_text():
    assert every("normal") is None and every("") is None


REPORT = st.lists(
    st.sampled_from(
        [
            *sorted(PROTECTED),
            "large",
            "disc",
            "is enlarged",
            "seen",
            "edema",
            "3",
            "T2",
            "mass,",
            "An",
            "noted.",
        ]
    ),
    min_size=1,
    max_size=20,
).map(" ".join)


@example("is enlarged", 0, load("held_out"))
@given(REPORT, st.integers(0, 2**32 - 1), st.sampled_from([BUILTIN, load("held_out"), Everything()]))
def test_of_any_report_the_protected_words_stay_in_their_order(text, seed, source):
    new = reword(text, source, np.random.default_rng(seed), 0.5)

    def decisive(text):
        articles = {
            "a",
            "an",
            "is",
            "are",
            "in",
            "of",
            "to",
            "with",
        }  # of grammar, which a phrase may bring along
        text = text.replace(
            "larger than normal", "enlarged"
        )  # a phrase of the held-out table, whose "than" is its own
        words = [word.lower() for word in _WORD.findall(text)]
        return [
            word
            for word in words
            if (word in PROTECTED or any(map(str.isdigit, word))) and word not in articles
        ]

    assert new is None or (new != text and decisive(new) == decisive(text))
