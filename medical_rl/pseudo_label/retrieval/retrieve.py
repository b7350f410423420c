"""The reports of every row: ranked, without the row's own, checked, and written to `retrieved.jsonl`.

One line a row, `{"id": row id, "retrieved": [{"id", "score"}, ...]}`, best first; `retrieved.json` beside it tells what it was made
from, so that the same call does nothing and another one starts over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import read_samples, replacing
from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval.hits import Hit, Retriever
from medical_rl.pseudo_label.retrieval.leaks import Guard, refuse_own
from medical_rl.pseudo_label.retrieval.reports import Report, retrievable
from medical_rl.pseudo_label.retrieval.retrievers import LOOKS, RETRIEVERS, checked
from medical_rl.run.files import write_json
from medical_rl.run.progress import counting
from medical_rl.sample import Sample

FILE, ABOUT = "retrieved.jsonl", "retrieved.json"
AT_ONCE = 256  # rows ranked at a time: their images are in memory together
SPARE = 8  # reports asked for beyond k, for those that are the row's own


class Rows:
    """The rows of prepared files, read anew by each loop, so that no more than a row group is in memory.

    A row that a preparation repeated, to fill a batch, comes once.
    """

    def __init__(self, *paths: Path | str, settings: Mapping[str, Any]) -> None:
        self.paths, self.with_images = paths, settings["kind"] in LOOKS

    def __iter__(self) -> Iterator[Sample]:
        return (
            s for path in self.paths for s in read_samples(path, self.with_images) if not s.meta.get("copy")
        )


def retrieve(
    settings: Mapping[str, Any], rows: Iterable[Sample], reports: Sequence[Report], k: int, folder: Path | str
) -> dict[str, Any]:
    """Counts (rows, reports, retrievable, k, own, repeated) after `folder`/retrieved.jsonl holds k reports of each row.

    settings  conf.retriever
    rows      may be looped over more than once: a list, or `Rows`
    reports   the whole corpus, held-out studies too: their texts show which other report is a row's own
    own       in how many places of the rankings a row's own report stood and was left out

    Atomic and idempotent. Raises UserError for settings or data that cannot work, or where a row was given its own report.
    """
    settings, folder = checked(settings), Path(folder)
    if k < 1:
        raise UserError(f"k={k}: at least one report must be retrieved.")
    guard = Guard(reports, float(settings["near_duplicate"]))
    searched = retrievable(reports, settings["splits"])
    key, count = _key(settings, rows, reports, k)
    if (about := _kept(folder, key)) is None:
        folder.mkdir(parents=True, exist_ok=True)
        retriever = RETRIEVERS[settings["kind"]](settings, searched, folder)
        own = _write(retriever, rows, guard, len(searched), k, count, folder / FILE)
        counts = {"rows": count, "reports": len(reports), "retrievable": len(searched), "k": k, "own": own}
        about = {"key": key, "sha256": _sha256(folder / FILE), "counts": counts}
        refuse_own(rows, read_retrieved(folder / FILE), guard, settings["splits"])
        write_json(folder / ABOUT, about)
    else:
        refuse_own(rows, read_retrieved(folder / FILE), guard, settings["splits"])
    return about["counts"]


def read_retrieved(path: Path | str) -> dict[str, list[Hit]]:
    """{row id: its reports, best first} of a `retrieved.jsonl`; UserError where it is none."""
    found = {}
    try:
        with Path(path).open(encoding="utf-8") as file:
            for line in map(json.loads, file):
                found[line["id"]] = [Hit(hit["id"], hit["score"]) for hit in line["retrieved"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{Path(path).absolute()} is no list of retrieved reports: {error!r}.") from error
    return found


def enough(
    rank: Callable[[Sequence[Sample], int], list[list[Hit]]],
    samples: Sequence[Sample],
    guard: Guard,
    size: int,
    k: int,
) -> Iterator[tuple[list[Hit], int]]:
    """(k reports that are not the row's own, how many of its own stood before them) for each row.

    A row with too few left is ranked again with twice as many, up to all `size` reports of the corpus.
    """
    wanted = min(k + SPARE, size)
    for sample, hits in zip(samples, rank(samples, wanted), strict=True):
        asked, found = wanted, guard.others(sample, hits)
        while len(found) < k and asked < size:
            asked = min(2 * asked, size)
            hits = rank([sample], asked)[0]
            found = guard.others(sample, hits)
        if len(found) < k:
            raise UserError(
                f"Row {sample.id} has {len(found)} reports that are not its own, and k={k} are wanted; the corpus has {size:,}. "
                "Lower k, raise conf.retriever.near_duplicate, or add reports (conf.data.reports)."
            )
        kept = {hit.id for hit in found[:k]}
        last = max(i for i, hit in enumerate(hits) if hit.id in kept)
        yield found[:k], last + 1 - k


def _write(
    retriever: Retriever, rows: Iterable[Sample], guard: Guard, size: int, k: int, count: int, path: Path
) -> int:
    own, waiting = 0, iter(rows)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8") as file,
        counting("retrieve", count) as advance,
    ):
        while samples := list(islice(waiting, AT_ONCE)):
            for sample, (hits, left_out) in zip(
                samples, enough(retriever.rank, samples, guard, size, k), strict=True
            ):
                own += left_out
                line = {"id": sample.id, "retrieved": [{"id": hit.id, "score": hit.score} for hit in hits]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                advance()
    return own


def _key(settings: Mapping, rows: Iterable[Sample], reports: Sequence[Report], k: int) -> tuple[str, int]:
    """(SHA-256 of all that decides the lists, number of rows); UserError for two rows of one id, or none."""
    digest, seen = (
        hashlib.sha256(json.dumps([dict(settings), k], sort_keys=True, default=list).encode()),
        set(),
    )
    for report in reports:
        digest.update(json.dumps([report.id, report.text, report.group, report.split]).encode())
    for sample in rows:
        if sample.id in seen:
            raise UserError(
                f"The row id {sample.id!r} comes twice; a list of reports could not be told from the other's."
            )
        seen.add(sample.id)
        digest.update(sample.to_json().encode())
        for image in sample.images:
            digest.update(hashlib.sha256(image).digest())
    if not seen:
        raise UserError("There are no rows to retrieve reports for.")
    return digest.hexdigest(), len(seen)


def _kept(folder: Path, key: str) -> dict | None:
    """What an earlier call left, where it was of the same and is unchanged."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        same = about["key"] == key and about["sha256"] == _sha256(folder / FILE)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing there, or damaged: it is made again
    return about if same else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
