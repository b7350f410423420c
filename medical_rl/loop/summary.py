"""The loop as a run's pipeline runs it.

Each step a stage, its figures from the manifest, the outcome in loop.json.
"""

import json
from collections.abc import Callable, Mapping

from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medical_rl.loop.plan import reward_model_before, round_stage, split_stage
from medical_rl.loop.rounds import run_rounds
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder

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
SELECT_FIGURES = ("candidates", "kept", "added", "total", "errors_generated", "errors_kept")
LEGEND = (
    "Wrong: share of generated and of kept triplets whose answer or reasoning is untrue, where the "
    "generator knows (template only). Spearman: R_phi's scores with the grades of held-out responses. Probe "
    "gap: R_phi's mean of true responses minus that of the wrong probe it likes best, in grades; small is "
    "exploitable. Val.: accuracy on the validation split, by rule."
)


def run_loop(config: DictConfig, folder: RunFolder, console: Console, do: Callable[[str], None]) -> dict:
    """Run every round until the stop rule ends it, print the table; return the outcome, also in loop.json."""
    loop = OmegaConf.to_container(config.conf.loop, resolve=True)

    def announce_and_do(stage: str) -> None:
        round_, step = split_stage(stage)
        if step == loop["steps"][0]:
            console.rule(f"round {round_} of {loop['rounds']}", align="left")
        do(stage)

    outcome = run_rounds(loop, announce_and_do, lambda round_: round_figures(folder, round_, loop))
    write_json(folder.path / FILE, outcome)
    console.print(rounds_table(outcome))
    if outcome["stopped"]:
        console.print(
            f"The loop ended early: {outcome['stopped']}. Kept: {outcome['best'] or 'no policy'}.",
            style="yellow",
        )
    return outcome


def read_outcome(folder: RunFolder) -> dict | None:
    """The loop's outcome as loop.json has it; None before the loop has ended once."""
    path = folder.path / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def round_figures(folder: RunFolder, round_: int, loop: Mapping) -> dict:
    """What the manifest says of a round; None for what is not known."""
    stages = folder.manifest()["stages"]
    sources = {
        round_stage(round_, "select"): SELECT_FIGURES,
        reward_model_before(round_, loop): ("spearman", "mae", "probe_gap"),
        round_stage(round_, "rl"): ("accuracy_before", "accuracy", "learned_before", "learned"),
    }
    figures = {}
    for stage, names in sources.items():
        known = stages.get(stage, {}).get("figures", {})
        for name in names:
            figures["generated" if name == "candidates" else name] = known.get(name)
    return figures


def rounds_table(outcome: Mapping) -> Table:
    """One row a round, 80 columns wide; figures that no round has are left out."""
    rounds = outcome["rounds"]
    table = Table(
        title=Text("The loop, by round"),
        caption=Text(LEGEND),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
        show_edge=False,
    )
    cells: list[list[str]] = [[] for _ in rounds]
    for name, heading in COLUMNS.items():
        values = [row.get(name) for row in rounds]
        if values.count(None) == len(values):
            continue
        table.add_column(heading, justify="right", no_wrap=True)
        for row, value in zip(cells, values, strict=True):
            row.append(_cell(name, value))
    for row, figures in zip(cells, rounds, strict=True):
        if figures["round"] == outcome["best_round"] and len(rounds) > 1:
            row[0] += "*"
        table.add_row(*row)
    return table


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
