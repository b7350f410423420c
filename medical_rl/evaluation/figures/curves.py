"""Training curves of several runs in one picture: accuracy by step, and how much each recites (VRFT-Aug, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.curve import ACCURACY, stages
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.runs import Run, differing, telling, told
from medical_rl.run.progress import VALIDATION, read_metrics

RECITATION = "reward/recitation/mean"
PANELS = {
    "rollouts": "accuracy of training rollouts",
    "validation": "validation accuracy",
    "bleu": "BLEU(thought, knowledge)",
}


def curves(runs: Sequence[Run]) -> dict[str, dict[str, dict[int, float]]]:
    """{run, by what tells it apart: {"rollouts" | "validation" | "bleu": {step: value}}} of the last stage of reinforcement of each.

    validation  only of runs whose validation is accuracy (conf.validation.metric)
    bleu        the recitation term divided by its delta, so that rewarded and punished runs are on one scale; of runs that have
                the term. A term clipped at -1 hides a BLEU above 1/|delta|.
    UserError where no run has logged a step with rewards.
    """
    names = telling(runs, differing(runs))
    found: dict[str, dict] = {}
    for run in runs:
        ran = stages(run.path / "metrics.jsonl")
        if not ran:
            continue
        steps = read_metrics(run.path / "metrics.jsonl", ran[-1])
        delta = run.settings.get("conf.rewards.terms.recitation.delta")
        keys = {"rollouts": (ACCURACY, 1.0)}
        keys |= (
            {"validation": (VALIDATION, 1.0)}
            if run.settings.get("conf.validation.metric", "acc") == "acc"
            else {}
        )
        keys |= {"bleu": (RECITATION, float(delta))} if delta else {}
        lines = {
            name: {s: of[key] / by for s, of in steps.items() if key in of}
            for name, (key, by) in keys.items()
        }
        label = told(run, names) or run.path.name
        label = f"{label} ({run.path.name})" if label in found else label
        found[label] = {name: line for name, line in lines.items() if line}
    if not found:
        raise UserError(
            f"None of the {len(runs)} runs has logged a step with rewards: no stage of reinforcement has run."
        )
    return found


def table(found: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): of each line its steps, first, last and highest value, and the first step that reached 95 % of the highest."""
    body = [
        [run, PANELS[name], f"{len(line)}", *(f"{v:.3f}" for v in (line[min(line)], line[max(line)], max(line.values()))),
         str(min(s for s, v in line.items() if v >= 0.95 * max(line.values())))]
        for run, of in found.items() for name, line in of.items()
    ]  # fmt: skip
    return ["Run", "Line", "Steps", "First", "Last", "Highest", "Step of 95 %"], body


def draw(found: Mapping[str, Mapping]):
    """The figure: a panel a quantity, a line a run, the same colour in each panel."""
    shown = [name for name in PANELS if any(name in of for of in found.values())]
    figure, axes = canvas(4.6 * len(shown), 3.6, columns=len(shown), squeeze=False)
    for axis, name in zip(axes[0], shown, strict=True):
        for colour, (run, of) in zip(COLOURS * (len(found) // len(COLOURS) + 1), found.items(), strict=False):
            if line := of.get(name):
                steps = sorted(line)
                axis.plot(
                    steps,
                    [line[s] for s in steps],
                    "o-" if len(steps) < 30 else "-",
                    markersize=3,
                    color=colour,
                    label=run,
                )
        axis.set(xlabel="step", ylabel=PANELS[name])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(frameon=False, fontsize=7)
    return figure
