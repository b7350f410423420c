r"""AUROC from the probabilities that a model gives a question's options: texts scored, and area.

An option is scored as the final answer, closing mark included, so that "normal" is not taken for the
beginning of "normal, benign". It follows what the model itself wrote before its final answer, where it gave
one (its own reasoning counts); else the whole target of the prompt follows the prompt directly, without the
row's own thought, which could tell the answer. In both cases the answer is spelt as the prompt's target
spells it: a letter where it asks for letters.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter

from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse
from medical_rl.sample import Sample

_MARK = re.compile(r"\\boxed\s*\{|<answer>", re.IGNORECASE)
_PROBE = "probe"


def answer_options(sample: Sample) -> tuple[str, ...]:
    """What a row can be answered: its choices, or yes and no; () for a box and a free answer."""
    if sample.kind == "yes_no":
        return ("yes", "no")
    return () if sample.kind == "box" else tuple(sample.choices)


def continuations(sample: Sample, prompt: Mapping, response: str) -> list[str]:
    r"""For each of `answer_options(sample)` the text after the prompt with it as the final answer.

    >>> s = Sample(id="1", source="demo", question="?", kind="grade", answer="1", choices=("0", "1"))
    >>> continuations(s, {"target": "<answer>{{ answer }}</answer>"}, "It is large, so \\boxed{1}.")
    ['It is large, so \\boxed{0}', 'It is large, so \\boxed{1}']
    >>> continuations(s, {"target": "<answer>{{ answer }}</answer>"}, "It is large.")
    ['<answer>0</answer>', '<answer>1</answer>']
    """
    without_thought = dict(sample.meta)
    without_thought.pop("thought", None)
    opening = answer_opening(response)
    texts = []
    for option in answer_options(sample):
        text = target(dataclasses.replace(sample, answer=option, meta=without_thought), prompt)
        if opening is not None:
            head, closing = opening
            answer = parse(text).answer
            if not answer:
                name = prompt.get("name", "")
                raise UserError(
                    f"The target of the prompt {name!r} has no final answer for row {sample.id!r}."
                )
            text = f"{head}{answer}{closing}"
        texts.append(text)
    return texts


def answer_opening(response: str) -> tuple[str, str] | None:
    r"""(all up to where the final answer begins, what closes it); None without a final answer.

    >>> answer_opening("<think>\\boxed{1}?</think> \\boxed{2} indeed")
    ('<think>\\boxed{1}?</think> \\boxed{', '}')
    >>> answer_opening("<think>unclosed \\boxed{1}") is None
    True
    """
    answer = parse(response).answer
    if answer is None:
        return None
    for mark in reversed(list(_MARK.finditer(response))):
        head, rest = response[: mark.end()], response[mark.end() :]
        closing = "}" if head.endswith("{") else "</answer>"
        # The mark that is read as the final answer: what is put into it is what the parser then reads.
        if rest.lstrip().startswith(answer) and parse(f"{head}{_PROBE}{closing}").answer == _PROBE:
            return head, closing
    return None


def option_probabilities(options: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """{option: probability}: softmax of log-probabilities; options of one text count together.

    >>> option_probabilities(("yes", "no"), (math.log(0.06), math.log(0.02)))
    {'yes': 0.75, 'no': 0.25}
    """
    top = max(scores)
    # log-probabilities of nought alone: the model tells the options apart no more than chance does
    weights = [math.exp(score - top) if math.isfinite(top) else 1.0 for score in scores]
    total = sum(weights)
    probabilities = dict.fromkeys(options, 0.0)
    for option, weight in zip(options, weights, strict=True):
        probabilities[option] += weight / total
    return {option: round(value, 12) for option, value in probabilities.items()}


def auroc(records: Sequence[Mapping]) -> tuple[float | None, str]:
    """(the AUROC in [0, 1], how it was made) of records with "option_scores"; (None, why) where undefined.

    option_scores      {option: probability}
    yes/no questions   by the probability of "yes"
    one set of options each class against the rest by its probability; the mean over the classes that occur
    options that vary  over all pairs of a row and one of its options: one ranking for the whole set

    Rows without scores (free answers) are left out, and counted in the sentence.
    Raises UserError where a gold answer is none of its row's options.
    """
    rows = [row for row in records if row.get("option_scores")]
    if not rows:
        return None, "no row has options that were scored"
    astray = [row["id"] for row in rows if row["gold"] not in row["option_scores"]]
    if astray:
        first = f"the first is row {astray[0]!r}"
        raise UserError(f"The gold answers of {len(astray)} rows are none of their options; {first}.")
    option_sets = {frozenset(row["option_scores"]) for row in rows}
    if set(map(itemgetter("kind"), rows)) == {"yes_no"}:
        area = _class_area(rows, "yes")
        how = "by the probability of yes"
    elif len(option_sets) == 1:
        areas = [_class_area(rows, name) for name in sorted(set(map(itemgetter("gold"), rows)))]
        area = None if None in areas else sum(areas) / len(areas)
        how = f"each class against the rest, mean over the {len(areas)} classes that occur"
    else:
        pairs = []
        for row in rows:
            pairs += [(option == row["gold"], score) for option, score in row["option_scores"].items()]
        area = _area(pairs)
        how = "over all pairs of a row and an option, as the options vary"
    if area is None:
        how = f"it is undefined, as every gold answer is {rows[0]['gold']!r}"
    if len(rows) < len(records):
        how += f"; {len(records) - len(rows):,} rows without options are left out"
    return area, how


def _class_area(rows: Sequence[Mapping], name: str) -> float | None:
    """The area of one class against the rest, ranked by its probability."""
    return _area([(row["gold"] == name, row["option_scores"][name]) for row in rows])


def _area(pairs: Sequence[tuple[bool, float]]) -> float | None:
    """The area under the curve of (positive, score) pairs; None where all are positive or none is."""
    from sklearn.metrics import roc_auc_score

    truth, scores = zip(*pairs, strict=True)
    return float(roc_auc_score(truth, scores)) if len(set(truth)) == 2 else None
