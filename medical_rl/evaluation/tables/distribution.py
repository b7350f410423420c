"""Of what a prepared folder consists (MedGR2, figure 3): the share of each modality or question type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from medical_rl.data.inspect.check import card_of
from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError, unknown
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.groups import GROUPS, UNNAMED, groups_of


def prepared(folder: Path) -> Path:
    """The prepared folder meant: `folder` itself, or data/ of a run folder."""
    return (
        folder
        if (folder / "card.json").exists() or not (folder / "data" / "card.json").exists()
        else folder / "data"
    )


def distribution(folder: Path, split: str = "train", by: str = "modality") -> dict[str, int]:
    """{group: rows} of a prepared split, the largest first; UserError where there is no such split or no row names a group."""
    splits = card_of(folder)["splits"]
    if split not in splits:
        raise unknown(f"split in {folder}", split, splits)
    path = folder / f"{split}.parquet"
    counts = Counter(
        groups_of(sample.meta).get(by, UNNAMED) for sample in read_samples(path, with_images=False)
    )
    if set(counts) == {UNNAMED}:
        raise UserError(f"No row of {path} names its {GROUPS[by]} (meta.{by}).")
    return dict(sorted(counts.items(), key=lambda item: (item[0] == UNNAMED, -item[1], item[0])))


def table(found: Mapping[str, int]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `distribution`."""
    total = sum(found.values())
    return ["Group", "Rows", "Share"], [
        [name, f"{rows:,}", f"{rows / total:.1%}"] for name, rows in found.items()
    ]


def draw(found: Mapping[str, int], by: str):
    """The figure: a bar a group, with its share and its rows."""
    total = sum(found.values())
    figure, axes = canvas(7, 1.0 + 0.38 * len(found))
    axes.barh(range(len(found)), [rows / total for rows in found.values()], color=COLOURS[0], height=0.7)
    for i, rows in enumerate(found.values()):
        axes.text(rows / total + 0.01, i, f"{rows / total:.1%} ({rows:,})", va="center", fontsize=8)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(
        xlim=(0, min(1.0, max(found.values()) / total * 1.25)), xlabel="share of rows", ylabel=GROUPS[by]
    )
    return figure
