"""How training went by step: one run, and several in one picture (VRFT-Aug, figure 4)."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.results import Run, differing_settings, distinguishing_settings, settings_text
from medical_rl.run.progress import VALIDATION, read_metrics

TOTAL = "reward/total"
ACCURACY = "reward/accuracy"
RECITATION = "reward/recitation/mean"
_TERM = re.compile(r"reward/([^/]+)/mean")
# The panels of one run, and of several.
KINDS = {"rewards": "mean reward", "accuracy": "accuracy"}
PANELS = {
    "rollouts": "accuracy of training rollouts",
    "validation": "validation accuracy",
    "bleu": "BLEU(thought, knowledge)",
}

Line = dict[int, float]  # {step: value}


def reinforced_stages(metrics: Path) -> list[str]:
    """The stages in metrics.jsonl that have rewards, in the order in which they ran."""
    stages: dict[str, None] = {}
    if not metrics.exists():
        return []
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line, cut short while it is being written
        if TOTAL in record:
            stages.setdefault(record.get("stage", ""))
    return list(stages)


def run_curve(run: Path, validated: str = "acc") -> dict[str, dict[str, dict[str, Line]]]:
    """{stage: {"rewards": {term: {step: mean}}, "accuracy": {name: {step: share}}}}.

    "total" is a term among the others.
    validated  conf.validation.metric, what the score of validation is: "acc", or "reward", one of the rewards
    Raises UserError where no step of reinforcement was logged.
    """
    metrics = run / "metrics.jsonl"
    curve = {}
    for stage in reinforced_stages(metrics):
        steps = read_metrics(metrics, stage)
        rewards, accuracy = {TOTAL: "total"}, {ACCURACY: "training rollouts"}
        for figures in steps.values():
            for term in filter(None, map(_TERM.fullmatch, figures)):
                rewards[term[0]] = term[1]
        (accuracy if validated == "acc" else rewards)[VALIDATION] = "validation"
        curve[stage] = {"rewards": _lines(steps, rewards), "accuracy": _lines(steps, accuracy)}
    if not curve:
        raise UserError(
            f"{metrics} holds no step with rewards: no stage of reinforcement has run in this folder."
        )
    return curve


def run_table(curve: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): of each line its first and last value and the best."""
    body = []
    for stage, kinds in curve.items():
        for kind in KINDS:
            for name, line in kinds[kind].items():
                body.append([stage, name] + _line_cells(line))
    return ["Stage", "Line", "Steps", "First", "Last", "Highest"], body


def draw_run(curve: Mapping[str, Mapping]):
    """The figure: reward terms on the left, accuracies on the right; a thin line where a stage begins."""
    figure, axes = canvas(10, 3.6, columns=2)
    for axis, kind in zip(axes, KINDS, strict=True):
        names: list[str] = []
        start = 0
        for stage, kinds in curve.items():
            if len(curve) > 1:
                axis.axvline(start, color="#999999", linewidth=0.8)
                axis.annotate(
                    stage, (start, 1.0), xycoords=axis.get_xaxis_transform(), xytext=(2, -2),
                    textcoords="offset points", fontsize=7, va="top", rotation=90,
                )  # fmt: skip
            for name, line in kinds[kind].items():
                label = None
                if name not in names:
                    names.append(name)
                    label = name
                colour = COLOURS[names.index(name) % len(COLOURS)]
                _plot(axis, line, start, colour, label, linewidth=2 if name == "total" else 1.2)
            lines = list(kinds["rewards"].values()) + list(kinds["accuracy"].values())
            start += max(map(max, lines))
        _finish(axis, KINDS[kind], 8 if names else None)
    return figure


def compared_curves(runs: Sequence[Run]) -> dict[str, dict[str, Line]]:
    """{run: {"rollouts" | "validation" | "bleu": {step: value}}} of each run's last stage.

    run         named by what tells it apart
    validation  only of runs whose validation is accuracy (conf.validation.metric)
    bleu        the recitation term divided by its delta, so that rewarded and punished runs are on one scale;
                of runs that have the term. A term clipped at -1 hides a BLEU above 1/|delta|.
    Raises UserError where no run has logged a step with rewards.
    """
    distinguishing = distinguishing_settings(runs, differing_settings(runs))
    curves: dict[str, dict[str, Line]] = {}
    for run in runs:
        metrics = run.path / "metrics.jsonl"
        stages = reinforced_stages(metrics)
        if not stages:
            continue
        names = {ACCURACY: "rollouts"}
        if run.settings.get("conf.validation.metric", "acc") == "acc":
            names[VALIDATION] = "validation"
        delta = run.settings.get("conf.rewards.terms.recitation.delta")
        if delta:
            names[RECITATION] = "bleu"
        lines = _lines(read_metrics(metrics, stages[-1]), names)
        for step, term in lines.get("bleu", {}).items():
            lines["bleu"][step] = term / float(delta)
        label = settings_text(run, distinguishing) or run.path.name
        curves[f"{label} ({run.path.name})" if label in curves else label] = lines
    if not curves:
        raise UserError(
            f"None of the {len(runs)} runs has logged a step with rewards: no stage of reinforcement has run."
        )
    return curves


def compared_table(curves: Mapping[str, Mapping[str, Line]]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): of each line its steps, first, last, highest value and first step at 95 % of that."""
    body = []
    for run, lines in curves.items():
        for name, line in lines.items():
            goal = 0.95 * max(line.values())
            reached = min(step for step, value in line.items() if value >= goal)
            body.append([run, PANELS[name]] + _line_cells(line) + [str(reached)])
    return ["Run", "Line", "Steps", "First", "Last", "Highest", "Step of 95 %"], body


def draw_compared(curves: Mapping[str, Mapping[str, Line]]):
    """The figure: a panel a quantity, a line a run, the same colour in each panel."""
    shown = [name for name in PANELS if any(name in lines for lines in curves.values())]
    figure, axes = canvas(4.6 * len(shown), 3.6, columns=len(shown), squeeze=False)
    for axis, name in zip(axes[0], shown, strict=True):
        for number, (run, lines) in enumerate(curves.items()):
            if name in lines:
                _plot(axis, lines[name], 0, COLOURS[number % len(COLOURS)], run)
        _finish(axis, PANELS[name], 7)
    return figure


def _lines(steps: Mapping[int, Mapping], names: Mapping[str, str]) -> dict[str, Line]:
    """{name: {step: value}} of the metrics {key: name} that any step has."""
    lines = {}
    for key, name in names.items():
        line = {step: figures[key] for step, figures in steps.items() if key in figures}
        if line:
            lines[name] = line
    return lines


def _line_cells(line: Line) -> list[str]:
    values = (line[min(line)], line[max(line)], max(line.values()))
    return [str(len(line))] + [f"{value:.3f}" for value in values]


def _plot(axis, line: Line, start: int, colour: str, label: str | None, **style) -> None:
    """Draw a line whose first stage step stands at `start`, with a mark a step where there are few."""
    steps = sorted(line)
    marks = "o-" if len(line) < 30 else "-"
    values = [line[step] for step in steps]
    axis.plot(
        [start + step for step in steps], values, marks, markersize=3, color=colour, label=label, **style
    )


def _finish(axis, title: str, legend_size: int | None) -> None:
    axis.set(xlabel="step", ylabel=title)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(axis="y", alpha=0.3)
    if legend_size:
        axis.legend(frameon=False, fontsize=legend_size)
