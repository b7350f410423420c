"""The reports of every row: ranked, without the row's own, checked, and written to `retrieved.jsonl`.

One line a row, `{"id": row id, "retrieved": [{"id", "score"}, ...]}`, best first; `retrieved.json` beside it
tells what it was made from, so that the same call does nothing and another one starts over.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.card import sha256
from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval import RETRIEVERS, USE_IMAGES, retriever_settings
from medical_rl.pseudo_label.retrieval.corpus import Guard, Hit, Retriever, refuse_own, retrievable
from medical_rl.run.files import replacing, write_json
from medical_rl.run.progress import Progress
from medical_rl.sample import Sample

FILE, ABOUT = "retrieved.jsonl", "retrieved.json"
AT_ONCE = 256  # rows ranked at a time: their images are in memory together
SPARE = 8  # reports asked for beyond k, for those that are the row's own


class PreparedRows:
    """The rows of prepared files, read anew by each loop, so that no more than a row group is in memory.

    A row that a preparation repeated, to fill a batch, comes once.
    """

    def __init__(self, *paths: Path | str, settings: Mapping[str, Any]) -> None:
        self.paths = paths
        self.with_images = settings["kind"] in USE_IMAGES

    def __iter__(self) -> Iterator[Sample]:
        for path in self.paths:
            for sample in read_samples(path, self.with_images):
                if not sample.meta.get("copy"):
                    yield sample


def retrieve(
    settings: Mapping[str, Any], rows: Iterable[Sample], reports: Sequence[Report], k: int, folder: Path | str
) -> dict[str, Any]:
    """Write k reports of each row to `folder`/retrieved.jsonl, atomically and idempotently.

    settings  conf.retriever
    rows      may be looped over more than once: a list, or `PreparedRows`
    reports   the whole corpus, held-out studies too: their texts show which other report is a row's own

    Returns counts: rows, reports, retrievable, k, and own (in how many places of the rankings a row's own
    report stood and was left out). Raises UserError for settings or data that cannot work, or where a row was
    given its own report.
    """
    settings, folder = retriever_settings(settings), Path(folder)
    if k < 1:
        raise UserError(f"k={k}: at least one report must be retrieved.")
    guard = Guard(reports, float(settings["near_duplicate"]))
    searched = retrievable(reports, settings["splits"])
    key, count = _key(settings, rows, reports, k)
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        is_new = about["key"] != key or about["sha256"] != sha256(folder / FILE)
    except (OSError, ValueError, KeyError, TypeError):  # nothing there, or damaged
        is_new = True
    if is_new:
        folder.mkdir(parents=True, exist_ok=True)
        retriever = RETRIEVERS[settings["kind"]](settings, searched, folder)
        own = _write(retriever, rows, guard, len(searched), k, count, folder / FILE)
        counts = {"rows": count, "reports": len(reports), "retrievable": len(searched), "k": k, "own": own}
        about = {"key": key, "sha256": sha256(folder / FILE), "counts": counts}
    refuse_own(rows, read_retrieved(folder / FILE), guard, settings["splits"])
    if is_new:
        write_json(folder / ABOUT, about)
    return about["counts"]


def read_retrieved(path: Path | str) -> dict[str, list[Hit]]:
    """{row id: its reports, best first} of a `retrieved.jsonl`. Raises UserError where it is none."""
    retrieved = {}
    try:
        with Path(path).open(encoding="utf-8") as file:
            for line in map(json.loads, file):
                retrieved[line["id"]] = [Hit(hit["id"], hit["score"]) for hit in line["retrieved"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{Path(path).absolute()} is no list of retrieved reports: {error!r}.") from error
    return retrieved


def nearest_others(
    rank: Callable[[Sequence[Sample], int], list[list[Hit]]],
    samples: Sequence[Sample],
    guard: Guard,
    size: int,
    k: int,
) -> Iterator[tuple[list[Hit], int]]:
    """(k reports that are not the row's own, how many of its own stood before them) for each row.

    A row with too few left is ranked again with twice as many, up to all `size` reports of the corpus.
    """
    first_depth = min(k + SPARE, size)
    for sample, hits in zip(samples, rank(samples, first_depth), strict=True):
        depth = first_depth
        others = guard.others(sample, hits)
        while len(others) < k and depth < size:
            depth = min(2 * depth, size)
            hits = rank([sample], depth)[0]
            others = guard.others(sample, hits)
        if len(others) < k:
            raise UserError(
                f"Row {sample.id} has {len(others)} reports that are not its own, and k={k} are wanted; the "
                f"corpus has {size:,}. Lower k, raise conf.retriever.near_duplicate, or add reports "
                "(conf.data.reports)."
            )
        yield others[:k], hits.index(others[k - 1]) + 1 - k


def _write(
    retriever: Retriever, rows: Iterable[Sample], guard: Guard, size: int, k: int, count: int, path: Path
) -> int:
    """Write the lines of all rows to `path`; returns how many of their own reports were left out."""
    own, iterator = 0, iter(rows)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8") as file,
        Progress(title="retrieve", total=count) as progress,
    ):
        for first in iterator:
            samples = [first, *itertools.islice(iterator, AT_ONCE - 1)]
            ranked = nearest_others(retriever.rank, samples, guard, size, k)
            for sample, (hits, left_out) in zip(samples, ranked, strict=True):
                own += left_out
                line = {"id": sample.id, "retrieved": list(map(vars, hits))}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                progress.advance()
    return own


def _key(settings: Mapping, rows: Iterable[Sample], reports: Sequence[Report], k: int) -> tuple[str, int]:
    """(SHA-256 of all that decides the lists, number of rows). Raises UserError for equal ids, or none."""
    key = hashlib.sha256(json.dumps([dict(settings), k], sort_keys=True, default=list).encode())
    ids = set()
    for report in reports:
        key.update(json.dumps([report.id, report.text, report.group, report.split]).encode())
    for sample in rows:
        if sample.id in ids:
            raise UserError(
                f"The row id {sample.id!r} comes twice; a list of reports could not be told from the other's."
            )
        ids.add(sample.id)
        key.update(sample.to_json().encode())
        for image in sample.images:
            key.update(hashlib.sha256(image).digest())
    if not ids:
        raise UserError("There are no rows to retrieve reports for.")
    return key.hexdigest(), len(ids)
