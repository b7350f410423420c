"""Replies: strict readers that tolerate a code fence, count what is none, and read back what the writers write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.errors import UserError
from medical_rl.loop.generators import prompts_and_replies
from medical_rl.loop.generators.triplets import Triplet

ONE = {
    "question": "Which side?",
    "options": ["left", "right"],
    "rationale": "It lies there.",
    "answer": "left",
}
FREE = {**ONE, "options": None}
READ = Triplet("Which side?", "left", "It lies there.", ("left", "right"))


def reply(*triplets, **more):
    return json.dumps({**more, "triplets": list(triplets)})


@pytest.mark.parametrize(
    "text",
    [
        reply(ONE),
        f"```json\n{reply(ONE)}\n```",
        f"\n```\n{reply(ONE)}\n```\n",
        reply(ONE, notes="A disc."),
        json.dumps({"triplets": [{key: ONE[key] for key in reversed(ONE)}]}, indent=2),
    ],
)
def test_json_is_read_alone_or_in_a_fence_with_or_without_notes(text):
    assert prompts_and_replies.read_reply(text, "json") == ([READ], [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        reply(ONE)[:-1],
        f"Here you are: {reply(ONE)}",
        f"{reply(ONE)} Good luck!",
        json.dumps([ONE]),
        reply({**ONE, "why": "x"}),
        reply({key: ONE[key] for key in ("question", "answer", "options")}),
        reply({**ONE, "options": "left, right"}),
        reply({**ONE, "answer": 3}),
        reply({**ONE, "answer": None}),
        '{"triplets": [], "triplets": []}',
        '{"triplets": [' * 40_000,
    ],
)
def test_whatever_is_not_of_the_schema_is_one_malformed_reply(text):
    assert prompts_and_replies.read_reply(text, "json") == ([], [prompts_and_replies.MALFORMED])


def test_a_json_reply_whose_tokens_ran_out_is_called_so():
    assert prompts_and_replies.read_reply(reply(ONE)[:30], "json", cut=True) == (
        [],
        [prompts_and_replies.CUT_OFF],
    )
    assert prompts_and_replies.read_reply(reply(ONE), "json", cut=True) == ([READ], []), "whole all the same"


def test_texts_are_made_fit_for_a_file():
    spelt = json.dumps({"triplets": [{**FREE, "answer": "\ud800 left "}]})
    ((found,), bad) = prompts_and_replies.read_reply(spelt, "json")
    assert found.answer == "? left" and not bad
    found.answer.encode()


def test_lines_have_three_or_four_parts():
    text = "Which side? | It lies there. | left\n\nWhich side? | left; right | It lies there. | left\n"
    free = Triplet("Which side?", "left", "It lies there.")
    assert prompts_and_replies.read_reply(text, "lines") == ([free, READ], [])


def test_lines_that_are_no_triplet_are_counted_and_the_others_kept():
    text = "I see a disc.\na | b\na | b | c | d | e\nWhich side? | It lies there. | left"
    found, bad = prompts_and_replies.read_reply(text, "lines")
    assert len(found) == 1 and bad == [prompts_and_replies.MALFORMED] * 3


def test_the_last_line_of_a_reply_that_was_cut_is_left_out():
    text = "Which side? | It lies there. | left\nWhich grade? | It is large. | 1"
    found, bad = prompts_and_replies.read_reply(text, "lines", cut=True)
    assert [t.answer for t in found] == ["left"] and bad == [
        prompts_and_replies.CUT_OFF
    ]  # the answer may have been 10
    assert prompts_and_replies.read_reply(text, "lines")[1] == []
    assert prompts_and_replies.read_reply("a | b | c\n", "lines", cut=True)[1] == [], "cut between two lines"


def test_an_endpoint_is_asked_for_every_key_and_no_other():
    """What OpenAI's strict mode wants of each object; notes come before the triplets, or nothing would follow from them."""
    for notes in (False, True):
        found = prompts_and_replies.schema(notes)
        one = found["properties"]["triplets"]["items"]
        for level in (found, one):
            assert level["required"] == list(level["properties"]) and level["additionalProperties"] is False
        assert list(one["properties"]) == ["question", "options", "rationale", "answer"]
        assert list(found["properties"])[0] == ("notes" if notes else "triplets")


def test_an_unknown_format_is_refused():
    for call in (
        lambda: prompts_and_replies.read_reply("x", "xml"),
        lambda: prompts_and_replies.write_reply([], "jsonl"),
    ):
        with pytest.raises(UserError, match="json, lines"):
            call()


SAFE = st.text(st.characters(codec="utf-8"), max_size=20).map(str.strip)
TRIPLETS = st.builds(Triplet, SAFE, SAFE, SAFE, st.lists(SAFE, max_size=4).map(tuple))


@given(st.lists(TRIPLETS, max_size=4))
def test_json_reads_back_whatever_it_writes(triplets):
    assert prompts_and_replies.read_reply(prompts_and_replies.write_reply(triplets, "json"), "json") == (
        triplets,
        [],
    )


WORDS = (
    st.text("abc d?.,\u00e9", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
)
PLAIN = st.builds(Triplet, WORDS, WORDS, WORDS, st.lists(WORDS, max_size=4).map(tuple))


@given(st.lists(PLAIN, max_size=4))
def test_lines_read_back_texts_without_bars_and_semicolons(triplets):
    assert prompts_and_replies.read_reply(prompts_and_replies.write_reply(triplets, "lines"), "lines") == (
        triplets,
        [],
    )


@given(st.text(max_size=200), st.sampled_from(prompts_and_replies.FORMATS), st.booleans())
def test_no_text_makes_a_reader_raise(text, format, cut):
    found, bad = prompts_and_replies.read_reply(text, format, cut)
    assert format == "lines" or bool(found) != bool(bad) or (not found and not bad)
    for one in found:
        "".join((one.question, one.answer, one.rationale, *one.options)).encode()
