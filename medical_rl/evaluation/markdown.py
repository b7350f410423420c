"""The contents of results.json as Markdown: notes, tables of models, groups and classes for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medical_rl.evaluation.groups import GROUPS, group_cells, group_columns, short_name
from medical_rl.evaluation.wording import COLUMNS, DISCLAIMER, by_dataset, figure, label

CLASSES_SHOWN = 20  # an open question set can have thousands of gold answers


def markdown(results: dict[str, Any]) -> str:
    """`results` as the text of results.md: notes, tables of models, groups and classes for each data set."""
    parts = [f"# Results: {results['recipe']} ({results['scale']} scale, seed {results['seed']})"]
    parts += results.get("notes", [])
    for (dataset, split), rows in by_dataset(results["evaluations"]).items():
        shown = [key for key in COLUMNS if any(key in row["metrics"] for row in rows)]
        header = ["Model", "n", *(COLUMNS[key] for key in shown)]
        body = [[label(row), str(row["n"]), *(figure(row, key) for key in shown)] for row in rows]
        parts += [f"## {dataset}, {split}", table(header, body)]
        parts += [part for by in GROUPS for part in _group_table(rows, by)]
        if per_class_rows := [cells for row in rows for cells in _class_rows(row)]:
            parts += [
                "Per class:",
                table(["Model", "Class", "n", "Recall", "Precision", "F1"], per_class_rows),
            ]
    parts += [
        "Figures are fractions (MAE: grades). The intervals are Wilson's and take the answers as independent."
    ]
    return "\n\n".join([*parts, DISCLAIMER]) + "\n"


def _group_table(rows: Sequence[dict], by: str) -> list[str]:
    """[a line, the table of accuracies: models x groups], or [] where the rows name no group."""
    columns = group_columns(rows, by)
    if not columns:
        return []
    header = [
        "Model",
        "All rows (micro)",
        "Mean of groups (macro)",
        *(f"{name} (n {n})" for name, n in columns.items()),
    ]
    body = [[short_name(row), *group_cells(row, by, list(columns))] for row in rows]
    return [f"Accuracy by {GROUPS[by]}:", table(header, body)]


def _class_rows(row: dict[str, Any]) -> list[list[str]]:
    """The cells of a row's classes; of many classes only the most frequent, and a line that says so."""
    found = row.get("per_class", {})
    largest = set(sorted(found, key=lambda name: -found[name]["n"])[:CLASSES_SHOWN])
    cells = [
        [label(row), name, str(of["n"]), *(f"{of[key]:.3f}" for key in ("recall", "precision", "f1"))]
        for name, of in found.items()
        if name in largest
    ]
    rest = len(found) - len(largest)
    return (
        [*cells, [label(row), f"{rest} rarer classes: see results.json", "", "", "", ""]] if rest else cells
    )


def table(header: list[str], body: list[list[str]]) -> str:
    """A Markdown table; bars and line breaks in a cell (class names come from data) are made harmless."""
    rows = [header, ["---"] * len(header), *body]
    return "\n".join(
        "| " + " | ".join(" ".join(c.replace("|", "\\|").split()) for c in row) + " |" for row in rows
    )
