import pytest

from medical_rl.data.prepare.command import load_prompt
from medical_rl.data.prompts import messages, render, target
from medical_rl.errors import UserError


@pytest.mark.parametrize("images", [0, 1, 3])
def test_images_come_first_once_each(make_sample, images):
    assert render(make_sample(images=images), "{{ question }}") == "<image>" * images + "Which?"


def test_a_template_may_place_the_images_itself(make_sample):
    template = "Look:{% for _ in sample.images %} <image>{% endfor %} {{ question }}"
    assert render(make_sample(images=2), template) == "Look: <image> <image> Which?"


def test_a_template_that_places_the_wrong_number_is_an_error(make_sample):
    with pytest.raises(UserError, match="places 1 <image>.*which has 2"):
        render(make_sample(images=2), "<image>{{ question }}")
    with pytest.raises(UserError, match="has 0"):
        render(make_sample(images=0), "<image>{{ question }}")


@pytest.mark.parametrize("field", ["question", "knowledge"])
@pytest.mark.parametrize("token", ["<image>", "<video>", "<audio>", "<|image_pad|>", "<|im_end|>"])
def test_placeholders_in_the_data_are_only_text(make_sample, field, token):
    text = render(make_sample(**{field: f"What is {token}?"}), "{{ question }} {{ knowledge }}")
    assert text.count("<image>") == 1 and text.startswith("<image>")
    assert token not in text.removeprefix("<image>")
    assert token.strip("<>") in text


def test_placeholders_in_choices_and_meta_are_only_text(make_sample):
    sample = make_sample(choices=("<image>", "b"), meta={"note": "<image>"})
    text = render(sample, "{{ choices | join(', ') }} {{ meta.note }} {{ sample.choices }}")
    assert text.count("<image>") == 1


def test_rows_that_differ_where_the_template_looks_differ_in_their_prompts(make_sample):
    # A template is filled once for rows with one question, choices and knowledge, unless it asks for more than these.
    template = "{{ question }} {{ choices | join(' ') }} {{ knowledge }}"
    same = {"question": "Q", "choices": ("a", "b"), "knowledge": "k"}
    found = [render(make_sample(**same), template) for _ in range(2)]
    found += [
        render(make_sample(**{**same, name: value}), template)
        for name, value in [("question", "R"), ("choices", ("a",)), ("knowledge", "l")]
    ]
    assert found == ["<image>Q a b k", "<image>Q a b k", "<image>R a b k", "<image>Q a k", "<image>Q a b l"]
    for template in (
        "{{ meta.age }}",
        "{% if meta.age > 2 %}{{ sample.id }}{% endif %}",
        "{{ sample.meta['age'] }}",
    ):
        assert len({render(make_sample(id=i, meta={"age": i}), template) for i in (3, 4)}) == 2
    template = "{{ choices | random }}"
    assert len({render(make_sample(choices=("a", "b", "c")), template) for _ in range(60)}) == 3
    assert render(make_sample(choices=["a", "b"]), "{{ choices | join }}") == "<image>ab"  # a reader's list


def test_unicode_and_markup_pass_unescaped(make_sample):
    assert (
        render(make_sample(question="肺炎 <5 mm & größer?", images=0), "{{ question }}")
        == "肺炎 <5 mm & größer?"
    )


def test_jinja_syntax_in_the_data_is_not_run(make_sample):
    assert render(make_sample(question="{{ 7 * 7 }}", images=0), "{{ question }}") == "{{ 7 * 7 }}"


def test_a_template_that_does_not_compile_names_the_variables(make_sample):
    with pytest.raises(
        UserError, match=r"does not compile.*line 1.*question, choices, options, knowledge, sample, meta"
    ):
        render(make_sample(), "{{ question")


def test_an_unknown_variable_is_named(make_sample):
    with pytest.raises(UserError, match="'qestion' is undefined.*Available variables: question"):
        render(make_sample(), "{{ qestion }}")


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{{ meta.update(a=1) }}", "{{ 1 / 0 }}", "{{ question + 1 }}"]
)
def test_a_template_cannot_escape_change_the_sample_or_crash(make_sample, template):
    sample = make_sample()
    with pytest.raises(UserError):
        render(sample, template)
    assert sample.meta == {}


def test_system_message_only_where_there_is_one(make_sample, bare):
    assert [m["role"] for m in messages(make_sample(), bare)] == ["user"]
    both = messages(make_sample(), {**bare, "system": "You read images."})
    assert both == [
        {"role": "system", "content": "You read images."},
        {"role": "user", "content": "<image>Which?"},
    ]


@pytest.mark.parametrize("key", ["system", "target"])
def test_no_image_in_system_or_target(make_sample, key):
    prompt = {"name": "x", "template": "{{ question }}", "target": "{{ answer }}", key: "<image>"}
    with pytest.raises(UserError, match=f"{key} text"):
        messages(make_sample(), prompt)
        target(make_sample(), prompt)


def test_target_knows_answer_and_thought(make_sample):
    prompt = {"target": "{% if thought %}<think>{{ thought }}</think> {% endif %}{{ answer }}"}
    assert target(make_sample(meta={"thought": "dense"}), prompt) == "<think>dense</think> a"
    assert target(make_sample(), prompt) == target(make_sample(meta={"thought": None}), prompt) == "a"


def test_a_prompt_without_a_target_says_so(make_sample):
    with pytest.raises(UserError, match="'x' has no target"):
        target(make_sample(), {"name": "x", "template": "{{ question }}"})


@pytest.mark.parametrize("name", ["class_names", "visual_attributes"])
def test_the_shipped_prompts_ask_for_what_their_target_gives(make_sample, name):
    prompt = load_prompt(name)
    sample = make_sample(choices=("malignant", "normal, benign"), answer="normal, benign")
    asked = messages(sample, prompt)[-1]["content"]
    for choice in sample.choices:
        assert choice in asked
    assert r"\boxed{" in asked and asked.count("<image>") == 1
    assert target(sample, prompt).endswith(r"\boxed{normal, benign}")
