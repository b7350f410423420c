"""The strict parser: one object, alone, in one code fence or after a thought; anything else is garbage, never guessed at."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.judges.messages import CONSISTENCY, GarbageVerdict, Verdict, parse

GOOD = '{"verdict": "unsound", "reason": "No link."}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD, f"  {GOOD}\n", f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```\n", f"```json {GOOD} ```", f"```{GOOD}```",
        f"<think>\nIs {{x}} sound? No.\n</think>\n\n{GOOD}", f"It was opened by the template.</think>{GOOD}",
        f"<think>a</think>```json\n{GOOD}\n```", f"<think>a</think>``` {GOOD} ```",
    ],
)  # fmt: skip
def test_an_object_alone_in_one_fence_or_after_a_thought_is_read(text):
    assert Verdict(**parse(text, CONSISTENCY)) == Verdict("unsound", "No link.")


@pytest.mark.parametrize(
    "text",
    [
        None, "", "sound", '"sound"', "[]", "null", "NaN", f"The verdict: {GOOD}", f"{GOOD} {GOOD}", f"{GOOD}\nI hope this helps.",
        f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```", '{"verdict": "sound"}', '{"verdict": "Sound", "reason": ""}',
        '{"verdict": "sound", "reason": 3}', '{"verdict": "sound", "reason": "", "score": 1}', '{"verdict": ["sound"], "reason": ""}',
        '{"verdict": "unsound", "verdict": "sound", "reason": ""}', '{"verdict": "sound", "reason": ""', "[" * 100_000,
        '<think>hm {"verdict": "sound", "reason": ""}', '<think>hm</think> It is {"verdict": "sound", "reason": ""}',
        '<think>{"verdict": "sound", "reason": ""}</think>', '<think>a</think>{"verdict": "sound", "reason": ""}<think>b</think>',
        '```json {"verdict": "sound", "reason": ""}', '```json```', '``````', '```yaml {"verdict": "sound", "reason": ""}```',
        '{"verdict": "sound", "reason": Infinity}',
    ],
)  # fmt: skip
def test_anything_else_is_garbage(text):
    with pytest.raises(GarbageVerdict):
        parse(text, CONSISTENCY)


@given(st.text())
def test_any_text_is_an_object_or_garbage(text):
    with contextlib.suppress(GarbageVerdict):
        assert isinstance(parse(text, {"type": "object"}), dict)


def test_other_schemas_are_checked_the_same_way():
    graded = {
        "type": "object",
        "properties": {"grade": {"type": "integer", "minimum": 0, "maximum": 4}},
        "required": ["grade"],
    }
    assert parse('{"grade": 3}', graded) == {"grade": 3}
    with pytest.raises(GarbageVerdict, match="grade breaks the schema's rule 'maximum'"):
        parse('{"grade": 7}', graded)


def test_a_reason_may_speak_of_thoughts():
    assert (
        parse('{"verdict": "sound", "reason": "After </think> nothing."}', CONSISTENCY)["verdict"] == "sound"
    )
