"""The figures of results.json on a terminal of 80 columns or more."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medical_rl.evaluation.groups import GROUPS, group_cells, group_columns, short_name
from medical_rl.evaluation.wording import COLUMNS, DISCLAIMER, LABELS, RIVALS, by_dataset, figure, label

# Headings whose widest line is about as wide as a figure: eleven columns have to fit into 80 characters.
NARROW = {
    "accuracy": "Accuracy\n[95 % CI]",
    "balanced_accuracy": "Bal.\nacc.",
    "majority_rate": "Major.\nrate",
    "macro_f1": "Macro\nF1",
    "unparsed": "Un-\nparsed",
    "quadratic_kappa": "Quad.\nkappa",
    "precision": "Preci-\nsion",
    "mean_iou": "Mean\nIoU",
    "hit_rate": "Hit\nrate",
}

MODELS_SHOWN = 4  # beside the group's name, within 80 characters


def results_table(results: dict[str, Any]) -> Table:
    """A table with one row a model and the columns of results.md, plus the gain in accuracy over the stage before.

    `print_results` calls it once a data set, which keeps each table within 80 columns.
    """
    rows = results["evaluations"]
    shown = [key for key in COLUMNS if any(key in row["metrics"] for row in rows)]
    title = "; ".join(f"{dataset}, {split}" for dataset, split in by_dataset(rows))
    table = Table(title=Text(title), box=SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    table.add_column("Model", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for key in shown:
        table.add_column(NARROW.get(key, COLUMNS[key]), justify="right", no_wrap=True)
        if key == "accuracy":
            table.add_column("Gain", justify="right", no_wrap=True)
    for row, gained in zip(rows, gains(rows), strict=True):
        cells = [Text(label(row)), str(row["n"])]
        for key in shown:
            cells.append(Text(figure(row, key).replace(" [", "\n").replace(", ", "-").rstrip("]")))
            if key == "accuracy":
                cells.append("–" if gained is None else f"{gained:+.3f}")
        table.add_row(*cells)
    return table


def group_tables(rows: list[dict[str, Any]]) -> list[Table]:
    """Tables of accuracies by group of one data set, a column a model (at most `MODELS_SHOWN` of them); [] without groups."""
    columns = {by: found for by in GROUPS if (found := group_columns(rows, by))}
    tables = []
    for first in range(0, len(rows) if columns else 0, MODELS_SHOWN):
        shown = rows[first : first + MODELS_SHOWN]
        table = Table(
            title="Accuracy by group", box=SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left"
        )
        table.add_column("Group", overflow="fold")
        table.add_column("n", justify="right", no_wrap=True)
        for row in shown:
            table.add_column(
                Text(short_name(row)), justify="right", overflow="fold", min_width=5, max_width=10
            )
        for by, names in columns.items():
            micro, macro, *each = zip(*(group_cells(row, by, list(names)) for row in shown), strict=True)
            if by == next(iter(columns)):
                table.add_row("all rows (micro)", str(rows[0]["n"]), *micro)
            table.add_row(f"each {GROUPS[by]} alike (macro)", "", *macro, style="bold")
            for (name, n), cells in zip(names.items(), each, strict=True):
                table.add_row(Text(f"  {name}"), str(n), *cells)
        tables.append(table)
    return tables


def gains(rows: list[dict[str, Any]]) -> list[float | None]:
    """Each row's accuracy minus that of the last stage above it on the same data set and split.

    None for the first stage, for a model that is no stage of ours, and without an accuracy. A rival arm (`sft`,
    `localize_sft`) is compared with the stage above it, and no later stage is compared with it.

    >>> on = {"dataset": "d", "split": "test"}
    >>> gains([on | {"model": m, "metrics": {"accuracy": a}} for m, a in [("base", 0.25), ("sft", 0.75), ("rl", 1.0)]])
    [None, 0.5, 0.75]
    """
    before: dict[tuple[str, str], float] = {}
    found: list[float | None] = []
    for row in rows:
        place, accuracy = (row["dataset"], row["split"]), row["metrics"].get("accuracy")
        ours = row["model"] in LABELS and row["model"] != "retrieve_then_answer" and accuracy is not None
        found.append(accuracy - before[place] if ours and place in before else None)
        if ours and row["model"] not in RIVALS:
            before[place] = accuracy
    return found


def print_results(results: dict[str, Any], console: Console | None = None) -> None:
    """None; prints the heading, the notes, one table a data set and that none of it is for clinical use."""
    console = console or Console()

    def say(text: str) -> None:
        console.print(Text(text))

    say(f"Results: {results['recipe']} ({results['scale']} scale, seed {results['seed']})")
    for note in results.get("notes", []):
        say(note)
    for rows in by_dataset(results["evaluations"]).values():
        say("")
        console.print(results_table(results | {"evaluations": rows}))
        for table in group_tables(rows):
            say("")
            console.print(table)
    say("")
    say("Gain: accuracy minus that of the stage before it, as fractions.")
    say(DISCLAIMER)
