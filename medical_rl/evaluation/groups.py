"""The same numbers group by group: for each modality and for each type of question that the rows' meta names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.evaluation.metrics import Record, correct_count, interval, metrics

# The keys of a sample's meta that divide an evaluation, with what a table calls them.
GROUPS = {"modality": "modality", "question_type": "question type"}
UNNAMED = "(not named)"


def groups_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """{"modality", "question_type"}: those that a sample's meta names.

    >>> groups_of({"modality": "CT", "question_type": None, "dataset": "x"})
    {'modality': 'CT'}
    """
    return {by: str(meta[by]) for by in GROUPS if meta.get(by) not in (None, "")}


def divided(records: Sequence[Record], by: str) -> dict[str, list[Record]]:
    """{group: its records}, groups by name; rows without one are `UNNAMED` and stand last; {} where no row has one."""
    found: dict[str, list[Record]] = {}
    for row in records:
        found.setdefault((row.get("groups") or {}).get(by, UNNAMED), []).append(row)
    return (
        {name: found[name] for name in sorted(found, key=lambda n: (n == UNNAMED, n))}
        if set(found) - {UNNAMED}
        else {}
    )


def group_metrics(records: Sequence[Record]) -> dict[str, dict[str, dict]]:
    """{"modality": {name: {"n", ...}}, "question_type": ...}: the metrics of each group, and its accuracy's interval.

    Only what the rows have is there. A group of grades has the figures of grades, though all rows together may not.
    """
    return {
        by: {name: _measured(rows) for name, rows in found.items()}
        for by in GROUPS
        if (found := divided(records, by))
    }


def macro_accuracy(groups: Mapping[str, Mapping[str, dict]]) -> dict[str, float]:
    """{"modality": mean accuracy over its groups, ...}, each group counting alike; rows without a name are no group.

    The accuracy of all rows together (micro) is `metrics["accuracy"]`: large groups weigh more there.

    >>> macro_accuracy({"modality": {"CT": {"accuracy": 1.0}, "MRI": {"accuracy": 0.5}}})
    {'modality': 0.75}
    """
    named = {
        by: [of["accuracy"] for name, of in found.items() if name != UNNAMED] for by, found in groups.items()
    }
    return {by: sum(values) / len(values) for by, values in named.items()}


def group_columns(rows: Sequence[Mapping], by: str) -> dict[str, int]:
    """{group: rows of it} over the evaluations `rows` of one data set, `UNNAMED` last."""
    found = {name: of["n"] for row in rows for name, of in row.get("groups", {}).get(by, {}).items()}
    return {name: found[name] for name in sorted(found, key=lambda n: (n == UNNAMED, n))}


def group_cells(row: Mapping, by: str, columns: Sequence[str]) -> list[str]:
    """The accuracies of an evaluation: all rows (micro), mean of the groups (macro), then each of `columns`; a dash where none."""
    found = row.get("groups", {}).get(by, {})
    values = [row["metrics"].get("accuracy"), row.get("macro_accuracy", {}).get(by)]
    values += [found.get(name, {}).get("accuracy") for name in columns]
    return ["–" if value is None else f"{value:.3f}" for value in values]


def short_name(row: Mapping) -> str:
    """A model's name where there is little room.

    >>> short_name({"model": "warm_start", "round": 2})
    'round 2 warm start'
    """
    name = row["model"].replace("_", " ") if row["model"].isidentifier() else row["model"]
    return name if row.get("round") is None else f"round {row['round']} {name}"


def _measured(records: Sequence[Record]) -> dict[str, Any]:
    bounds = interval(correct_count(records), len(records))
    return {"n": len(records), **metrics(records), "interval": {"accuracy": list(bounds)}}
