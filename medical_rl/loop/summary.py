"""The figures of every round: read off the manifest, kept in loop.json, shown as a table.

The loop as a run's pipeline runs it: each step a stage, its figures from the manifest, the outcome in loop.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medical_rl.loop import plan
from medical_rl.loop.rounds import run_rounds
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage, stage_of

FILE = "loop.json"
# Figure -> heading, in the order shown.
COLUMNS = {
    "round": "Round",
    "generated": "Gene-\nrated",
    "kept": "Kept",
    "errors_generated": "Wrong,\ngen.",
    "errors_kept": "Wrong,\nkept",
    "total": "D_gen",
    "spearman": "R_phi\nSpear-\nman",
    "probe_gap": "Probe\ngap",
    "accuracy_before": "Val.\nafter\nSFT",
    "accuracy": "Val.\nafter\nGRPO",
    "learned": "R_phi of\nits ans-\nwers",
}
LEGEND = (
    "Wrong: share of generated and of kept triplets whose answer or reasoning is untrue, where the generator knows (template only). "
    "Spearman: R_phi's scores with the grades of held-out responses. Probe gap: R_phi's mean of true responses minus that of the "
    "wrong probe it likes best, in grades; small is exploitable. Val.: accuracy on the validation split, by rule."
)


def of_round(folder: RunFolder, round_: int, loop: Mapping) -> dict:
    """What the manifest says of a round; None for what is not known."""
    stages = folder.manifest()["stages"]

    def figures(stage: str) -> dict:
        return stages.get(stage, {}).get("figures", {})

    select, rl = figures(stage_of(round_, "select")), figures(stage_of(round_, "rl"))
    rater = figures(plan.judge_of(round_, loop))
    return {
        "generated": select.get("candidates"),
        "kept": select.get("kept"),
        "added": select.get("added"),
        "total": select.get("total"),
        "errors_generated": select.get("errors_generated"),
        "errors_kept": select.get("errors_kept"),
        **{name: rater.get(name) for name in ("spearman", "mae", "probe_gap")},
        **{name: rl.get(name) for name in ("accuracy_before", "accuracy", "learned_before", "learned")},
    }


def read_outcome(folder: RunFolder) -> dict | None:
    """The loop's outcome as loop.json has it; None before the loop has ended once."""
    path = folder.path / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(outcome: Mapping) -> Table:
    """One row a round, 80 columns wide; figures that no round has are left out."""
    rows = outcome["rounds"]
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    made = Table(
        title=Text("The loop, by round"), caption=Text(LEGEND), title_justify="left", caption_justify="left",
        box=SIMPLE_HEAD, padding=0, collapse_padding=True, show_edge=False,
    )  # fmt: skip
    for name in shown:
        made.add_column(COLUMNS[name], justify="right", no_wrap=True)
    for row in rows:
        mark = "*" if row["round"] == outcome["best_round"] and len(rows) > 1 else ""
        made.add_row(*(_cell(name, row.get(name)) + (mark if name == "round" else "") for name in shown))
    return made


def _cell(name: str, value) -> str:
    """A figure as it is shown.

    >>> _cell("kept", 312), _cell("spearman", 0.9512), _cell("learned", None)
    ('312', '0.951', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if name in ("learned", "probe_gap") else f"{value:.3f}"


def run_loop(config: DictConfig, folder: RunFolder, console: Console, do: Callable[[str], None]) -> dict:
    """The loop's outcome, also in loop.json, after every round was run or the stop rule ended it; prints its table."""
    loop = OmegaConf.to_container(config.conf.loop, resolve=True)

    def announced(stage: str) -> None:
        round_, step = split_stage(stage)
        if step == loop["steps"][0]:
            console.rule(f"round {round_} of {loop['rounds']}", align="left")
        do(stage)

    outcome = run_rounds(loop, announced, lambda round_: of_round(folder, round_, loop))
    write_json(folder.path / FILE, outcome)
    console.print(table(outcome))
    if outcome["stopped"]:
        console.print(
            f"The loop ended early: {outcome['stopped']}. Kept: {outcome['best'] or 'no policy'}.",
            style="yellow",
        )
    return outcome
