"""Recitation: how closely the output repeats the knowledge in the prompt (VRFT-Aug, equation 7)."""

import functools
import re

from medical_rl.errors import UserError, check_known
from medical_rl.parsing.response import Response
from medical_rl.parsing.text import visible
from medical_rl.sample import Sample

# nltk's names; its method6 needs longer texts than many thoughts are
SMOOTHING = tuple(f"method{i}" for i in (0, 1, 2, 3, 4, 5, 7))
SCOPES = ("output", "think")
_MARKS = re.compile(r"</?(?:think|answer)>|\\boxed\b", re.IGNORECASE)


def recitation(
    response: Response, sample: Sample, delta: float = 0.2, order: int = 4, smoothing: str = "method1",
    scope: str = "output",
) -> float:  # fmt: skip
    """delta * BLEU(output, knowledge), clipped to [-1, 1]: delta 0.2 rewards reciting, -2 punishes it.

    BLEU is nltk's sentence BLEU over lower-case words, with n-grams up to `order` equally weighted and nltk's
    `smoothing` (method0 is none).

    scope  output: all that was said, without the marks, as in equation 7; think: the thought alone, so that a
           recital behind it is neither paid nor punished

    >>> from medical_rl.parsing.response import parse
    >>> knowledge = "a smooth round mass with sharp borders"
    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="a", knowledge=knowledge)
    >>> recitation(parse("<think>A smooth, round mass with sharp borders</think>"), s)
    0.2
    """
    check_known("BLEU smoothing of nltk", smoothing, SMOOTHING)
    check_known("scope of the recitation reward", scope, SCOPES)
    if int(order) < 1:
        raise UserError(f"The recitation reward has order={order}: BLEU needs n-grams of at least one word.")
    if not sample.knowledge.strip():
        raise UserError(
            f"The recitation reward compares the output with injected knowledge, and the row {sample.id!r} "
            f"of {sample.source} has none. Choose a dataset and a prompt with knowledge "
            "(conf/prompt=visual_attributes), or another reward."
        )
    text = _MARKS.sub(" ", visible(response.text)) if scope == "output" else response.thought or ""
    value = float(delta) * bleu(text, sample.knowledge, int(order), smoothing)
    return max(-1.0, min(1.0, value))


@functools.lru_cache(maxsize=4096)
def bleu(candidate: str, reference: str, order: int, smoothing: str) -> float:
    """nltk's sentence BLEU of `candidate` against one `reference`, in [0, 1]; 0 where either has no words."""
    # Imported where it is used: nltk brings scikit-learn and pandas with it, over a second.
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    hypothesis, target = re.findall(r"\w+", candidate.lower()), re.findall(r"\w+", reference.lower())
    if not hypothesis or not target:
        return 0.0
    smooth = getattr(SmoothingFunction(), smoothing)
    weights = (1.0 / order,) * order
    return float(sentence_bleu([target], hypothesis, weights=weights, smoothing_function=smooth))


# delta, at most 1; 0 where reciting is punished
recitation.maximum = lambda sample, delta=0.2, **_: max(0.0, min(1.0, float(delta)))
