"""The labels with the top k reports for each k of C_K: what factuality-risk calibration takes its errors from (RULE section 3.2)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import UserError
from medical_rl.images import image_key
from medical_rl.pseudo_label.label import Asked, Label, read_labels, write_labels
from medical_rl.pseudo_label.labellers import checked, label, refuse
from medical_rl.pseudo_label.retrieval.reports import Report
from medical_rl.run.files import digest, write_json
from medical_rl.sample import Sample

Key = str


def answers_per_k(
    settings: Mapping[str, Any],
    rows: Sequence[Sample],
    retrieved: Mapping[str, Sequence[str]],
    reports: Mapping[str, Report],
    ks: Sequence[int],
    work: Work,
) -> dict[int, list[Label]]:
    """{k: the label of each row, in order, when asked with its first k reports}; k = 0 asks without any.

    retrieved  {row id: ids of its reports, the most similar first}
    reports    {report id: report}

    Nothing is asked twice: a row with fewer than k reports has the label it had with all of them. Each k has a folder `k_<k>` in
    `work.folder` whose labels.jsonl is used again while rows, reports and settings are the same; failed ones are asked again.
    """
    settings, found, known = checked(settings), {}, {}
    asked_per_k = {k: with_reports(rows, retrieved, reports, k) for k in ks}
    for asked in asked_per_k.values():  # all of them before anything is sent for the first
        refuse(settings, asked)
    made_of = {**settings, "model": digest(Path(settings["model"]))} if settings.get("model") else settings
    for k, asked in asked_per_k.items():
        keys = [key(one) for one in asked]
        folder, identity = work.folder / f"k_{k}", _identity(made_of, rows, keys)
        labels = _kept(folder, identity)
        if labels is None:
            new = {name: one for name, one in zip(keys, asked, strict=True) if name not in known}
            own = dataclasses.replace(work, folder=folder)
            folder.mkdir(parents=True, exist_ok=True)
            known |= dict(zip(new, label(settings, list(new.values()), own), strict=True))
            labels = [
                dataclasses.replace(known[name], id=row.id) for name, row in zip(keys, rows, strict=True)
            ]
            write_labels(labels, folder / "labels.jsonl")
            write_json(folder / "labels.json", {"identity": identity})
        known |= dict(zip(keys, labels, strict=True))
        found[k] = labels
    return found


def with_reports(
    rows: Sequence[Sample], retrieved: Mapping[str, Sequence[str]], reports: Mapping[str, Report], k: int
) -> list[Asked]:
    """Each row with its first k reports; UserError for a row without a retrieval or a report that is not in the corpus."""
    if k < 0:
        raise UserError(f"k={k}: the number of reports is 0 or more.")
    asked = []
    for row in rows:
        if k and row.id not in retrieved:
            raise UserError(
                f"Nothing was retrieved for the row {row.id!r}: run the stage `retrieve` for these rows."
            )
        ids = list(retrieved[row.id])[:k] if k else []
        if missing := [id for id in ids if id not in reports]:
            raise UserError(
                f"The report {missing[0]!r}, retrieved for the row {row.id!r}, is not in the corpus of {len(reports):,}."
            )
        asked.append(Asked(row, tuple(reports[id] for id in ids)))
    return asked


def key(asked: Asked) -> Key:
    """A hash of all that a labeller sees: the question, the images and the reports; equal keys are asked once."""
    told = [[report.id, report.text, report.restricted] for report in asked.reports]
    seen = [asked.sample.question, asked.sample.restricted, image_key(asked.sample.images), told]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _identity(settings: Mapping[str, Any], rows: Sequence[Sample], keys: Sequence[Key]) -> str:
    asked = [[row.id, name] for row, name in zip(rows, keys, strict=True)]
    return hashlib.sha256(json.dumps([dict(settings), asked], sort_keys=True).encode()).hexdigest()


def _kept(folder: Path, identity: str) -> list[Label] | None:
    """The labels that were written for the same rows, reports and settings; None where there are none or one has failed."""
    note = folder / "labels.json"
    if not note.is_file() or json.loads(note.read_text(encoding="utf-8")).get("identity") != identity:
        return None
    labels = list(read_labels(folder / "labels.jsonl"))
    return None if any(one.failed is not None for one in labels) else labels
