"""Every prompt of conf/prompt: what it shows, and that its own target earns all of accuracy and of its form."""

import json

import pytest

from medical_rl.config import compose
from medical_rl.data.options import LETTERS
from medical_rl.data.prepare.command import load_prompt
from medical_rl.data.prompts import messages, target
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse
from medical_rl.rewards.terms.accuracy import accuracy, detection
from medical_rl.rewards.terms.format import format_reward

FORM = {
    "brief": "boxed",
    "brief_box": "json",
    "brief_tagged": "tagged",
    "class_names": "boxed",
    "detection": "json",
    "detection_relative": "json",
    "detection_resized": "json",
    "multiple_choice": "boxed",
    "multiple_choice_tagged": "tagged",
    "visual_attributes": "boxed",
    "yes_no": "tagged",
}
LETTERED = ("multiple_choice", "multiple_choice_tagged")
OPTIONS = {
    "commas": (("CT, with contrast", "MRI, T1", "X-ray, lateral"), "MRI, T1"),
    "duplicates": (("CT", "MRI", "CT", "MRI"), "MRI"),
    "duplicates by case": (("Left lung", "left lung", "Both"), "left lung"),
    "ten": (tuple(f"Finding {i}" for i in range(10)), "Finding 9"),
    "two": (("Yes, it is", "No"), "No"),
    "signs alone": (("< 5 mm", "> 5 mm"), "> 5 mm"),
    "semicolons and quotes": (('He said "b"; then', "a; b"), "a; b"),
    "braces": (("f{x}", "g{y}{z}"), "g{y}{z}"),
    "letters in words": (("a mass", "b", "Vitamin C", "D-dimer"), "Vitamin C"),
    "long": (("x " * 200 + "end", "y " * 200 + "end"), "y " * 200 + "end"),
    "placeholders": (("<image>", "<|im_end|>"), "<|im_end|>"),
}
BOXES = {
    "one": "[10, 5, 20, 15]",
    "decimals": "[0.5, 1.25, 9.75, 8]",
    "several": "[[0, 0, 4, 4], [5.5, 6, 9, 9]]",
}
LABELS = {
    "commas": (("malignant", "normal, benign"), "normal, benign"),
    "parentheses": (("immature granulocytes(myelocytes, metamyelocytes)", "basophil"), "basophil"),
    "parentheses right": (("immature granulocytes(myelocytes, metamyelocytes)", "basophil"), "immature granulocytes(myelocytes, metamyelocytes)"),
    "apostrophe": (("normal", "Sever's disease"), "Sever's disease"),
    "unicode": (("größer", "肺炎"), "肺炎"),
}  # fmt: skip


def earns_all(sample, name):
    """Whether the target of the prompt is right and formed; messages and target are checked on the way."""
    prompt = load_prompt(name)
    (asked,) = messages(sample, prompt)
    assert asked["content"].startswith("<image>") and asked["content"].count("<image>") == 1
    response = parse(target(sample, prompt))
    return accuracy(response, sample) == 1.0 and format_reward(response, sample, FORM[name]) == 1.0


def test_every_prompt_is_tested_here():
    assert sorted(FORM) == compose.choices("prompt")


@pytest.mark.parametrize("thought", [None, "Two lines,\nand a \\boxed sign less."])
@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("name", LETTERED)
def test_a_letter_earns_all_whatever_the_options_are(make_sample, name, case, thought):
    choices, answer = OPTIONS[case]
    sample = make_sample(
        kind="choice", choices=choices, answer=answer, meta={"thought": thought} if thought else {}
    )
    assert earns_all(sample, name)


@pytest.mark.parametrize("name", LETTERED)
def test_options_stand_under_each_other_with_their_letters(make_sample, name):
    (asked,) = messages(
        make_sample(kind="choice", choices=("CT, plain", "MRI"), answer="MRI"), load_prompt(name)
    )
    assert asked["content"].startswith("<image>Which?\nA. CT, plain\nB. MRI\nFirst ")
    assert "the letter of the right option" in asked["content"]
    (asked,) = messages(make_sample(kind="choice", choices=LETTERS, answer="C"), load_prompt(name))
    assert "\nZ. Z\nFirst" in asked["content"]


@pytest.mark.parametrize("name", LETTERED)
def test_of_equal_options_the_first_letter_is_taught(make_sample, name):
    sample = make_sample(kind="choice", choices=("CT", "MRI", "MRI"), answer="MRI")
    assert parse(target(sample, load_prompt(name))).answer == "B"


@pytest.mark.parametrize("name", LETTERED)
def test_questions_without_options_are_asked_as_they_are(make_sample, name):
    """Sets mix them: MMMU's short answers, a user's own table with a column `kind`."""
    for fields in (
        {"kind": "yes_no", "answer": "no", "choices": ("yes", "no")},
        {"kind": "label", "answer": "b, c", "choices": ("a", "b, c")},
        {"kind": "label", "answer": "free text"},
        {"kind": "grade", "answer": "2", "choices": ("0", "1", "2")},
    ):
        assert earns_all(make_sample(**fields), name)
        (asked,) = messages(make_sample(**fields), load_prompt(name))
        assert "the final answer in" in asked["content"] or "only the final answer" in asked["content"]
        assert ("Answer with one of:" in asked["content"]) == bool(fields.get("choices"))


@pytest.mark.parametrize("name", LETTERED)
def test_the_eleventh_option_has_a_letter_and_a_27th_has_none_and_says_so(make_sample, name):
    many = tuple(f"f{i}" for i in range(27))
    (asked,) = messages(make_sample(kind="choice", choices=many[:11], answer="f10"), load_prompt(name))
    assert "K" in asked["content"] and "f10" in asked["content"]
    with pytest.raises(UserError, match="27 options; letters are read up to Z"):
        messages(make_sample(kind="choice", choices=many, answer="f1"), load_prompt(name))


@pytest.mark.parametrize("case", BOXES)
def test_the_detection_target_is_json_and_hits_its_box(make_sample, case):
    sample = make_sample(kind="box", answer=BOXES[case], size=(40, 40), question="Where is the lesion?")
    assert earns_all(sample, "detection")
    response = parse(target(sample, load_prompt("detection")))
    assert json.loads(response.answer) == {"bbox": json.loads(BOXES[case])}
    assert detection(response, sample, continuous=True) == 1.0


def test_the_detection_prompt_tells_what_is_sought_and_how_to_answer(make_sample):
    sample = make_sample(kind="box", answer="[0, 0, 1, 1]", knowledge="lesion: a dark spot")
    (asked,) = messages(sample, load_prompt("detection"))
    for part in (
        "What it looks like: lesion: a dark spot.",
        "<think>",
        "<answer>",
        '{"bbox": [x1, y1, x2, y2]}',
    ):
        assert part in asked["content"]


@pytest.mark.parametrize("case", LABELS)
@pytest.mark.parametrize("name", ["class_names", "visual_attributes", "brief", "brief_tagged"])
def test_a_class_name_earns_all_whatever_is_in_it(make_sample, name, case):
    choices, answer = LABELS[case]
    told = "; ".join(f"{choice}: looks so" for choice in choices)
    for knowledge in ("", told):
        assert earns_all(make_sample(choices=choices, answer=answer, knowledge=knowledge), name)
    (asked,) = messages(make_sample(choices=choices, answer=answer), load_prompt(name))
    assert all(choice in asked["content"] for choice in choices)


@pytest.mark.parametrize("case", [case for case in OPTIONS if case != "placeholders"])
@pytest.mark.parametrize("name", ["class_names", "visual_attributes", "brief", "brief_tagged"])
def test_an_option_in_full_earns_all_too(make_sample, name, case):
    choices, answer = OPTIONS[case]
    assert earns_all(make_sample(kind="choice", choices=choices, answer=answer), name)


@pytest.mark.parametrize("answer", ["yes", "no"])
@pytest.mark.parametrize(
    "name", ["yes_no", "class_names", "visual_attributes", "brief", "brief_tagged", *LETTERED]
)
def test_yes_and_no_earn_all(make_sample, name, answer):
    assert earns_all(make_sample(kind="yes_no", answer=answer, choices=("yes", "no")), name)


@pytest.mark.parametrize("name", ["class_names", "visual_attributes", "brief", "brief_tagged"])
def test_a_grade_earns_all(make_sample, name):
    assert earns_all(make_sample(kind="grade", answer="3", choices=tuple("01234")), name)


@pytest.mark.parametrize("data", ["omnimedvqa", "mmmu_medical", "ham10000_boxes", "heel_boxes", "phantom_localisation", "iu_xray"])  # fmt: skip
def test_a_dataset_names_prompts_that_exist(root, data):
    """The comment at the head of a data configuration."""
    named = [part.split("=")[1].rstrip(" .,;") for part in (root / f"conf/data/{data}.yaml").read_text().split() if part.startswith("conf/prompt=")]  # fmt: skip
    assert named and set(named) <= set(FORM)


def test_the_prompt_of_a_recipe_can_be_chosen():
    for name in LETTERED:
        chosen = compose.compose(
            ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", f"conf/prompt={name}"]
        )
        assert chosen.conf.prompt.name == name
