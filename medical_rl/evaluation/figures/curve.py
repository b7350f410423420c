"""How training went: reward terms and accuracy by step, from metrics.jsonl; the rounds of a loop one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.run.progress import VALIDATION, read_metrics

TOTAL = "reward/total"
ACCURACY = "reward/accuracy"
_TERM = re.compile(r"reward/([^/]+)/mean")


def stages(metrics: Path) -> list[str]:
    """The stages in metrics.jsonl that have rewards, in the order in which they ran."""
    names: dict[str, None] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line, cut short while it is being written
        if TOTAL in record:
            names.setdefault(record.get("stage", ""))
    return list(names)


def curve(run: Path, validated: str = "acc") -> dict[str, dict]:
    """{stage: {"rewards": {term: {step: mean}}, "accuracy": {name: {step: share}}}}; "total" is a term among the others.

    validated  conf.validation.metric, what the score of validation is: "acc", or "reward", which belongs to the rewards
    UserError where no step of reinforcement was logged.
    """
    found = {}
    for stage in stages(run / "metrics.jsonl"):
        steps = read_metrics(run / "metrics.jsonl", stage)
        rewards: dict[str, str] = {TOTAL: "total"}
        rewards |= {key: match[1] for of in steps.values() for key in of if (match := _TERM.fullmatch(key))}
        accuracy = {ACCURACY: "training rollouts"}
        (accuracy if validated == "acc" else rewards)[VALIDATION] = "validation"
        lines = {"rewards": rewards, "accuracy": accuracy}
        found[stage] = {
            kind: {name: line for key, name in names.items() if (line := _series(steps, key))}
            for kind, names in lines.items()
        }
    if not found:
        raise UserError(
            f"{run / 'metrics.jsonl'} holds no step with rewards: no stage of reinforcement has run in this folder."
        )
    return found


def table(found: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): of each line its first and last value and the best."""
    body = [
        [
            stage,
            name,
            f"{len(line)}",
            *(f"{v:.3f}" for v in (line[min(line)], line[max(line)], max(line.values()))),
        ]
        for stage, of in found.items()
        for kind in ("rewards", "accuracy")
        for name, line in of[kind].items()
    ]
    return ["Stage", "Line", "Steps", "First", "Last", "Highest"], body


def draw(found: Mapping[str, Mapping]):
    """The figure: reward terms on the left, accuracies on the right; a thin line where a stage begins."""
    figure, axes = canvas(10, 3.6, columns=2)
    for one, (kind, title) in zip(axes, (("rewards", "mean reward"), ("accuracy", "accuracy")), strict=True):
        names = list(dict.fromkeys(name for of in found.values() for name in of[kind]))
        start = 0
        for stage, of in found.items():
            if len(found) > 1:
                one.axvline(start, color="#999999", linewidth=0.8)
                place = {
                    "xycoords": one.get_xaxis_transform(),
                    "xytext": (2, -2),
                    "textcoords": "offset points",
                }
                one.annotate(stage, (start, 1.0), **place, fontsize=7, va="top", rotation=90)
            for name, line in of[kind].items():
                colour, sparse = COLOURS[names.index(name) % len(COLOURS)], len(line) < 30
                steps = [start + step for step in sorted(line)]
                label = name if stage == next(s for s in found if name in found[s][kind]) else None
                one.plot(steps, [line[step] for step in sorted(line)], "o-" if sparse else "-", markersize=3, color=colour,
                         linewidth=2 if name == "total" else 1.2, label=label)  # fmt: skip
            start += max(
                step for lines in (of["rewards"], of["accuracy"]) for line in lines.values() for step in line
            )
        one.set(xlabel="step", ylabel=title)
        one.xaxis.get_major_locator().set_params(integer=True)
        one.grid(axis="y", alpha=0.3)
        if names:
            one.legend(frameon=False, fontsize=8)
    return figure


def _series(steps: Mapping[int, Mapping], key: str) -> dict[int, float]:
    return {step: of[key] for step, of in steps.items() if key in of}
