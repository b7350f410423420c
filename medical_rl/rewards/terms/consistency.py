"""Consistency: whether the thought supports the answer (MEDFACT-R1), by a judge's word or by a rule.

The rule, for where no endpoint can be asked, reads the last claim of the thought as it would read an answer
and compares the two. It knows nothing of medicine: a thought that argues well and ends in other words than
the answer fails it, and nonsense that ends in the answer's words passes. It has a name of its own, so that no
table can confuse the two.
"""

import json
import re

from medical_rl.boxes import first_iou
from medical_rl.parsing.response import Response, normalise, parse, read
from medical_rl.sample import Sample

SOUND, UNSOUND = 1.0, -0.5  # MEDFACT-R1 section 2.3
_SENTENCE = re.compile(r"(?<=[.!?;\n])\s+")
_DENIAL = frozenset([
    "no", "not", "without", "absent", "none", "negative", "unremarkable", "never", "nor", "neither",
    "free", "clear",
])  # fmt: skip


async def consistency(
    response: Response, sample: Sample, *, judge, sound: float = SOUND, unsound: float = UNSOUND,
    unclear: float | None = None, missing: float | None = None, with_image: bool = True,
) -> float:  # fmt: skip
    """`sound` if the judge finds the answer supported by the thought, else `unsound`.

    unclear     the judge cannot say; null takes `unsound` (the paper: "otherwise")
    missing     the response has no thought or no answer, which needs no judge; null takes `unsound`
    with_image  show the image to the judge

    Raises RewardFailed where the judge gives no verdict: that is not the model's fault.
    """
    if not response.thought or not response.answer:
        return float(unsound if missing is None else missing)
    images = sample.images[:1] if with_image else ()
    case = {"question": sample.question, "thought": response.thought, "answer": response.answer}
    verdict = await judge.consistency(
        **case, images=images, restricted=sample.restricted, source=sample.source
    )
    values = {"sound": sound, "unsound": unsound, "unclear": unsound if unclear is None else unclear}
    return float(values[verdict.verdict])


def lexical_consistency(
    response: Response, sample: Sample, sound: float = SOUND, unsound: float = UNSOUND
) -> float:
    """`sound` if the thought's last claim is the answer, else `unsound`, also where either is missing.

    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="disc", choices=("disc", "ring"))
    >>> lexical_consistency(parse("<think>A ring? No: it is filled, a disc.</think> \\\\boxed{disc}"), s)
    1.0
    >>> lexical_consistency(parse("<think>It is a ring.</think> \\\\boxed{disc}"), s)
    -0.5
    """
    answer = read(response, sample)
    claim = last_claim(response.thought, sample) if response.thought and answer is not None else None
    if claim is None:
        return float(unsound)
    if sample.kind == "box":
        agrees = first_iou(claim, answer) > 0.5
    elif sample.kind in ("label", "choice") and not sample.choices:
        # a free answer: the last sentence names it
        agrees = f" {normalise(answer)} " in f" {normalise(claim)} "
    else:
        agrees = claim == answer
    return float(sound if agrees else unsound)


def last_claim(thought: str, sample: Sample) -> str | None:
    """The canonical answer that the thought last speaks of, or None.

    label, choice: the class or option named last (without choices: the last sentence); grade: the last
    integer; box: the last box; yes_no: a yes or no in the last sentence, else "no" where that sentence denies
    and "yes" where it does not.
    """
    if sample.kind in ("label", "choice") and sample.choices:
        return _last_choice(normalise(thought), sample.choices)
    if sample.kind == "grade":
        numbers = re.findall(r"(?<![\w.])\d{1,18}(?![\w.]*\d)", thought)
        return str(int(numbers[-1])) if numbers else None
    if sample.kind == "box":
        boxes = read(parse(f"<answer>{thought}</answer>"), sample)
        return json.dumps(json.loads(boxes)[-1:]) if boxes else None
    sentences = list(filter(normalise, _SENTENCE.split(thought.strip())))
    if not sentences or sample.kind != "yes_no":
        return sentences[-1] if sentences else None
    words = normalise(sentences[-1]).split()
    if words[-1:] == ["no"]:
        return "no"
    return "yes" if "yes" in words or not _DENIAL.intersection(words) else "no"


def _last_choice(text: str, choices: tuple[str, ...]) -> str | None:
    """The choice named last; of two that end together the longer ("normal, benign" holds "benign")."""
    last = (-1, 0, None)
    for choice in choices:
        name = normalise(choice)
        start = f" {text} ".rfind(f" {name} ")
        if start >= 0:
            last = max(last, (start + len(name), len(choice), choice))
    return last[2]


consistency.maximum = lexical_consistency.maximum = lambda sample, sound=SOUND, **_: float(sound)
