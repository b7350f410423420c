"""Pseudo-labels as training rows: the label is the answer, the rationale the thought."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.parsing.response import gold
from medical_rl.pseudo_label.label import Label
from medical_rl.sample import Sample

# Where the gold answer goes: no reward, prompt, labeller or measurement reads this name.
GOLD = "gold_kept_for_audit"
# What describes the image by its own report: it would tell the answer to whoever reads `meta`.
OWN_REPORT = "report"
NO_THOUGHT = "without thought"
_MARKS = re.compile(r"<\s*/?\s*(?:think|answer)\b|\\boxed", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_OF_REPORTS = re.compile(
    r"(?i)\b(?:reports?|reported|retrieved|references?|other patients?|similar (?:case|patient|stud)\w*)\b"
)
_QUOTED = re.compile(r"\bReport [^\"]+: \"[^\"]*\"")


def write_rows(
    samples: Iterable[Sample],
    labels: Iterable[Label],
    path: Path,
    prompt: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `path` as prepared data, atomically.

    prompt    the policy's: its `target` is what the warm start teaches,
              <think>rationale</think><answer>label</answer>
    settings  conf.labeller

    Returns {"rows", "labels": {answer: n}, "dropped": {reason: n}, "without_thought"}; the last counts rows
    whose rationale holds marks of an answer (<answer>, </think>, \\boxed), which a target has once: the label
    is good, the words are not.
    """
    dropped: collections.Counter[str] = collections.Counter()
    written = write_split(pseudo_labelled_rows(samples, labels, settings, dropped), path, prompt)
    without_thought = dropped.pop(NO_THOUGHT, 0)
    return {**written, "dropped": dict(sorted(dropped.items())), "without_thought": without_thought}


def pseudo_labelled_rows(
    samples: Iterable[Sample],
    labels: Iterable[Label],
    settings: Mapping[str, Any],
    dropped: collections.Counter[str],
) -> Iterator[Sample]:
    """The rows that have a usable label, as their answer; others are counted in `dropped` by reason.

    NO_THOUGHT is counted there too, and the row stays; so does the gold answer, in meta under GOLD.
    """
    label_of = {label.id: label for label in labels}
    for sample in samples:
        label = label_of.get(sample.id)
        reason = _reason_dropped(label, float(settings["min_confidence"]))
        if reason:
            dropped[reason] += 1
            continue
        row = _training_row(sample, label, settings)
        if _MARKS.search(row.meta["thought"]):
            row.meta["thought"] = ""
            dropped[NO_THOUGHT] += 1
        yield row


def without_reports(rationale: str) -> str:
    """The rationale without quotations of reports and sentences that speak of them.

    >>> without_reports('Report 7: "No effusion. Heart normal." The angles are sharp. Most reports deny it.')
    'The angles are sharp.'
    """
    sentences = _SENTENCE.split(_QUOTED.sub(" ", rationale).strip())
    return " ".join(sentence for sentence in sentences if sentence and not _OF_REPORTS.search(sentence))


def _reason_dropped(label: Label | None, least: float) -> str:
    """Why a row is left out, "" where it stays."""
    if label is None:
        return "not labelled"
    if label.failed is not None:
        return f"failed: {label.failed}"
    if label.outcome != "answered":
        return label.outcome
    if least > 0 and label.confidence is None:
        return "no confidence"
    if least > 0 and label.confidence < least:
        return "confidence below min_confidence"
    return ""


def _training_row(sample: Sample, label: Label, settings: Mapping[str, Any]) -> Sample:
    thoughts = {"rationale": label.rationale, "without_reports": without_reports(label.rationale), "none": ""}
    meta = {name: value for name, value in sample.meta.items() if name not in (OWN_REPORT, "thought")}
    meta |= {
        "thought": thoughts[settings["thought"]],
        "rationale": label.rationale,
        "retrieved": list(label.retrieved),
        "confidence": label.confidence,
        "labeller": settings["name"],
        GOLD: gold(sample),
    }
    return dataclasses.replace(sample, answer=label.answer, meta=meta)
