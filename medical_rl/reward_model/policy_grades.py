"""Grades for what a policy wrote, to train R_phi again each round (MedGR2, Algorithm 1, lines 12, 13).

A response is graded by whether its extracted answer is the gold one and, where wanted, by whether its thought
supports it; never by R_phi itself, which would confirm its own mistakes. The paper gives preferences in line
13 and grades in equation 1: `plan.preference_pairs` makes preferences out of grades in training.
"""

import collections
import heapq
import math
from collections.abc import Iterable
from functools import partial

from medical_rl.errors import UserError, unknown
from medical_rl.judges.judge import ask_all
from medical_rl.parsing.response import Response, parse, read
from medical_rl.reward_model.graded import GRADES, Graded, criteria
from medical_rl.rewards.terms.accuracy import right
from medical_rl.rewards.terms.consistency import consistency, lexical_consistency
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
    """Graded responses of a policy, in order: 10 right and sound, 0 right and unsound, -6 wrong or unread.

    soundness  none: every right answer is sound; lexical: the rule of rewards.lexical_consistency; judge: the
               consistency question of `judge`, asked for right answers with a thought alone ("unclear" is
               unsound, as in the reward)
    allowed    the share of the judge's answers that may fail
    dropped    counts by reason the responses that a failed judge left without a grade: they are in no row

    Raises UserError for an unknown or impossible choice and for restricted rows that the judge may not be
    sent; AskingStopped (exit 1) where more than `allowed` failed or a cap of the budget was met.
    """
    if soundness not in SOUNDNESS:
        raise unknown("way to tell a sound thought named", soundness, SOUNDNESS)
    if soundness == "judge" and judge is None:
        raise UserError(
            "soundness=judge asks a judge, and none is chosen: add conf/judge=local, openai or gemini."
        )
    responses, right_cases = [], {}
    for number, (sample, text) in enumerate(written):
        response = parse(text)
        responses.append((sample, text, response))
        if right(read(response, sample), sample):
            right_cases[number] = (response, sample)
    sound, failures = _soundness(right_cases, soundness, judge, allowed)
    if dropped is not None:
        dropped.update(getattr(error, "reason", type(error).__name__) for error in failures.values())
    rows = []
    for number, (sample, text, response) in enumerate(responses):
        if number in failures:
            continue
        made_by = "policy_wrong"
        if number in right_cases:
            made_by = "policy_right" if sound[number] else "policy_unsound"
        grade, row = POLICY[made_by]
        known = criteria(row, format=GRADES["original"] if response.answer else GRADES["deletion"])
        # nobody looked at how relevant a text is, nor at a wrong answer's reasoning, nor at any where
        # soundness is none
        del known["relevance"]
        if made_by == "policy_wrong" or soundness == "none":
            del known["reasoning"]
        rows.append(Graded(sample, text, grade, made_by, known))
    return rows


def mix_with_replay(
    policy: Iterable[Graded], graded: Iterable[Graded], share: float = 0.3, seed: int = 0
) -> list[Graded]:
    """The rows of `policy` and so many of `graded` that these are `share` of all, in a seeded order.

    Without what R_phi was first trained on it forgets what a policy no longer writes. `graded` is streamed;
    which rows are taken does not depend on their order.

    Raises UserError for a share below LEAST_REPLAY or of 1, and where `graded` has too few rows.
    """
    if not LEAST_REPLAY <= share < 1:
        raise UserError(
            f"The replayed share {share} of R_phi's training must be at least {LEAST_REPLAY} and below 1."
        )
    policy = list(policy)
    wanted = math.ceil(share * len(policy) / (1 - share) - 1e-9)

    def order(row: Graded) -> float:
        return rank(str(seed), "replay", row.sample.source, row.sample.id, row.made_by, row.text)

    replayed = heapq.nsmallest(wanted, graded, key=order)
    if len(replayed) < wanted:
        raise UserError(
            f"{len(policy)} rows of the policy need {wanted} graded ones beside them for a share of {share}, "
            f"and there are {len(replayed)}. Make more graded rows, or sample less from the policy."
        )
    return sorted(policy + replayed, key=order)


def _soundness(
    cases: dict[int, tuple[Response, Sample]], soundness: str, judge, allowed: float
) -> tuple[dict[int, bool], dict]:
    """({number: whether the thought supports the answer}, {number: why this is not known})."""
    if soundness == "none":
        return dict.fromkeys(cases, True), {}
    if soundness == "lexical":
        return {number: lexical_consistency(*case) > 0 for number, case in cases.items()}, {}
    questions = {number: partial(consistency, *case, judge=judge) for number, case in cases.items()}
    scores, failures = ask_all(questions, "soundness", allowed) if cases else ({}, {})
    return {number: score > 0 for number, score in scores.items()}, failures
