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
from medical_rl.data.inspect.check import card_of, split_files
from medical_rl.data.inspect.leaks import SimilarPair
from medical_rl.data.parquet import count_rows
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
    card, sections, count = card_of(folder), [], 0
    for path in split_files(folder, card):
        figures = []
        for _, sample, messages in read_numbered_rows(path, random_row_numbers(path, rows, seed)):
            figures.append(_figure(sample, messages))
        aside = f"{len(figures):,} of {count_rows(path):,} rows, drawn with seed {seed}"
        sections.append((path.stem, aside, figures))
        count += len(figures)
    about = card.get("about") or {}
    altered = about.get("altered", [])
    lines = ["These are rows as a model is trained and tested on them. Not for clinical use."]
    lines += about.get("notes", [])
    lines += [f"Altered: {reason}." for reason in altered]
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
    for path in split_files(folder, card_of(folder)):
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

    >>> "<script>" in html_page("<script>", [], [])
    False
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
        small = _small_picture(picture, _pixel_boxes(sample, picture) if number == 0 else [])
        buffer = io.BytesIO()
        small.save(buffer, format="JPEG", quality=88)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        pictures.append({"data": encoded, "alt": f"image {number + 1} of {sample.id}"})
    return pictures


def _pixel_boxes(sample: Sample, picture: Image.Image) -> list[list[float]]:
    """The gold boxes in pixels of the stored picture, which may be smaller than the original."""
    if sample.kind != "box":
        return []
    height, width = sample.size or (picture.height, picture.width)
    x, y = picture.width / max(width, 1), picture.height / max(height, 1)
    return [[x1 * x, y1 * y, x2 * x, y2 * y] for x1, y1, x2, y2 in json.loads(gold(sample) or "[]")]


def _small_picture(picture: Image.Image, boxes: list[list[float]]) -> Image.Image:
    """The picture at about SIDE pixels, the pixels of a small one kept sharp, with its boxes."""
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(small)
    for x1, y1, x2, y2 in boxes:
        # PIL wants the corners in order, and a box of wrong data may have them the other way round.
        (left, right), (top, bottom) = sorted((x1 * scale, x2 * scale)), sorted((y1 * scale, y2 * scale))
        pen.rectangle([left, top, right, bottom], outline=(255, 214, 0), width=2)
    return small


def random_row_numbers(path: Path, n: int, seed: int) -> list[int]:
    """The numbers of `n` rows of the file, or of all if it has fewer, drawn with the seed, in order."""
    total = count_rows(path)
    return sorted(random.Random(f"{seed}/{path.name}").sample(range(total), min(n, total)))


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
