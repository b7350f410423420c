"""A row without concepts has no `fact` term: it neither stops GRPO nor counts as a zero (4 of RULE's 2,488 rows have none)."""

import asyncio
import dataclasses

import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.prepare.gold import check_rewards_on_rows
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError
from medical_rl.rewards.mix import Mix
from medical_rl.sample import Sample

TERMS = {"accuracy": {"weight": 1.0}, "format": {"weight": 1.0, "form": "tagged"}, "fact": {"weight": 1.0}}
MIX = {"terms": TERMS, "combine": "normalised_sum"}
ROW = Sample(id="1", source="s", question="Is it normal?", kind="yes_no", answer="no", choices=("yes", "no"))
WRONG = "<think>The heart is large.</think><answer>yes</answer>"


def scored(mix, text, row):
    return asyncio.run(Mix.from_config(mix).score(text, row))


def test_the_row_is_scored_by_the_normalised_sum_of_its_other_terms():
    result = scored(MIX, WRONG, ROW)
    # accuracy 0 of 1, format 1 of 1; a fact term of 0 of 0.2 would make it 1 / 2.2
    assert result["score"] == pytest.approx(1 / 2) and result["fact/failed"] == 0.0
    assert scored(MIX, WRONG.replace("yes", "no"), ROW)["score"] == pytest.approx(1.0)
    assert scored({**MIX, "combine": "sum"}, WRONG, ROW)["score"] == 1.0


def test_a_row_with_concepts_still_loses_what_it_does_not_speak_of():
    row = dataclasses.replace(ROW, concepts=("effusion", "heart"))
    # accuracy 0, format 1, fact 0.2 of 0.4
    assert scored(MIX, WRONG, row)["score"] == pytest.approx(1.2 / 2.4)


def test_what_lacks_the_term_is_counted_and_said():
    rows = [dataclasses.replace(ROW, id=str(i), concepts=("heart",) if i else ()) for i in range(5)]
    assert check_rewards_on_rows(rows, MIX, {}) == [
        "1 of 5 rows have nothing for fact to look for: it is left out of their reward"
    ]
    assert check_rewards_on_rows(rows[1:], MIX, {}) == []


def test_a_set_without_any_concepts_is_still_refused():
    with pytest.raises(UserError, match=r"'fact' applies to none of the 3 rows.*~conf.rewards.terms.fact"):
        check_rewards_on_rows([ROW] * 3, MIX, {})


def test_rules_real_questions_about_iu_xray_can_be_trained_on(realdata, composed):
    reader = readers.load_reader("iu_xray")
    options = {"questions": "rule_iuxray_test.jsonl", "splits": "test", "require_images": False}
    rows = list(reader.rows(realdata / "iu_xray", "test", drops=Drops(), **options))
    without = [row.id for row in rows if not row.concepts]
    assert len(rows) == 2488
    rewards = composed("conf/rewards=medfact_r1_offline")["rewards"]
    notes = check_rewards_on_rows(rows, rewards, {})
    assert len(notes) == bool(without) and all(note.startswith(f"{len(without)} of 2,488") for note in notes)
