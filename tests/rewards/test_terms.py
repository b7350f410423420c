"""Reward terms and mixes: the papers' formulas on worked examples, the traps of public code, failures."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.errors import RewardFailed, UserError
from medical_rl.parsing.response import gold, parse, read
from medical_rl.rewards import REWARDS
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.terms.accuracy import accuracy, mfrs, outcome
from medical_rl.rewards.terms.format import format_reward
from medical_rl.sample import Sample


def sample(kind, answer, choices=()):
    return Sample(id="1", source="test", question="?", kind=kind, answer=answer, choices=choices)


LABEL = sample("label", "normal, benign", ("malignant", "normal, benign"))
GRADE = sample("grade", "3", ("0", "1", "2", "3", "4"))
YES_NO = sample("yes_no", "no")
CHOICE = sample("choice", "Chest CT, with contrast", ("MRI", "Chest CT, with contrast", "Ultrasound"))
BOX = sample("box", "[1, 2, 3, 4]")


@pytest.mark.parametrize(
    "text, item, expected",
    [
        ("<think>x</think> \\boxed{Normal,  BENIGN.}", LABEL, 1.0),
        ("<think>normal, benign</think> \\boxed{malignant}", LABEL, 0.0),
        ("normal, benign", LABEL, 0.0),  # no final answer
        ("\\boxed{malignant} no: \\boxed{normal, benign}", LABEL, 1.0),  # the last one counts
        ("<think>\\boxed{normal, benign}", LABEL, 0.0),  # a thought that never ends answers nothing
        ("\\boxed{\\text{normal, benign}}", LABEL, 1.0),
        ("\\boxed{3}", GRADE, 1.0),
        ("\\boxed{grade 3}", GRADE, 1.0),
        ("\\boxed{3 or 4}", GRADE, 0.0),
        ("\\boxed{３}", GRADE, 1.0),  # a full-width digit
        ("<answer>No.</answer>", YES_NO, 1.0),
        ("<answer>\nno, the lungs are clear\n</answer>", YES_NO, 1.0),  # several lines
        ("<answer>adenocarcinoma</answer>", YES_NO, 0.0),  # holds "no"
        ("<answer>abnormal diagnosis</answer>", YES_NO, 0.0),  # holds "no" twice
        ("<answer>yes and no</answer>", YES_NO, 0.0),
        ("<think>no</think><answer>yes</answer>", YES_NO, 0.0),
        ("<answer>B</answer>", CHOICE, 1.0),
        ("<answer>(b)</answer>", CHOICE, 1.0),
        ("<answer>B) Chest CT, with contrast</answer>", CHOICE, 1.0),
        ("<answer>B) MRI</answer>", CHOICE, 0.0),  # letter and text disagree
        ("<answer>chest ct with contrast</answer>", CHOICE, 1.0),
        ("<answer>Biopsy</answer>", CHOICE, 0.0),  # begins with a letter of an option
        ("", LABEL, 0.0),
        ("<answer></answer>", LABEL, 0.0),  # an empty answer never wins
    ],
)
def test_accuracy_reads_the_final_answer_and_nothing_else(text, item, expected):
    assert accuracy(parse(text), item) == expected


def test_mfrs_is_the_papers_table():
    # VRFT-Aug, equation 9, gold 3: distances 0, 1, 2, 3 -> 1, 1/4, 1/16, 0; and 4 is one away.
    assert [mfrs(parse(f"\\boxed{{{g}}}"), GRADE) for g in (3, 2, 4, 1, 0)] == [1.0, 0.25, 0.25, 0.0625, 0.0]
    assert mfrs(parse("\\boxed{severe}"), GRADE) == 0.0


def test_outcome_is_one_of_two_and_another_is_refused():
    assert outcome(parse("\\boxed{2}"), GRADE, by="accuracy") == 0.0
    assert outcome(parse("\\boxed{2}"), GRADE, by="mfrs") == 0.25
    with pytest.raises(UserError, match="accuracy, mfrs"):
        outcome(parse("x"), GRADE, by="acc")


@pytest.mark.parametrize(
    "text, form, expected",
    [
        ("<think>a</think> \\boxed{b}", "boxed", 1.0),
        ("  <think>\na\n</think>\n\nSo \\boxed{b}.", "boxed", 1.0),
        ("\\boxed{b}", "boxed", 0.0),
        ("<think></think> \\boxed{b}", "boxed", 0.0),
        ("<think>a</think><think>a</think> \\boxed{b}", "boxed", 0.0),
        ("<think>a</think> \\boxed{b} \\boxed{c}", "boxed", 0.0),
        ("<think>\\boxed{b}</think> b", "boxed", 0.0),
        ("<think>a</think> \\boxed{b", "boxed", 0.0),
        ("<think>a</think><answer>b</answer>", "tagged", 1.0),
        ("<think>a\nb</think>\n<answer>\nb\n</answer>\n", "tagged", 1.0),
        ("<think>a</think><answer>b</answer> and more", "tagged", 0.0),
        ("<answer>b</answer><think>a</think>", "tagged", 0.0),
        ("<think>a</think><answer>b</answer><answer>b</answer>", "tagged", 0.0),
        ("<think>a <answer>b</answer></think>", "tagged", 0.0),
        ("<think></think><answer></answer>", "tagged", 0.0),
    ],
)
def test_format_asks_for_the_structure_whatever_is_said(text, form, expected):
    assert format_reward(parse(text), LABEL, form=form) == expected


def score(mix, text, item):
    return asyncio.run(mix.score(text, item))


def test_the_vrft_mix_is_the_weighted_sum_of_the_paper():
    mix = Mix({"mfrs": {"weight": 0.9}, "format": {"weight": 0.1}})
    # equation 10: 0.9 * 1/4 + 0.1 * 1 = 0.325
    assert score(mix, "<think>a</think> \\boxed{2}", GRADE)["score"] == pytest.approx(0.325)


def test_a_normalised_sum_divides_by_the_largest_possible():
    mix = Mix({"accuracy": {"weight": 3.0}, "format": {"weight": 1.0}}, "normalised_sum")
    # (3 * 0 + 1 * 1) / (3 + 1)
    assert score(mix, "<think>a</think> \\boxed{2}", GRADE)["score"] == pytest.approx(0.25)


@pytest.fixture
def broken(monkeypatch):
    """A mix of accuracy and a term that fails, and can be told when."""

    def term(response, item):
        if "fail" in response.text:
            raise RewardFailed("the judge is down")
        return 1.0 if "good" in response.text else 0.0

    monkeypatch.setitem(REWARDS, "judged", term)
    return Mix({"accuracy": {"weight": 1.0}, "judged": {"weight": 2.0}})


def test_a_failed_term_is_marked_and_never_a_number(broken):
    result = score(broken, "fail \\boxed{3}", GRADE)
    assert result["judged/failed"] == 1.0
    assert result["score"] == 1.0  # accuracy alone
    assert tuple(result) == broken.keys


def test_a_failed_term_takes_its_groups_mean_so_an_outage_neither_rewards_nor_punishes(broken):
    texts = ["good \\boxed{3}", "poor \\boxed{3}", "fail \\boxed{3}", "good \\boxed{3}"]
    results = [score(broken, text, GRADE) for text in texts]
    # group a: judged 1, 0 and failed -> mean 1/2; totals 1 + 2*1, 1 + 0, 1 + 2*1/2. Group b: 1 + 2.
    mended = broken.with_group_means(results, ["a", "a", "a", "b"])
    assert [m["score"] for m in mended] == pytest.approx([3.0, 1.0, 2.0, 3.0])
    assert mended[2]["judged"] == 0.5 and results[2]["judged/failed"] == 1.0, "what came in is left as it was"


def test_a_term_that_failed_in_the_whole_group_is_left_out(broken):
    results = [score(broken, "fail \\boxed{3}", GRADE), score(broken, "fail \\boxed{1}", GRADE)]
    assert [m["score"] for m in broken.with_group_means(results, ["a", "a"])] == [1.0, 0.0]


def test_an_error_that_is_no_declared_failure_is_not_swallowed(monkeypatch):
    def term(response, item):
        raise ZeroDivisionError

    monkeypatch.setitem(REWARDS, "buggy", term)
    with pytest.raises(ZeroDivisionError):
        score(Mix({"buggy": {"weight": 1.0}}), "x", GRADE)


def test_a_box_is_right_when_more_than_half_overlaps():
    truth = sample("box", "[0, 0, 4, 4]")
    assert accuracy(parse("\\boxed{[0, 0, 4, 4]}"), truth) == 1.0
    assert accuracy(parse("\\boxed{[0, 0, 4, 2.0]}"), truth) == 0.0  # exactly half
    assert accuracy(parse("\\boxed{nowhere}"), truth) == 0.0


def test_a_parameter_value_that_a_term_refuses_is_found_when_the_mix_is_made():
    for terms in ({"outcome": {"weight": 1, "by": "mfsr"}}, {"format": {"weight": 1, "form": "boxd"}}):
        with pytest.raises(UserError, match="Did you mean"):
            Mix(terms)


def test_a_setting_that_a_mix_does_not_have_is_refused():
    with pytest.raises(UserError, match="combin.*combine"):
        Mix.from_config({"terms": {"accuracy": {"weight": 1}}, "combin": "sum"})


def test_mfrs_on_labels_is_an_error_of_the_configuration_and_no_zero():
    with pytest.raises(UserError, match="MFRS compares grades.*'label'"):
        mfrs(parse("\\boxed{normal, benign}"), LABEL)


def test_the_gold_answers_prove_the_reward_and_a_target_it_cannot_read_is_found():
    from medical_rl.data.prepare.gold import check_rewards_on_gold

    boxed = "<think>a</think> \\boxed{{ '{' }}{{ answer }}{{ '}' }}"
    prompt = {"name": "t", "template": "{{ question }}", "system": None, "target": boxed}
    rewards = {"terms": {"accuracy": {"weight": 0.5}, "format": {"weight": 0.5}}}
    assert check_rewards_on_gold([LABEL, GRADE], rewards, prompt) == (2, 1.0)
    with pytest.raises(UserError, match="not right by its own reward"):
        check_rewards_on_gold([LABEL], rewards, {**prompt, "target": "{{ answer }}"})


@pytest.mark.parametrize(
    "terms", [{}, {"accuracy": {}}, {"accuracyy": {"weight": 1}}, {"accuracy": {"weight": 1, "by": 2}}]
)
def test_a_mix_that_cannot_work_is_refused(terms):
    with pytest.raises(UserError):
        Mix(terms)


@given(st.text(alphabet=st.sampled_from(list("<>/{}\\ think answer boxed yes no ABC0123[],.")), max_size=80))
@pytest.mark.parametrize("item", [LABEL, GRADE, YES_NO, CHOICE, BOX])
def test_no_text_makes_a_term_raise_or_leave_its_range(item, text):
    response = parse(text)
    terms = [
        accuracy(response, item),
        format_reward(response, item),
        format_reward(response, item, form="tagged"),
    ]
    terms += [mfrs(response, item)] if item.kind == "grade" else []
    assert all(0.0 <= value <= 1.0 for value in terms)
    read(response, item)


def test_the_gold_answer_of_every_kind_reads_as_itself():
    for item in (LABEL, GRADE, YES_NO, CHOICE, BOX):
        assert read(parse(f"\\boxed{{{item.answer}}}"), item) == gold(item) is not None


@pytest.mark.parametrize("said", ["5", "grade 5", "-1", "4 + 1", "Stage 5 retinopathy", "9"])
def test_a_grade_that_does_not_exist_is_paid_by_no_term(said):
    response, top = (
        parse(f"<think>a</think> \\boxed{{{said}}}"),
        sample("grade", "4", ("0", "1", "2", "3", "4")),
    )
    assert read(response, top) is None
    assert mfrs(response, top) == accuracy(response, top) == outcome(response, top, "mfrs") == 0.0


def test_the_scale_of_the_question_counts_where_no_grades_are_listed():
    item = Sample("1", "test", "What is the grade of retinopathy, from 0 to 4?", "grade", "4")
    assert mfrs(parse("\\boxed{5}"), item) == 0.0 and mfrs(parse("\\boxed{3}"), item) == 0.25
    assert mfrs(parse("\\boxed{5}"), sample("grade", "4")) == 0.25, (
        "no scale is known: a grade like any other"
    )


@pytest.mark.parametrize(
    "inside", ["{}", "[]", "[[]]", '{"bbox": null}', '{"bbox": []}', '{"label": "mass"}', "[1, 2]"]
)
def test_json_without_a_box_has_not_the_form_of_a_box(inside):
    response = parse(f"<think>a</think><answer>{inside}</answer>")
    assert format_reward(response, BOX, "json") == 0.0
    fenced = parse(f"<think>a</think><answer>```json\n{inside}\n```</answer>")
    assert format_reward(fenced, BOX, "json") == 0.0


def test_empty_json_is_no_answer_of_any_kind():
    for inside in ("{}", "[]"):
        assert format_reward(parse(f"<think>a</think><answer>{inside}</answer>"), LABEL, "json") == 0.0


def test_more_options_than_letters_are_refused_and_the_last_letter_is_read():
    from medical_rl.parsing.response import gold_problem

    many = tuple(f"segment {number}" for number in range(1, 28))
    assert accuracy(parse("<answer>Z</answer>"), sample("choice", "segment 26", many[:26])) == 1.0
    assert gold_problem(sample("choice", "segment 1", many[:26])) is None
    assert "27 choices, and letters are read up to Z" in gold_problem(sample("choice", "segment 1", many))
