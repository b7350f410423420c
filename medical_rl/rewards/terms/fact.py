"""Fact: how many of the question's clinical concepts the response speaks of (MEDFACT-R1)."""

from medical_rl.errors import UserError, check_known
from medical_rl.parsing.response import Response
from medical_rl.parsing.text import AFTER, CLAUSE, NEGATIONS, stems
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
    """`each` points for every concept of the sample that the response reflects; in [0, maximum].

    scope         where to look: answer, think, or both (a yes/no answer alone names no concept)
    match         words: the concept's words in a row, inflections allowed ("infections" for "infection");
                  substring: MEDFACT-R1's public code, anywhere in the text, parts of words too
    cap           largest reward; null leaves each * the number of concepts
    skip_negated  a mention that its clause negates ("no infection") does not count

    A concept may list spellings with "/" ("X-ray/radiograph"): any of them counts.

    >>> from medical_rl.parsing.response import parse
    >>> concepts = ("lung infection", "congestion")
    >>> s = Sample(id="1", source="demo", question="?", kind="yes_no", answer="no", concepts=concepts)
    >>> fact(parse("<think>Lung infections are excluded.</think><answer>no</answer>"), s)
    0.2
    """
    check_known("scope of the fact reward", scope, SCOPES)
    check_known("way to match concepts", match, MATCHES)
    if not sample.concepts:
        raise UserError(
            f"The fact reward counts concepts, and the row {sample.id!r} of {sample.source} has none. "
            "Prepare the data with concepts, or leave the term out: ~conf.rewards.terms.fact."
        )
    count = 0
    if match == "substring":
        text = response.text.lower()
        for concept in sample.concepts:
            count += any(spelling in text for spelling in _spellings(concept.lower()))
    else:
        parts = {"think": [response.thought], "answer": [response.answer]}
        parts["both"] = parts["think"] + parts["answer"]
        text = "\n".join(filter(None, parts[scope]))
        clauses = list(map(stems, CLAUSE.split(text.casefold())))
        for concept in dict.fromkeys(sample.concepts):
            count += _is_reflected(concept, clauses, skip_negated)
    return min(each * count, maximum(sample, cap=cap, each=each))


def maximum(sample: Sample, cap: float | None = None, each: float = EACH, **_) -> float:
    """The largest reward: `each` times the number of concepts, or the cap."""
    most = each * len(dict.fromkeys(sample.concepts))
    return most if cap is None else min(most, float(cap))


def has_concepts(sample: Sample) -> bool:
    """Whether the row has anything for the term to look for: without, a mix leaves the term out of its reward."""
    return bool(sample.concepts)


fact.maximum, fact.applies = maximum, has_concepts


def _spellings(concept: str) -> list[str]:
    return [part.strip() for part in concept.split("/") if part.strip()]


def _is_reflected(concept: str, clauses: list[tuple[str, ...]], skip_negated: bool) -> bool:
    """Whether a clause holds the stems of one of the concept's spellings in a row."""
    for spelling in _spellings(concept.casefold()):
        wanted = stems(spelling)
        for clause in clauses:
            for start in range(len(clause) - len(wanted) + 1):
                is_here = wanted and clause[start : start + len(wanted)] == wanted
                if is_here and not (skip_negated and _is_negated(clause, start, start + len(wanted))):
                    return True
    return False


def _is_negated(clause: tuple[str, ...], start: int, end: int) -> bool:
    """Whether the clause denies the mention: a negation before it, or "was not seen" right after it."""
    after = [stem for stem in clause[end : end + 3] if stem not in ("is", "are", "was", "were", "be", "been")]
    return bool(NEGATIONS.intersection(clause[:start]) or AFTER.intersection(after[:1]))
