"""Pages of a prepared folder for a person to look at: a contact sheet, and the images that look alike.

A page is one HTML file with everything in it, and nothing in it that runs or loads: what comes from data is
escaped, and a policy in the page forbids scripts and requests all the same.
"""

import base64
import collections
import io
import json
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from medical_rl import images
from medical_rl.data.inspect.check import split_files
from medical_rl.data.inspect.findings import SimilarPair
from medical_rl.data.parquet import count_rows
from medical_rl.data.prepare.card import read_card
from medical_rl.errors import UserError
from medical_rl.parsing.response import gold
from medical_rl.run.files import write_text
from medical_rl.sample import Sample

TEMPLATE = Path(__file__).with_name("contact_sheet.html.jinja")
SIDE = 280  # pixels of a picture's longer side
MAX_PAIRS = 60


def write_contact_sheet(folder: Path, out: Path, rows: int = 12, seed: int = 0) -> int:
    """Write the page `out` with `rows` rows of each split: images, prompt, answer and gold boxes.

    The number of rows shown.
    """
    if rows < 1:
        raise UserError(f"rows must be at least 1, not {rows}.")
    card, sections, count = read_card(folder), [], 0
    for path in split_files(folder, card):
        total = count_rows(path)
        numbers = random.Random(f"{seed}/{path.name}").sample(range(total), min(rows, total))
        figures = [_figure(sample, chat) for _, sample, chat in read_numbered_rows(path, numbers)]
        aside = f"{len(figures):,} of {total:,} rows, drawn with seed {seed}"
        sections.append((path.stem, aside, figures))
        count += len(figures)
    about = card.get("about") or {}
    altered = about.get("altered", [])
    lines = ["These are rows as a model is trained and tested on them. Not for clinical use."]
    lines += about.get("notes", []) + [f"Altered: {reason}." for reason in altered]
    lines += [note for note in card.get("notes", []) if note not in altered]
    write_text(out, html_page(f"{card.get('name') or folder.name}: contact sheet", lines, sections))
    return count


def write_similar_pairs(folder: Path, pairs: Sequence[SimilarPair], out: Path) -> int:
    """Write the page `out` with the nearest pairs of images that look alike; the number of pairs shown."""
    shown = pairs[:MAX_PAIRS]
    wanted = collections.defaultdict(set)
    for pair in shown:
        for split, row, _ in (pair.one, pair.other):
            wanted[split].add(row)
    samples = {}
    for path in split_files(folder, read_card(folder)):
        for row, sample, _ in read_numbered_rows(path, wanted[path.stem]):
            samples[path.stem, row] = sample
    figures = []
    for pair in shown:
        one, other = samples[pair.one[:2]], samples[pair.other[:2]]
        figures.append(
            {
                "pictures": [page_pictures(one)[pair.one[2]], page_pictures(other)[pair.other[2]]],
                "texts": [],
                "answer": f"{one.answer} | {other.answer}",
                "note": f"{one.id} | {other.id}; distance {pair.distance:.3f}",
            }
        )
    line = (
        f"{len(pairs):,} pairs of images of two splits look alike (the nearest {len(shown)} are here). "
        "The same patient in both is a leak; the same view of two patients is not."
    )
    write_text(out, html_page("Images that look alike", [line], [("Nearest first", "", figures)]))
    return len(shown)


def html_page(title: str, lines: Iterable[str], sections: Iterable[tuple[str, str, list[Mapping]]]) -> str:
    """The page; a section is (heading, aside, figures), a figure {pictures, texts, answer, note}.

    Texts that all figures of a section share stand once, above them.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    contents = []
    for heading, aside, figures in sections:
        texts = [figure["texts"] for figure in figures]
        shared = texts[0] if len(texts) > 1 and texts.count(texts[0]) == len(texts) else []
        contents.append({"heading": heading, "aside": aside, "figures": figures, "shared": shared})
    return template.render(title=title, lines=list(lines), sections=contents)


def _figure(sample: Sample, messages: list[dict]) -> dict:
    texts = [message["content"] for message in messages]
    if len(messages) > 1:
        texts = [f"{message['role']}: {message['content']}" for message in messages]
    note = sample.kind if sample.group in ("", sample.id) else f"{sample.kind}; group {sample.group}"
    note = f"{sample.id} ({note})"
    if sample.concepts:
        note += f"; concepts: {', '.join(sample.concepts)}"
    return {"pictures": page_pictures(sample), "texts": texts, "answer": sample.answer, "note": note}


def page_pictures(sample: Sample) -> list[dict[str, str]]:
    """{"data": a small JPEG in base64, "alt"} of each image, the gold boxes drawn into the first.

    For an image that does not decode "data" is "" and "alt" says why.
    """
    pictures = []
    for number, data in enumerate(sample.images):
        try:
            picture = images.decode(data)
        except UserError as error:
            pictures.append({"data": "", "alt": f"image {number + 1}: {error}"})
            continue
        buffer = io.BytesIO()
        _small_picture(picture, sample, with_boxes=number == 0).save(buffer, format="JPEG", quality=88)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        pictures.append({"data": encoded, "alt": f"image {number + 1} of {sample.id}"})
    return pictures


def _small_picture(picture: Image.Image, sample: Sample, with_boxes: bool) -> Image.Image:
    """The picture at about SIDE pixels, the pixels of a small one kept sharp, with its gold boxes."""
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    if sample.kind != "box" or not with_boxes:
        return small
    pen = ImageDraw.Draw(small)
    # The stored picture may be smaller than the original, in whose pixels boxes are.
    height, width = sample.size or (picture.height, picture.width)
    x, y = picture.width / max(width, 1) * scale, picture.height / max(height, 1) * scale
    for x1, y1, x2, y2 in json.loads(gold(sample) or "[]"):
        # PIL wants the corners in order, and a box of wrong data may have them the other way round.
        (left, right), (top, bottom) = sorted((x1 * x, x2 * x)), sorted((y1 * y, y2 * y))
        pen.rectangle([left, top, right, bottom], outline=(255, 214, 0), width=2)
    return small


def read_numbered_rows(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, Sample, list[dict]]]:
    """(number, sample, chat messages) of the rows `wanted`, in order; other row groups are not read."""
    try:
        with pq.ParquetFile(path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                numbers = sorted(set(wanted).intersection(range(start, end)))
                if numbers:
                    table = file.read_row_group(group, columns=["sample", "images", "prompt"])
                    rows = table.take([number - start for number in numbers]).to_pylist()
                    for number, row in zip(numbers, rows, strict=True):
                        pictures = tuple(image["bytes"] for image in row["images"] or ())
                        yield number, Sample.from_json(row["sample"], pictures), row["prompt"] or []
                start = end
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be shown: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
