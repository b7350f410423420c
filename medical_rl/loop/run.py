"""The loop as a run's pipeline runs it: each step a stage, its figures from the manifest, the outcome in loop.json."""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from medical_rl.loop import plan, summary
from medical_rl.loop.rounds import run_rounds
from medical_rl.run_folder import RunFolder, write_json


def run_loop(config: DictConfig, folder: RunFolder, console: Console, do: Callable[[str], None]) -> dict:
    """The loop's outcome, also in loop.json, after every round was run or the stop rule ended it; prints its table."""
    loop = OmegaConf.to_container(config.conf.loop, resolve=True)

    def announced(stage: str) -> None:
        round_, step = plan.place(stage)
        if step == loop["steps"][0]:
            console.rule(f"round {round_} of {loop['rounds']}", align="left")
        do(stage)

    outcome = run_rounds(loop, announced, lambda round_: summary.of_round(folder, round_, loop))
    write_json(folder.path / summary.FILE, outcome)
    console.print(summary.table(outcome))
    if outcome["stopped"]:
        console.print(
            f"The loop ended early: {outcome['stopped']}. Kept: {outcome['best'] or 'no policy'}.", style="yellow"
        )
    return outcome
