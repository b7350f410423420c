"""Concepts: the medical terms of a question, whose mention MEDFACT-R1 rewards.

Two extractors: a lexicon, which needs no model and gives the same for everyone, and a judge, a language model
that is asked once a question. Which one a reader uses is its option `concepts`.
"""

import functools
import re
import unicodedata
from typing import Any

from medical_rl.data.lexicon import LEXICON
from medical_rl.errors import RewardFailed, UserError
from medical_rl.sample import Sample

EXTRACTORS = ("lexicon", "none")

# The paper's example has three; a question rarely holds more than this.
MAX_CONCEPTS = 8

SCHEMA = {
    "type": "object",
    "properties": {"concepts": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CONCEPTS}},
    "required": ["concepts"],
    "additionalProperties": False,
}

_TASK = (
    "You list the medical concepts that a question is about, for scoring whether an answer speaks of them. "
    "Name findings, diseases, anatomy, devices and the kind of image, each in its usual short form, in lower "
    f"case, at most {MAX_CONCEPTS}. Leave out words such as evidence, sign or patient, and never answer the "
    "question."
)


def concepts_of(question: str, extractor: str = "lexicon") -> tuple[str, ...]:
    """The concepts of a question in the order they appear, each once; () with the extractor "none".

    The longest term at each word takes its words: "pleural effusion" is not "pleura" too.

    >>> concepts_of("Does the chest radiograph show any signs of lung infection or congestion?")
    ('chest radiograph', 'lung infection', 'congestion')
    """
    if extractor == "none":
        return ()
    # Punctuation stays as words of its own, so that no term reaches across a comma.
    words = re.findall(r"\w+|[^\w\s]", _plain(question))
    terms, longest = _terms()
    concepts: dict[str, None] = {}
    start = 0
    while start < len(words):
        for length in range(min(longest, len(words) - start), 0, -1):
            concept = terms.get(_singular(" ".join(words[start : start + length])))
            if concept:
                concepts[concept] = None
                break
        start += length
    return tuple(concepts)


async def ask_judge(
    judge: Any, sample: Sample, *, allow_restricted: bool = False, **options
) -> tuple[str, ...]:
    """The concepts that a judge finds in the sample's question; only the question is sent.

    judge             anything with `await judge.ask(messages, schema, **options) -> dict`
    allow_restricted  the endpoint is local or covered by the agreement of a restricted source

    Raises UserError for a restricted sample without it, RewardFailed for an answer that is not of the schema.
    """
    if sample.restricted and not allow_restricted:
        raise UserError(
            f"Sample {sample.id!r} is of a restricted source: its question is not sent to a judge. Use the "
            "lexicon (concepts=lexicon), or a judge whose endpoint is declared local or covered."
        )
    messages = [
        {"role": "system", "content": _TASK},
        {"role": "user", "content": f"Question: {sample.question}"},
    ]
    answer = await judge.ask(messages, SCHEMA, **options)
    listed = answer.get("concepts") if isinstance(answer, dict) else None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise RewardFailed(
            f"The judge's concepts for {sample.id!r} are not a list of texts: {str(answer)[:200]}."
        )
    names = [" ".join(name.casefold().split()).strip(" .,;") for name in listed]
    return tuple(dict.fromkeys(filter(None, names)))[:MAX_CONCEPTS]


@functools.cache
def _terms() -> tuple[dict[str, str], int]:
    """{way of writing, made singular: concept}, and the most words that one has."""
    terms = {}
    for concept, others in LEXICON.items():
        terms |= {_singular(_plain(name)): concept for name in (concept, *others)}
    return terms, max(map(len, map(str.split, terms)))


def _singular(text: str) -> str:
    """The text without a plural's ending; never shown, so that "mas" for "mass" does no harm.

    >>> _singular("pleural effusions") == _singular("pleural effusion")
    True
    """
    return text.removesuffix("s").removesuffix("e")


def _plain(text: str) -> str:
    """Lower case, with every run of spaces, hyphens and slashes made one space.

    >>> _plain("Chest  X-Ray")
    'chest x ray'
    """
    return re.sub(r"[\s\-‐‑–/]+", " ", unicodedata.normalize("NFKC", text).casefold())
