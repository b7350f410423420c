"""Distillation: rows in the warm start's schema whose every target the local generator's own reader reads back."""

import dataclasses

import pyarrow.parquet as pq
import pytest

from medical_rl.data.parquet import SFT_SCHEMA
from medical_rl.data.prompts import messages
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.loop import generate
from medical_rl.loop.generators import triplets
from medical_rl.loop.generators.prompts_and_replies import prompt_row, read_reply, settings_prompt
from medical_rl.loop.generators.template import propose
from medical_rl.loop.generators.triplets import Triplet

LIMITS = {"min_pixels": 3136, "max_pixels": 50176}


@pytest.fixture
def kept(settings, facts_rows, tmp_path):
    """Generated rows of 30 phantoms, two for each."""
    said = propose(
        settings("template", error_rate=0.0), facts_rows(30), RoundContext(1, 0, tmp_path, tmp_path, {}, {})
    )
    return [triplets.sample_of(row, one, 1) for row, one in said.pairs]


@pytest.fixture
def taught(settings, tmp_path):
    """(counts, rows of the file, settings) of distilling rows for the local generator."""

    def make(rows, **changes):
        chosen = settings("local", **{"strategy": "distilled", "format": "lines", "per_reply": 1, **changes})
        counts = generate.write_distil_rows(iter(rows), tmp_path / "sft" / "train.parquet", chosen, LIMITS)
        table = pq.read_table(tmp_path / "sft" / "train.parquet")
        assert table.schema.equals(SFT_SCHEMA)
        return counts, table.to_pylist(), chosen

    return make


def said_of(sample):
    """What a row tells of its triplet."""
    return sample.question, sample.answer, sample.meta["thought"], sample.choices


@pytest.mark.parametrize("format", ["lines", "json"])
@pytest.mark.parametrize("strategy", ["distilled", "meta_cognitive"])
@pytest.mark.parametrize("per_reply", [1, 2, 3])
def test_the_reader_reads_back_every_target_it_teaches(taught, kept, facts_rows, format, strategy, per_reply):
    counts, rows, chosen = taught(kept, format=format, strategy=strategy, per_reply=per_reply)
    assert counts == {"rows": len(rows), "taught": 60, "left_out": 0} and len(rows) == (
        60 if per_reply == 1 else 30
    )
    by_image = {row.images[0]: row for row in facts_rows(30)}
    found = set()
    for row in rows:
        (image,) = row["images"]
        source = by_image[image["bytes"]]
        assert {name: image[name] for name in LIMITS} == LIMITS
        # the prompt is the one that the generator will be asked by
        asked = messages(prompt_row(source, False), settings_prompt(chosen))
        assert row["messages"][:-1] == asked and row["messages"][-1]["role"] == "assistant"
        spoken, bad = read_reply(row["messages"][-1]["content"], format)
        assert not bad and len(spoken) == (1 if per_reply == 1 else 2)
        made = [triplets.sample_of(source, triplets.with_source_question(one, source), 1) for one in spoken]
        found |= {(image["bytes"], said_of(one)) for one in made}
    assert found == {(row.images[0], said_of(row)) for row in kept}


def test_images_come_with_their_own_triplets_and_incomplete_replies_last(taught, make_row):
    def generated(image, question):
        return triplets.sample_of(make_row(image), Triplet(question, "yes", "It is seen."), 1)

    rows = [generated(image, f"Question {number}?") for number in range(3) for image in (1, 2)]
    counts, found, _ = taught(rows, per_reply=2, format="json")
    assert counts == {"rows": 4, "taught": 6, "left_out": 0}
    sizes = [len(read_reply(row["messages"][-1]["content"], "json")[0]) for row in found]
    assert sizes == [2, 2, 1, 1]


@pytest.mark.parametrize(
    "one, formats",
    [
        (Triplet("Is | a bar?", "yes", "It is seen."), ["json"]),
        (Triplet("Which?", "a; b", "It is seen.", ("a; b", "c")), ["json"]),
        (Triplet("Is it so?", "yes", "Seen\n in  two lines."), ["json", "lines"]),
        (Triplet("```code?", "yes", "It is seen."), ["json"]),
        (
            Triplet("Is <image> there?", "yes", "It is seen."),
            [],
        ),  # a target may not ask for a picture: it says [image]
    ],
)
def test_what_a_format_cannot_hold_is_left_out_and_counted(taught, make_row, one, formats):
    for format in ("json", "lines"):
        row = triplets.sample_of(make_row(1), one, 1)
        counts, rows, _ = taught(
            [row, triplets.sample_of(make_row(2), Triplet("Fine?", "no", "It is not seen."), 1)],
            format=format,
        )
        assert counts["left_out"] == (0 if format in formats else 1) and len(rows) == 2 - counts["left_out"]


def test_a_generator_that_is_told_facts_cannot_be_distilled(taught, kept):
    with pytest.raises(UserError, match="tell_facts"):
        taught(kept, tell_facts=True)


def test_nothing_but_the_triplet_is_taught(taught, kept):
    """Neither truth nor error, which are for measuring, nor the knowledge that the policy's prompt has."""
    marked = [
        dataclasses.replace(row, knowledge="SECRET-K", meta={**row.meta, "truth": "SECRET-T"}) for row in kept
    ]
    _, rows, _ = taught(marked)
    assert rows and "SECRET" not in str([row["messages"] for row in rows])
