"""A sheet of images with true and predicted boxes: a cell an image and a model, the IoU above it."""

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medical_rl.boxes import first_iou
from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.metrics import Record, box_metrics

TRUE, PREDICTED = "#F0E442", "#D55E00"
LEGEND = (
    "Yellow: the true box; orange, dashed: the model's. Boxes in pixels of the original image. "
    "The images were drawn by lot, not picked."
)

Boxes = list[list[float]]


@dataclass(frozen=True)
class SheetImage:
    """An image: its bytes, the (height, width) its boxes are in, true boxes, {model: (boxes, IoU)}."""

    id: str
    image: bytes
    size: tuple[int, int] | None
    gold: Boxes
    predicted: dict[str, tuple[Boxes, float]]


def box_sheet(
    rows: Path, predictions: Mapping[str, Sequence[Record]], count: int = 12, seed: int = 0
) -> list[SheetImage]:
    """At most `count` of the parquet file `rows`, drawn by lot among those that every model answered.

    predictions  {model: its records}, of kind box
    They are in the file's order. The IoU is that of the metrics: of the first box of an answer with the first
    true one, 0 where none could be read.
    Raises UserError for predictions of another kind or for none.
    """
    from medical_rl.data.parquet import read_samples

    answers, kinds = {}, set()
    for model, records in predictions.items():
        answers[model] = {row["id"]: row for row in records}
        kinds.update(row["kind"] for row in records)
    if not answers or kinds - {"box"}:
        raise UserError("A sheet of boxes needs predictions of boxes: these rows ask for something else.")
    shared = sorted(set.intersection(*map(set, answers.values())))
    drawn = set(random.Random(f"{seed}/boxes").sample(shared, min(count, len(shared))))
    sheet = []
    for sample in read_samples(rows):
        if sample.id in drawn:
            predicted = {}
            for model, by_id in answers.items():
                row = by_id[sample.id]
                predicted[model] = (json.loads(row["pred"] or "[]"), first_iou(row["pred"], row["gold"]))
                gold = json.loads(row["gold"])
            image = sample.images[0] if sample.images else b""
            sheet.append(SheetImage(sample.id, image, sample.size, gold, predicted))
    return sheet


def overlap_notes(predictions: Mapping[str, Sequence[Record]]) -> list[str]:
    """A sentence a model: mean IoU and hit rate over all its rows, not those of the sheet alone."""
    notes = []
    for model, records in predictions.items():
        figures = box_metrics(records)
        overlap = f"mean IoU {figures['mean_iou']:.3f}, hit rate {figures['hit_rate']:.3f}"
        notes.append(f"{model}: {overlap}, n = {len(records):,}.")
    return notes


def table(sheet: Sequence[SheetImage]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): the IoU of each model on each image of the sheet."""
    models = list(sheet[0].predicted) if sheet else []
    body = []
    for shown in sheet:
        body.append([shown.id] + [f"{overlap:.3f}" for _, overlap in shown.predicted.values()])
    return ["Image"] + models, body


def draw(sheet: Sequence[SheetImage]):
    """The figure of a sheet.

    Raises UserError where it has no image.
    """
    if not sheet:
        raise UserError("There is no row that every model answered: nothing to draw boxes on.")
    models = list(sheet[0].predicted)
    cells = list(itertools.product(sheet, models))
    # models side by side; few models leave room for several images in a line
    columns = max(1, 6 // len(models)) * len(models)
    lines = math.ceil(len(cells) / columns)
    figure, axes = canvas(1.7 * columns + 0.2, 2.0 * lines, columns=columns, rows=lines, squeeze=False)
    for axis, cell in itertools.zip_longest(axes.flat, cells):
        axis.axis("off")
        if cell:
            _draw_cell(axis, *cell)
    return figure


def _draw_cell(axis, shown: SheetImage, model: str) -> None:
    from matplotlib.patches import Rectangle

    from medical_rl.images import decode

    predicted, overlap = shown.predicted[model]
    axis.set_title(f"{model}\nIoU {overlap:.2f}" + ("" if predicted else ", no box"), fontsize=7)
    if not shown.image:
        return
    picture = decode(shown.image)
    height, width = shown.size or (picture.height, picture.width)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), interpolation="nearest")
    for boxes, colour, line in ((shown.gold, TRUE, "-"), (predicted, PREDICTED, "--")):
        for x1, y1, x2, y2 in boxes:
            outline = Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=line, linewidth=1.4
            )
            axis.add_patch(outline)
    # a box far outside must not shrink the picture
    axis.set(xlim=(0, width), ylim=(height, 0))
