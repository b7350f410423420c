"""The fact reward: 0.2 a concept, once, by words; and where the public code counts otherwise."""

import pytest

from medical_rl.errors import UserError
from medical_rl.parsing.response import parse
from medical_rl.rewards.terms.fact import fact, maximum
from medical_rl.sample import Sample

# the paper's own example question and its concepts
PAPER = Sample(
    id="1",
    source="test",
    question="Does the chest radiograph show any signs of lung infection or congestion?",
    kind="yes_no",
    answer="no",
    concepts=("lung infection", "congestion", "chest radiograph"),
)


def said(thought, answer="no"):
    return parse(f"<think>{thought}</think><answer>{answer}</answer>")


@pytest.mark.parametrize(
    "thought, expected",
    [
        ("The chest radiograph is clear: no lung infection, no congestion.", 0.6),  # 3 concepts * 0.2
        ("Lung infections and congestions are not seen.", 0.4),  # inflections of two concepts
        ("congestion, congestion, congestion", 0.2),  # once
        ("The lung shows an infection.", 0.0),  # the two words are not in a row
        ("decongestion was tried", 0.0),  # a part of a word
        ("LUNG\nINFECTION", 0.0),  # a line break ends the clause
        ("Clear.", 0.0),
    ],
)
def test_each_concept_counts_once_by_its_words(thought, expected):
    assert fact(said(thought), PAPER) == pytest.approx(expected)


def test_the_scope_is_the_thought_and_the_answer_unless_told():
    response = said("congestion", answer="no lung infection")
    assert fact(response, PAPER) == pytest.approx(0.4)
    assert fact(response, PAPER, scope="answer") == pytest.approx(0.2)
    assert fact(response, PAPER, scope="think") == pytest.approx(0.2)
    assert fact(said("all three", answer="no"), PAPER, scope="answer") == 0.0, (
        "a yes/no answer alone names no concept"
    )


def test_text_outside_the_tags_is_neither_thought_nor_answer():
    assert fact(parse("congestion <think>x</think><answer>no</answer> congestion"), PAPER) == 0.0


def test_a_negated_mention_counts_unless_it_is_told_not_to():
    assert fact(said("no congestion"), PAPER) == pytest.approx(0.2)
    assert fact(said("no congestion"), PAPER, skip_negated=True) == 0.0
    assert fact(said("no effusion but congestion"), PAPER, skip_negated=True) == pytest.approx(0.2)
    assert fact(said("No effusion. There is congestion."), PAPER, skip_negated=True) == pytest.approx(0.2)
    for denied in (
        "congestion is absent",
        "congestion was not seen",
        "There isn't congestion",
        "congestion: excluded",
    ):
        assert fact(said(denied), PAPER, skip_negated=True) == 0.0, denied
    assert fact(said("congestion is severe and no effusion"), PAPER, skip_negated=True) == pytest.approx(0.2)


def test_the_cap_bounds_the_reward_and_its_maximum():
    response = said("chest radiograph: lung infection, congestion")
    assert fact(response, PAPER, cap=0.5) == 0.5
    assert maximum(PAPER) == pytest.approx(0.6) and maximum(PAPER, cap=0.5) == 0.5


def test_a_dot_inside_a_number_ends_no_clause():
    item = Sample("1", "test", "?", "yes_no", "no", concepts=("1.5 cm nodule",))
    assert fact(said("There is a 1.5 cm nodule."), item) == pytest.approx(0.2)
    assert fact(said("There is a 1 cm mass. 5 cm nodule"), item) == 0.0


def test_spellings_of_one_concept_are_one_concept():
    item = Sample("1", "test", "?", "yes_no", "no", concepts=("X-ray/radiograph", "edema"))
    assert fact(said("On the radiograph, an X-ray, edema"), item) == pytest.approx(0.4)


def test_the_public_code_finds_parts_of_words_anywhere():
    response = parse("decongestion <think></think>")
    assert fact(response, PAPER, match="substring") == pytest.approx(0.2)
    assert fact(response, PAPER) == 0.0


def test_a_row_without_concepts_is_bad_data_not_a_zero():
    with pytest.raises(UserError, match="concepts"):
        fact(said("x"), Sample("7", "set", "?", "yes_no", "no"))


@pytest.mark.parametrize(
    "concepts, thought, expected",
    [
        (("chest radiography",), "The chest X-ray is clear.", 0.2),  # the paper's own word for it
        (("cardiomegaly",), "An enlarged heart is seen.", 0.2),
        (("cardiomegaly",), "The heart is seen.", 0.0),  # no other name of it
        (("pericardial effusion",), "A pleural effusion is seen.", 0.0),
        (("effusion", "effusions"), "effusion", 0.2),  # one concept in two forms
        (("chest x-ray", "chest radiograph"), "On the chest film", 0.2),  # two names of one concept
    ],
)
def test_the_lexicons_other_names_of_a_concept_name_it(concepts, thought, expected):
    sample = Sample("1", "test", "?", "yes_no", "no", concepts=concepts)
    assert fact(said(thought), sample) == pytest.approx(expected) and maximum(sample) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "thought, expected",
    [
        ("Congestion was ruled out.", 0.0),
        ("The congestion has resolved.", 0.0),
        ("1.No congestion.2.Clear lungs.", 0.0),
        ("Congestion: none.", 0.0),
        ("No change in the congestion.", 0.2),  # denies the change
        ("Congestion cannot be excluded.", 0.2),  # a doubt is no denial
        ("No effusion is seen and the congestion persists.", 0.2),
    ],
)
def test_a_denial_is_read_by_the_report_readers_grammar(thought, expected):
    assert fact(said(thought), PAPER, skip_negated=True) == pytest.approx(expected)
