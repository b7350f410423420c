"""The same numbers for each modality and for each type of question that the rows' meta names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from medical_rl.evaluation.metrics import Record, accuracy_interval, metrics
from medical_rl.run.markdown import figure_cell

# The keys of a sample's meta that divide an evaluation, with what a table calls them.
GROUPS = {"modality": "modality", "question_type": "question type"}
UNNAMED = "(not named)"

Value = TypeVar("Value")


def sample_groups(meta: Mapping[str, Any]) -> dict[str, str]:
    """{"modality", "question_type"}: those that a sample's meta names.

    >>> sample_groups({"modality": "CT", "question_type": None, "dataset": "x"})
    {'modality': 'CT'}
    """
    return {by: str(meta[by]) for by in GROUPS if meta.get(by) not in (None, "")}


def in_group_order(groups: Mapping[str, Value]) -> dict[str, Value]:
    """The groups by name, `UNNAMED` last."""
    return dict(sorted(groups.items(), key=lambda group: (group[0] == UNNAMED, group[0])))


def records_by_group(records: Iterable[Record], by: str) -> dict[str, list[Record]]:
    """{group: its records}, by name; rows without one are `UNNAMED`, last; {} where no row has one."""
    groups: dict[str, list[Record]] = {}
    for row in records:
        name = (row.get("groups") or {}).get(by, UNNAMED)
        groups.setdefault(name, []).append(row)
    return in_group_order(groups) if set(groups) - {UNNAMED} else {}


def group_metrics(records: Sequence[Record]) -> dict[str, dict[str, dict]]:
    """{"modality": {name: {"n", metrics, "interval"}}, "question_type": ...}: each group's metrics.

    Only what the rows have is there. A group of grades has the figures of grades, though all rows together
    may not.
    """
    measured: dict[str, dict[str, dict]] = {}
    for by in GROUPS:
        for name, rows in records_by_group(records, by).items():
            figures = {"n": len(rows)} | metrics(rows) | {"interval": accuracy_interval(rows)}
            measured.setdefault(by, {})[name] = figures
    return measured


def macro_accuracy(groups: Mapping[str, Mapping[str, Mapping]]) -> dict[str, float]:
    """{"modality": mean accuracy over its groups, ...}, each group counting alike.

    Rows without a name are no group. The accuracy of all rows together (micro) is `metrics["accuracy"]`:
    large groups weigh more there.

    >>> macro_accuracy({"modality": {"CT": {"accuracy": 1.0}, "MRI": {"accuracy": 0.5}}})
    {'modality': 0.75}
    """
    means = {}
    for by, figures in groups.items():
        accuracies = [group["accuracy"] for name, group in figures.items() if name != UNNAMED]
        means[by] = sum(accuracies) / len(accuracies)
    return means


def group_figures(row: Mapping, by: str) -> Mapping[str, Mapping]:
    """{group: its figures} of an evaluation; {} where its rows name no group."""
    return row.get("groups", {}).get(by, {})


def group_sizes(rows: Iterable[Mapping], by: str) -> dict[str, int]:
    """{group: rows of it} over the evaluations `rows` of one data set, `UNNAMED` last."""
    sizes = {}
    for row in rows:
        sizes |= {name: figures["n"] for name, figures in group_figures(row, by).items()}
    return in_group_order(sizes)


def group_cells(row: Mapping, by: str, columns: Iterable[str]) -> list[str]:
    """The accuracies of an evaluation: all rows (micro), mean of groups (macro), then each of `columns`.

    A dash where there is none.
    """
    accuracies = [row["metrics"].get("accuracy"), row.get("macro_accuracy", {}).get(by)]
    for name in columns:
        accuracies.append(group_figures(row, by).get(name, {}).get("accuracy"))
    return list(map(figure_cell, accuracies))
