"""Of what a prepared folder consists (MedGR2, figure 3): the share of each modality or question type."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from medical_rl.errors import UserError, unknown
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.groups import GROUPS, UNNAMED, sample_groups


def prepared_folder(folder: Path) -> Path:
    """The prepared folder meant: `folder` itself, or data/ of a run folder."""
    of_run = folder / "data"
    is_run = (of_run / "card.json").exists() and not (folder / "card.json").exists()
    return of_run if is_run else folder


def group_counts(folder: Path, split: str = "train", by: str = "modality") -> dict[str, int]:
    """{group: rows} of a prepared split, the largest first.

    Raises UserError where there is no such split or no row names a group.
    """
    from medical_rl.data.inspect.check import card_of
    from medical_rl.data.parquet import read_samples

    splits = card_of(folder)["splits"]
    if split not in splits:
        raise unknown(f"split in {folder}", split, splits)
    path = folder / f"{split}.parquet"
    counts: Counter[str] = Counter()
    for sample in read_samples(path, with_images=False):
        counts[sample_groups(sample.meta).get(by, UNNAMED)] += 1
    if set(counts) == {UNNAMED}:
        raise UserError(f"No row of {path} names its {GROUPS[by]} (meta.{by}).")
    return dict(sorted(counts.items(), key=lambda item: (item[0] == UNNAMED, -item[1], item[0])))


def table(counts: Mapping[str, int]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `group_counts`."""
    total = sum(counts.values())
    body = [[name, f"{rows:,}", f"{rows / total:.1%}"] for name, rows in counts.items()]
    return ["Group", "Rows", "Share"], body


def draw(counts: Mapping[str, int], by: str):
    """The figure: a bar a group, with its share and its rows."""
    total = sum(counts.values())
    figure, axes = canvas(7, 1.0 + 0.38 * len(counts))
    for i, rows in enumerate(counts.values()):
        axes.barh(i, rows / total, color=COLOURS[0], height=0.7)
        axes.text(rows / total + 0.01, i, f"{rows / total:.1%} ({rows:,})", va="center", fontsize=8)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    widest = min(1.0, max(counts.values()) / total * 1.25)
    axes.set(xlim=(0, widest), xlabel="share of rows", ylabel=GROUPS[by])
    return figure
