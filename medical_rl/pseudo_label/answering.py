"""The labels with the top k reports for each k of C_K: the calibration's data (RULE section 3.2)."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.reports import Report
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.images import image_key
from medical_rl.pseudo_label.label import Label, LabelQuestion, read_labels, write_labels
from medical_rl.pseudo_label.labellers import label, labeller_settings, refuse_restricted_questions
from medical_rl.run.files import digest, write_json
from medical_rl.sample import Sample


def answers_per_k(
    settings: Mapping[str, Any],
    rows: Sequence[Sample],
    retrieved: Mapping[str, Sequence[str]],
    reports: Mapping[str, Report],
    ks: Sequence[int],
    work: RoundContext,
) -> dict[int, list[Label]]:
    """{k: the label of each row, in order, when asked with its first k reports}; k = 0 asks without any.

    retrieved  {row id: ids of its reports, the most similar first}
    reports    {report id: report}

    Nothing is asked twice: a row with fewer than k reports has the label it had with all of them. Each k has
    a folder `k_<k>` in `work.folder` whose labels.jsonl is used again while rows, reports and settings are
    the same; failed ones are asked again.
    """
    settings = labeller_settings(settings)
    questions_per_k = {k: questions_with_reports(rows, retrieved, reports, k) for k in ks}
    for questions in questions_per_k.values():  # all of them before anything is sent for the first
        refuse_restricted_questions(settings, questions)
    decisive = dict(settings)
    if settings.get("model"):
        decisive["model"] = digest(Path(settings["model"]))
    known: dict[str, Label] = {}  # by the question's key
    labels_per_k = {}
    for k, questions in questions_per_k.items():
        keys = list(map(question_key, questions))
        folder = work.folder / f"k_{k}"
        asked = [decisive, [[row.id, key] for row, key in zip(rows, keys, strict=True)]]
        identity = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        labels = _saved_labels(folder, identity)
        if labels is None:
            by_key = dict(zip(keys, questions, strict=True))
            new = {key: question for key, question in by_key.items() if key not in known}
            folder.mkdir(parents=True, exist_ok=True)
            answers = label(settings, list(new.values()), dataclasses.replace(work, folder=folder))
            known.update(zip(new, answers, strict=True))
            labels = [dataclasses.replace(known[key], id=row.id) for key, row in zip(keys, rows, strict=True)]
            write_labels(labels, folder / "labels.jsonl")
            write_json(folder / "labels.json", {"identity": identity})
        known.update(zip(keys, labels, strict=True))
        labels_per_k[k] = labels
    return labels_per_k


def questions_with_reports(
    rows: Sequence[Sample], retrieved: Mapping[str, Sequence[str]], reports: Mapping[str, Report], k: int
) -> list[LabelQuestion]:
    """Each row with its first k reports.

    Raises UserError for a row without a retrieval or a report that is not in the corpus.
    """
    if k < 0:
        raise UserError(f"k={k}: the number of reports is 0 or more.")
    questions = []
    for row in rows:
        if k and row.id not in retrieved:
            raise UserError(
                f"Nothing was retrieved for the row {row.id!r}: run the stage `retrieve` for these rows."
            )
        shown = []
        for report_id in retrieved[row.id][:k] if k else ():
            if report_id not in reports:
                raise UserError(
                    f"The report {report_id!r}, retrieved for the row {row.id!r}, is not in the corpus of "
                    f"{len(reports):,}."
                )
            shown.append(reports[report_id])
        questions.append(LabelQuestion(row, tuple(shown)))
    return questions


def question_key(question: LabelQuestion) -> str:
    """A hash of all that a labeller sees (question, images, reports); equal keys are asked once."""
    sample = question.sample
    reports = [[report.id, report.text, report.restricted] for report in question.reports]
    content = [sample.question, sample.restricted, image_key(sample.images), reports]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _saved_labels(folder: Path, identity: str) -> list[Label] | None:
    """The labels of the same rows, reports and settings; None where there are none or one has failed."""
    note = folder / "labels.json"
    if not note.is_file() or json.loads(note.read_text(encoding="utf-8")).get("identity") != identity:
        return None
    labels = list(read_labels(folder / "labels.jsonl"))
    return labels if all(one.failed is None for one in labels) else None
