"""The recitation reward is nltk's BLEU times delta, clipped."""

import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from medical_rl.errors import UserError
from medical_rl.parsing.response import parse
from medical_rl.rewards.terms.recitation import recitation
from medical_rl.sample import Sample

KNOWLEDGE = (
    "benign: a smooth oval mass with sharp borders; malignant: an irregular mass with spiculated borders"
)
ITEM = Sample("1", "test", "?", "label", "benign", choices=("benign", "malignant"), knowledge=KNOWLEDGE)


def said(thought):
    return parse(f"<think>{thought}</think>")


def test_bleu_is_nltks_on_lower_case_words():
    thought = "The mass is smooth with sharp borders, so benign"
    given = KNOWLEDGE.lower().replace(":", " ").replace(";", " ").split()
    expected = sentence_bleu(
        [given], thought.lower().replace(",", " ").split(), smoothing_function=SmoothingFunction().method1
    )
    assert 0 < expected < 1
    assert recitation(said(thought), ITEM, delta=1.0) == pytest.approx(expected)


def test_a_bleu_worked_out_by_hand():
    # thought: 4 words, all in the knowledge; bigrams (smooth oval)(oval mass)(mass with): 3 of 3.
    # order 2: precisions 4/4 and 3/3; brevity: 4 words against 15 -> exp(1 - 15/4) = exp(-2.75) = 0.06393
    assert len(KNOWLEDGE.split()) == 15
    assert recitation(said("smooth oval mass with"), ITEM, delta=1.0, order=2) == pytest.approx(
        0.0639279, rel=1e-5
    )


def test_delta_of_equation_7_rewards_or_punishes_and_is_clipped():
    whole = said(KNOWLEDGE)  # BLEU 1
    assert recitation(whole, ITEM, delta=0.2) == pytest.approx(0.2)
    assert recitation(whole, ITEM, delta=-2) == -1.0, "-2 * 1 is beyond (-1, 1)"
    assert (
        recitation(
            said("something else altogether, no word shared here"), ITEM, delta=-2, smoothing="method0"
        )
        == 0.0
    )


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{KNOWLEDGE}</think> so \\boxed{{benign}}",
        f"<think>so</think> {KNOWLEDGE} \\boxed{{benign}}",
        f"<think>so</think><answer>benign: {KNOWLEDGE}</answer>",
        f"<think>{KNOWLEDGE}</think><think>so</think> \\boxed{{benign}}",
        f"so {KNOWLEDGE} \\boxed{{benign}}",
    ],
    ids=["thought", "behind_the_thought", "answer", "first_of_two_thoughts", "no_thought"],
)
def test_a_recital_is_punished_wherever_it_stands(text):
    # equation 7 takes the whole output: BLEU 13/15 and better, and -2 * that is beyond -1
    assert recitation(parse(text), ITEM, delta=-2) == -1.0


def test_marks_are_no_words_of_the_output():
    assert recitation(
        parse(f"<think>{KNOWLEDGE}</think><answer></answer>"), ITEM, delta=0.2
    ) == pytest.approx(0.2)


def test_the_thought_alone_recites_where_that_is_chosen():
    behind = parse(f"<think>so</think> {KNOWLEDGE} \\boxed{{benign}}")
    assert recitation(behind, ITEM, delta=-2, scope="think", smoothing="method0") == 0.0
    assert recitation(parse(f"{KNOWLEDGE} \\boxed{{benign}}"), ITEM, scope="think") == 0.0
    with pytest.raises(UserError, match="scope of the recitation reward 'thougt'.*Available: output, think"):
        recitation(behind, ITEM, scope="thougt")


def test_a_row_without_knowledge_is_bad_data():
    with pytest.raises(UserError, match="knowledge"):
        recitation(said("x"), Sample("7", "set", "?", "label", "benign"))
