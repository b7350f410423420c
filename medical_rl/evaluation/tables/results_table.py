"""The table of results: the figures of results.json as Markdown, and on a terminal of 80 columns."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medical_rl.evaluation.metrics import GROUPS, group_cells, group_sizes
from medical_rl.evaluation.wording import COLUMNS, DISCLAIMER, LABELS, READINGS, RIVALS
from medical_rl.run.markdown import DASH, figure_cell, markdown_table

CLASSES_SHOWN = 20  # an open question set can have thousands of gold answers
TITLE = "Results: {recipe} ({scale} scale, seed {seed})"
MODELS_SHOWN = 4  # beside the group's name, within 80 characters
# Headings whose widest line is about as wide as a figure: eleven columns have to fit into 80 characters.
NARROW = {
    "accuracy": "Accuracy\n[95 % CI]",
    "balanced_accuracy": "Bal.\nacc.",
    "majority_rate": "Major.\nrate",
    "macro_f1": "Macro\nF1",
    "quadratic_kappa": "Quad.\nkappa",
    "precision": "Preci-\nsion",
    "mean_iou": "Mean\nIoU",
    "hit_rate": "Hit\nrate",
}

READING = ("accuracy_parsed", "lenient", "unparsed")  # on a terminal in a table of their own


def results_markdown(results: Mapping[str, Any]) -> str:
    """`results` as the text of results.md: notes, tables of models, groups and classes for each data set."""
    parts = [f"# {TITLE.format_map(results)}"] + list(results.get("notes", []))
    for (dataset, split), rows in rows_by_dataset(results["evaluations"]).items():
        columns = [key for key in COLUMNS if any(key in row["metrics"] for row in rows)]
        body = []
        for row in rows:
            body.append([model_label(row), row["n"]] + [metric_cell(row, key) for key in columns])
        header = ["Model", "n"] + list(map(COLUMNS.get, columns))
        parts += [f"## {dataset}, {split}", markdown_table(header, body)]
        for by in GROUPS:
            sizes = group_sizes(rows, by)
            if sizes:
                header = ["Model", "All rows (micro)", "Mean of groups (macro)"]
                header += [f"{name} (n {n})" for name, n in sizes.items()]
                body = [[short_name(row)] + group_cells(row, by, sizes) for row in rows]
                parts += [f"Accuracy by {GROUPS[by]}:", markdown_table(header, body)]
        class_rows = list(itertools.chain.from_iterable(map(_class_rows, rows)))
        if class_rows:
            header = ["Model", "Class", "n", "Recall", "Precision", "F1"]
            parts += ["Per class:", markdown_table(header, class_rows)]
    if _has_lenient(results["evaluations"]):
        parts.append(READINGS)
    parts.append(
        "Figures are fractions (MAE: grades). The intervals are Wilson's and take the answers as independent."
    )
    parts.append(DISCLAIMER)
    return "\n\n".join(parts) + "\n"


def print_results(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the heading, the notes, one table a data set and that none of it is for clinical use."""
    console = console or Console()
    for line in [TITLE.format_map(results)] + list(results.get("notes", [])):
        console.print(Text(line))
    for (dataset, split), rows in rows_by_dataset(results["evaluations"]).items():
        console.print()
        console.print(terminal_table(rows, f"{dataset}, {split}"))
        console.print()
        console.print(reading_table(rows))
        for table in terminal_group_tables(rows):
            console.print()
            console.print(table)
    console.print()
    console.print(Text("Gain: accuracy minus that of the stage before it, as fractions."))
    if _has_lenient(results["evaluations"]):
        console.print(Text(READINGS))
    console.print(Text(DISCLAIMER))


def terminal_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """A row a model of one data set: the columns of results.md, and the gain over the stage before."""
    columns = [key for key in COLUMNS if any(key in row["metrics"] for row in rows) and key not in READING]
    table = _terminal_table(title, "Model")
    for key in columns:
        table.add_column(NARROW.get(key, COLUMNS[key]), justify="right", no_wrap=True)
        if key == "accuracy":
            table.add_column("Gain", justify="right", no_wrap=True)
    for row, gain in zip(rows, accuracy_gains(rows), strict=True):
        cells = [Text(model_label(row)), str(row["n"])]
        for key in columns:
            cells.append(Text(metric_cell(row, key).replace(" [", "\n").replace(", ", "-").rstrip("]")))
            if key == "accuracy":
                cells.append(figure_cell(gain, "+.3f"))
        table.add_row(*cells)
    return table


def reading_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a model of one data set: what is right by how answers are read, and the gain of both readings."""
    table = _terminal_table("How the answers were read", "Model")
    headings = ["Strict", "Gain", "Among parsed", "Unparsed", "Lenient", "Gain"]
    for heading in headings if _has_lenient(rows) else headings[:4]:
        table.add_column(heading, justify="right", no_wrap=True)
    gains = zip(accuracy_gains(rows), accuracy_gains(rows, "lenient"), strict=True)
    for row, (gain, lenient_gain) in zip(rows, gains, strict=True):
        cells = [
            metric_cell(row | {"interval": {}}, key) for key in ("accuracy", "accuracy_parsed", "unparsed")
        ]
        cells.insert(1, figure_cell(gain, "+.3f"))
        cells += [metric_cell(row, "lenient"), figure_cell(lenient_gain, "+.3f")]
        table.add_row(Text(short_name(row)), str(row["n"]), *cells[: len(table.columns) - 2])
    return table


def _has_lenient(rows: Iterable[Mapping[str, Any]]) -> bool:
    return any("lenient" in row["metrics"] for row in rows)


def terminal_group_tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """Tables of accuracies by group of one data set, a column a model, at most MODELS_SHOWN a table."""
    columns = {by: sizes for by in GROUPS if (sizes := group_sizes(rows, by))}
    tables = []
    for first in range(0, len(rows) if columns else 0, MODELS_SHOWN):
        table = _terminal_table("Accuracy by group", "Group")
        models = rows[first : first + MODELS_SHOWN]
        for row in models:
            name = Text(short_name(row))
            table.add_column(name, justify="right", overflow="fold", min_width=5, max_width=10)
        for by, sizes in columns.items():
            heads = [("all rows (micro)", str(rows[0]["n"])), (f"each {GROUPS[by]} alike (macro)", "")]
            heads += [(Text(f"  {name}"), str(n)) for name, n in sizes.items()]
            cells = [group_cells(row, by, sizes) for row in models]
            for i, head in enumerate(heads):
                if i > 0 or by == next(iter(columns)):
                    accuracies = [column[i] for column in cells]
                    table.add_row(*head, *accuracies, style="bold" if i == 1 else None)
        tables.append(table)
    return tables


def accuracy_gains(rows: Sequence[Mapping[str, Any]], metric: str = "accuracy") -> list[float | None]:
    """Each row's accuracy (or `metric`) minus that of the last stage above it on the same data set and split.

    None for the first stage, for a model that is no stage of ours, and without an accuracy. A rival arm
    (`sft`, `localize_sft`) is compared with the stage above it, and no later stage is compared with it.
    """
    before: dict[tuple[str, str], float] = {}
    gains: list[float | None] = []
    for row in rows:
        key = (row["dataset"], row["split"])
        accuracy = row["metrics"].get(metric)
        is_stage = row["model"] in LABELS and row["model"] != "retrieve_then_answer"
        is_stage = is_stage and accuracy is not None
        gains.append(accuracy - before[key] if is_stage and key in before else None)
        if is_stage and row["model"] not in RIVALS:
            before[key] = accuracy
    return gains


def model_label(row: Mapping) -> str:
    """The name of a row's model for people, with its round."""
    name = LABELS.get(row["model"], row["model"])
    return name if row.get("round") is None else f"{name}, round {row['round']}"


def short_name(row: Mapping) -> str:
    """A model's name where there is little room: "round 2 warm start"."""
    name = row["model"].replace("_", " ") if row["model"].isidentifier() else row["model"]
    return name if row.get("round") is None else f"round {row['round']} {name}"


def metric_cell(row: Mapping, key: str) -> str:
    """Metric `key` of a row to three decimals, accuracy with its interval; a dash where the row has none."""
    if key not in row["metrics"]:
        return DASH
    text = f"{row['metrics'][key]:.3f}"
    bounds = row.get("interval", {}).get(key)
    return f"{text} [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else text


def rows_by_dataset(evaluations: Iterable[dict]) -> dict[tuple[str, str], list[dict]]:
    """{(dataset, split): its rows}, all in the order given."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in evaluations:
        groups.setdefault((row["dataset"], row["split"]), []).append(row)
    return groups


def _class_rows(row: Mapping[str, Any]) -> list[list]:
    """The cells of a row's classes; of many classes only the most frequent, and a line that says so."""
    classes = row.get("per_class", {})
    largest = sorted(classes, key=lambda name: -classes[name]["n"])[:CLASSES_SHOWN]
    body = []
    for name, figures in classes.items():
        if name in largest:
            shares = [figure_cell(figures[key]) for key in ("recall", "precision", "f1")]
            body.append([model_label(row), name, figures["n"]] + shares)
    rest = len(classes) - len(largest)
    if rest:
        body.append([model_label(row), f"{rest} rarer classes: see results.json", "", "", "", ""])
    return body


def _terminal_table(title: str, first: str) -> Table:
    """A table without rows, whose first columns are `first` and n."""
    table = Table(title=Text(title), box=SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    table.add_column(first, overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    return table
