"""Grades for what a policy wrote, by which R_phi is trained again each round (MedGR2, Algorithm 1, lines 12 and 13).

A response is graded by whether its extracted answer is the gold one and, where asked, by whether its thought supports it; never
by R_phi itself, which would confirm its own mistakes. The paper gives preferences in line 13 and grades in equation 1: `plan.pairs`
makes preferences out of grades in training.
"""

from __future__ import annotations

import collections
import functools
import heapq
import math
from collections.abc import Iterable

from medical_rl.data.inspect import asking
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import Response, parse, read
from medical_rl.reward_model.graded import GRADES, Graded
from medical_rl.reward_model.grading.criteria import criteria
from medical_rl.rewards.terms.accuracy import right
from medical_rl.rewards.terms.consistency import consistency
from medical_rl.rewards.terms.lexical_consistency import lexical_consistency
from medical_rl.sample import Sample
from medical_rl.seeding import rank

# made_by: (grade, row of the criteria's table)
POLICY = {
    "policy_right": (GRADES["original"], "original"),
    "policy_unsound": (GRADES["deletion"], "unsound"),
    "policy_wrong": (GRADES["irrelevant"], "hallucinated"),
}
SOUNDNESS = ("none", "lexical", "judge")
LEAST_REPLAY = 0.3


def policy_rows(
    written: Iterable[tuple[Sample, str]],
    soundness: str = "none",
    *,
    judge=None,
    allowed: float = 0.05,
    dropped: collections.Counter | None = None,
) -> list[Graded]:
    """Graded responses of a policy, in order: 10 right and sound, 0 right with an unsound thought, -6 wrong or unread.

    soundness  none: every right answer is sound; lexical: the rule of rewards.lexical_consistency; judge: the consistency
               question of `judge`, asked for right answers with a thought alone ("unclear" is unsound, as in the reward)
    allowed    the share of the judge's answers that may fail
    dropped    counts by reason the responses that a failed judge left without a grade: they are in no row

    Raises UserError for an unknown or impossible choice and for restricted rows that the judge may not be sent; AskingStopped
    (exit 1) where more than `allowed` failed or a cap of the budget was met.
    """
    if soundness not in SOUNDNESS:
        raise unknown("way to tell a sound thought named", soundness, SOUNDNESS)
    if soundness == "judge" and judge is None:
        raise UserError(
            "soundness=judge asks a judge, and none is chosen: add conf/judge=local, openai or gemini."
        )
    read_once = [(sample, text, parse(text)) for sample, text in written]
    is_right = [right(read(response, sample), sample) for sample, _, response in read_once]
    asked = [i for i, known in enumerate(is_right) if known]
    sound, failures = _sound(
        {i: (read_once[i][2], read_once[i][0]) for i in asked}, soundness, judge, allowed
    )
    if dropped is not None:
        dropped.update(getattr(error, "reason", type(error).__name__) for error in failures.values())
    rows = []
    for i, (sample, text, response) in enumerate(read_once):
        if i not in failures:
            made_by = "policy_wrong" if not is_right[i] else "policy_right" if sound[i] else "policy_unsound"
            rows.append(_graded(sample, text, response, made_by, soundness))
    return rows


def mix_with_replay(
    policy: Iterable[Graded], graded: Iterable[Graded], share: float = 0.3, seed: int = 0
) -> list[Graded]:
    """All rows of `policy` and so many of `graded` that these are `share` of the whole, in an order drawn by the seed.

    Without what R_phi was first trained on it forgets what a policy no longer writes. `graded` is streamed; which rows are taken
    does not depend on their order. UserError for a share below LEAST_REPLAY or of 1, and where `graded` has too few rows.
    """
    if not LEAST_REPLAY <= share < 1:
        raise UserError(
            f"The replayed share {share} of R_phi's training must be at least {LEAST_REPLAY} and below 1."
        )
    policy = list(policy)
    wanted = math.ceil(share * len(policy) / (1 - share) - 1e-9)
    place = functools.partial(_place, seed)
    kept = heapq.nsmallest(wanted, graded, key=place)
    if len(kept) < wanted:
        raise UserError(
            f"{len(policy)} rows of the policy need {wanted} graded ones beside them for a share of {share}, and there are "
            f"{len(kept)}. Make more graded rows, or sample less from the policy."
        )
    return sorted(policy + kept, key=place)


def _sound(
    cases: dict[int, tuple[Response, Sample]], soundness: str, judge, allowed: float
) -> tuple[dict[int, bool], dict]:
    """({number: whether the thought supports the answer}, {number: why this is not known})."""
    if soundness == "none":
        return dict.fromkeys(cases, True), {}
    if soundness == "lexical":
        return {i: lexical_consistency(*case) > 0 for i, case in cases.items()}, {}
    if not cases:
        return {}, {}
    asked = {i: functools.partial(consistency, *case, judge=judge) for i, case in cases.items()}
    answers, failures = asking.ask_all(asked, "soundness", allowed)
    return {i: value > 0 for i, value in answers.items()}, failures


def _graded(sample: Sample, text: str, response: Response, made_by: str, soundness: str) -> Graded:
    grade, row = POLICY[made_by]
    known = criteria(row, format=GRADES["original"] if response.answer else GRADES["deletion"])
    # nobody looked at a wrong answer's reasoning, nor at any where soundness is not asked; nor at how relevant a text is
    unseen = (
        ("reasoning", "relevance") if made_by == "policy_wrong" or soundness == "none" else ("relevance",)
    )
    return Graded(
        sample, text, grade, made_by, {name: value for name, value in known.items() if name not in unseen}
    )


def _place(seed: int, row: Graded) -> float:
    return rank(str(seed), "replay", row.sample.source, row.sample.id, row.made_by, row.text)
