"""Pages of a prepared folder for a person to look at: a contact sheet, and the images that look alike.

Some rows of a prepared file, by number: what a page of pictures shows.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.inspect import sheet
from medical_rl.data.inspect.check import card_of, split_files
from medical_rl.data.inspect.overlap import Pair
from medical_rl.data.parquet import count_rows, replacing
from medical_rl.errors import UserError
from medical_rl.sample import Sample

MAX_PAIRS = 60


def write_sheet(folder: Path, out: Path, rows: int = 12, seed: int = 0) -> int:
    """The number of rows shown in the page `out`: `rows` of each split, with images, prompt, answer and gold boxes."""
    if rows < 1:
        raise UserError(f"rows must be at least 1, not {rows}.")
    card, sections = card_of(folder), []
    for path in split_files(folder, card):
        figures = [_figure(sample, messages) for _, sample, messages in picked(path, drawn(path, rows, seed))]
        sections.append(
            (path.stem, f"{len(figures):,} of {count_rows(path):,} rows, drawn with seed {seed}", figures)
        )
    about = card.get("about") or {}
    lines = [
        "These are rows as a model is trained and tested on them. Not for clinical use.",
        *about.get("notes", []),
    ]
    lines += [f"Altered: {reason}." for reason in about.get("altered", [])]
    lines += [note for note in card.get("notes", []) if note not in about.get("altered", [])]
    _write(out, sheet.page(f"{card.get('name') or folder.name}: contact sheet", lines, sections))
    return sum(len(figures) for *_, figures in sections)


def write_pairs(folder: Path, pairs: Sequence[Pair], out: Path) -> int:
    """The number of pairs shown in the page `out`, the nearest of those that look alike."""
    shown = pairs[:MAX_PAIRS]
    wanted = collections.defaultdict(set)
    for split, row, _ in (side for pair in shown for side in (pair.one, pair.other)):
        wanted[split].add(row)
    samples = {
        (path.stem, number): sample
        for path in split_files(folder, card_of(folder))
        for number, sample, _ in picked(path, wanted[path.stem])
    }
    figures = [
        {
            "pictures": [
                sheet.pictures(samples[split, row])[number] for split, row, number in (pair.one, pair.other)
            ],
            "texts": [],
            "answer": " | ".join(samples[side[:2]].answer for side in (pair.one, pair.other)),
            "note": " | ".join(samples[side[:2]].id for side in (pair.one, pair.other))
            + f"; distance {pair.distance:.3f}",
        }
        for pair in shown
    ]
    lines = [
        f"{len(pairs):,} pairs of images of two splits look alike (the nearest {len(shown)} are here). The same patient "
        "in both is a leak; the same view of two patients is not."
    ]
    _write(out, sheet.page("Images that look alike", lines, [("Nearest first", "", figures)]))
    return len(shown)


def _figure(sample: Sample, messages: list[dict]) -> dict:
    return {
        "pictures": sheet.pictures(sample),
        "texts": [f"{message['role']}: {message['content']}" for message in messages]
        if len(messages) > 1
        else [message["content"] for message in messages],
        "answer": sample.answer,
        "note": _note(sample),
    }


def _note(sample: Sample) -> str:
    """The row's id, kind and group, and the concepts whose mention is rewarded."""
    grouped = f"; group {sample.group}" if sample.group not in ("", sample.id) else ""
    told = f"; concepts: {', '.join(sample.concepts)}" if sample.concepts else ""
    return f"{sample.id} ({sample.kind}{grouped}){told}"


def _write(out: Path, text: str) -> None:
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def drawn(path: Path, n: int, seed: int) -> list[int]:
    """The numbers of `n` rows of the file, or of all if it has fewer, drawn with the seed, in order."""
    total = count_rows(path)
    return sorted(random.Random(f"{seed}/{path.name}").sample(range(total), min(n, total)))


def picked(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, Sample, list[dict]]]:
    """(number, sample, chat messages) of the rows `wanted`, in order; only the row groups that hold one are read."""
    try:
        with pq.ParquetFile(path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                here = sorted(number for number in wanted if start <= number < end)
                if here:
                    table = file.read_row_group(group, columns=["sample", "images", "prompt"])
                    for row, number in zip(
                        table.take([n - start for n in here]).to_pylist(), here, strict=True
                    ):
                        pictures = tuple(image["bytes"] for image in row["images"] or ())
                        yield number, Sample.from_json(row["sample"], pictures), row["prompt"] or []
                start = end
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be shown: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
