"""Fact: how many of the question's clinical concepts the response speaks of (MEDFACT-R1)."""

from __future__ import annotations

from medical_rl.errors import UserError, unknown
from medical_rl.parsing.negation import AFTER, CLAUSE, NEGATIONS, stems
from medical_rl.parsing.response import Response
from medical_rl.sample import Sample

EACH = 0.2  # points a concept, MEDFACT-R1 section 2.3
SCOPES = ("answer", "think", "both")
MATCHES = ("words", "substring")


def fact(
    response: Response,
    sample: Sample,
    scope: str = "both",
    match: str = "words",
    cap: float | None = None,
    each: float = EACH,
    skip_negated: bool = False,
) -> float:
    """`each` points for every concept of the sample that the response reflects, counted once; in [0, maximum].

    scope         where to look: answer, think, or both (a yes/no answer alone names no concept)
    match         words: the concept's words in a row, inflections allowed ("infections" for "infection");
                  substring: MEDFACT-R1's public code, anywhere in the text, parts of words too
    cap           largest reward; null leaves each * the number of concepts
    skip_negated  a mention that its clause negates ("no infection") does not count

    A concept may list spellings with "/" ("X-ray/radiograph"): any of them counts.

    >>> from medical_rl.parsing.response import parse
    >>> s = Sample(id="1", source="demo", question="?", kind="yes_no", answer="no", concepts=("lung infection", "congestion"))
    >>> fact(parse("<think>Lung infections are excluded.</think><answer>no</answer>"), s)
    0.2
    """
    if scope not in SCOPES:
        raise unknown("scope of the fact reward", scope, SCOPES)
    if match not in MATCHES:
        raise unknown("way to match concepts", match, MATCHES)
    if not sample.concepts:
        raise UserError(
            f"The fact reward counts concepts, and the row {sample.id!r} of {sample.source} has none. Prepare the data with concepts, "
            "or leave the term out: ~conf.rewards.terms.fact."
        )
    if match == "substring":
        text = response.text.lower()
        found = sum(any(part in text for part in _spellings(concept.lower())) for concept in sample.concepts)
    else:
        clauses = [stems(clause) for clause in CLAUSE.split(_text(response, scope).casefold())]
        found = sum(_reflected(concept, clauses, skip_negated) for concept in dict.fromkeys(sample.concepts))
    return min(each * found, maximum(sample, cap=cap, each=each))


def maximum(sample: Sample, cap: float | None = None, each: float = EACH, **_) -> float:
    """The largest reward: `each` times the number of concepts, or the cap."""
    most = each * len(dict.fromkeys(sample.concepts))
    return most if cap is None else min(most, float(cap))


def _text(response: Response, scope: str) -> str:
    parts = {
        "answer": (response.answer,),
        "think": (response.thought,),
        "both": (response.thought, response.answer),
    }
    return "\n".join(part for part in parts[scope] if part)


def _spellings(concept: str) -> list[str]:
    return [part.strip() for part in concept.split("/") if part.strip()]


def _reflected(concept: str, clauses: list[tuple[str, ...]], skip_negated: bool) -> bool:
    """True if a clause holds the stems of one of the concept's spellings in a row."""
    for spelling in _spellings(concept.casefold()):
        wanted = stems(spelling)
        for said in clauses:
            for start in range(len(said) - len(wanted) + 1):
                here = wanted and said[start : start + len(wanted)] == wanted
                if here and not (skip_negated and _negated(said, start, start + len(wanted))):
                    return True
    return False


def _negated(said: tuple[str, ...], start: int, end: int) -> bool:
    """True if the clause denies the mention: a negation before it, or "is absent", "was not seen" right after it."""
    after = [stem for stem in said[end : end + 3] if stem not in ("is", "are", "was", "were", "be", "been")]
    return bool(NEGATIONS.intersection(said[:start]) or AFTER.intersection(after[:1]))
