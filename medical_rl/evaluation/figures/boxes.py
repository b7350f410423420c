"""A sheet of images with true and predicted boxes: a row an image, a column a model, the IoU above each."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medical_rl.boxes import first_iou
from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.metrics import Record, box_metrics

ROWS = 12
TRUE, PREDICTED = "#F0E442", "#D55E00"
LEGEND = "Yellow: the true box; orange, dashed: the model's. Boxes in pixels of the original image. The images were drawn by lot, not picked."


@dataclass(frozen=True)
class Shown:
    """An image of the sheet: its bytes, the (height, width) its boxes are in, true boxes, {model: (boxes said, IoU)}."""

    id: str
    image: bytes
    size: tuple[int, int] | None
    gold: list[list[float]]
    said: dict[str, tuple[list[list[float]], float]]


def sheet(
    rows: Path, predictions: Mapping[str, Sequence[Record]], count: int = ROWS, seed: int = 0
) -> list[Shown]:
    """At most `count` rows of the parquet file `rows`, drawn with the seed among those that every model answered, in the file's order.

    predictions  {model: its records}, of kind box; UserError for another kind or for none
    The IoU is that of the metrics: of the first box said with the first true one, 0 where none could be read.
    """
    from medical_rl.data.parquet import read_samples

    answered = {model: {row["id"]: row for row in records} for model, records in predictions.items()}
    if not answered or any(row["kind"] != "box" for records in predictions.values() for row in records):
        raise UserError("A sheet of boxes needs predictions of boxes: these rows ask for something else.")
    known = sorted(set.intersection(*(set(of) for of in answered.values())))
    wanted = set(random.Random(f"{seed}/boxes").sample(known, min(count, len(known))))
    found = []
    for sample in read_samples(rows):
        if sample.id in wanted:
            of = {model: answered[model][sample.id] for model in answered}
            said = {
                m: (json.loads(r["pred"] or "[]"), first_iou(r["pred"], r["gold"])) for m, r in of.items()
            }
            gold = json.loads(next(iter(of.values()))["gold"])
            found.append(
                Shown(sample.id, sample.images[0] if sample.images else b"", sample.size, gold, said)
            )
    return found


def summary(predictions: Mapping[str, Sequence[Record]]) -> list[str]:
    """A sentence a model: mean IoU and hit rate over all its rows, not those of the sheet alone."""
    figures = {model: (box_metrics(records), len(records)) for model, records in predictions.items()}
    return [
        f"{m}: mean IoU {of['mean_iou']:.3f}, hit rate {of['hit_rate']:.3f}, n = {n:,}."
        for m, (of, n) in figures.items()
    ]


def table(shown: Sequence[Shown]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): the IoU of each model on each image of the sheet."""
    models = list(shown[0].said) if shown else []
    return ["Image", *models], [[one.id, *(f"{one.said[m][1]:.3f}" for m in models)] for one in shown]


def draw(shown: Sequence[Shown]):
    """The figure of a sheet; UserError where it has no image."""
    if not shown:
        raise UserError("There is no row that every model answered: nothing to draw boxes on.")
    models = list(shown[0].said)
    # models side by side; few models leave room for several images in a line
    line = max(1, 6 // len(models))
    lines = [shown[i : i + line] for i in range(0, len(shown), line)]
    columns = line * len(models)
    figure, axes = canvas(
        1.7 * columns + 0.2, 2.0 * len(lines), columns=columns, rows=len(lines), squeeze=False
    )
    for i, some in enumerate(lines):
        cells = [(one, model) for one in some for model in models]
        for j, axis in enumerate(axes[i]):
            axis.axis("off")
            if j < len(cells):
                _cell(axis, *cells[j])
    return figure


def _cell(axis, one: Shown, model: str) -> None:
    from matplotlib.patches import Rectangle

    from medical_rl.images import decode

    said, overlap = one.said[model]
    axis.set_title(f"{model}\nIoU {overlap:.2f}" + ("" if said else ", no box"), fontsize=7)
    if not one.image:
        return
    picture = decode(one.image)
    height, width = one.size or (picture.height, picture.width)
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), interpolation="nearest")
    for boxes, colour, style in ((one.gold, TRUE, "-"), (said, PREDICTED, "--")):
        for x1, y1, x2, y2 in boxes:
            axis.add_patch(
                Rectangle(
                    (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=style, linewidth=1.4
                )
            )
    # a box far outside must not shrink the picture
    axis.set(xlim=(0, width), ylim=(height, 0))
