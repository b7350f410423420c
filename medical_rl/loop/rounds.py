"""Algorithm 1 as a loop over steps: when it ends early, which policy is kept, and how a run's pipeline runs it.

All is decided by the rounds' validation figures, from the manifest; the outcome is in loop.json.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medical_rl.loop.plan import EVOLVING, policy_steps, reward_model_before, round_stage, split_stage, steps
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder

# R_phi's scores span 16 grades, from -6 to 10; a share of that is comparable with an accuracy.
SPAN = 16.0
FILE = "loop.json"
# Figure -> heading, in the order shown.
ROUND_COLUMNS = {
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
    "Wrong: share of generated and of kept triplets whose answer or reasoning is untrue, where the "
    "generator knows (template only). Spearman: R_phi's scores with the grades of held-out responses. Probe "
    "gap: R_phi's mean of true responses minus that of the wrong probe it likes best, in grades; small is "
    "exploitable. Val.: accuracy on the validation split, by rule, answers read strictly."
)


def run_rounds(loop: Mapping, do: Callable[[str], None], figures: Callable[[int], dict]) -> dict:
    """Run the rounds; return {"rounds": [figures], "best_round", "best": stage, "stopped": reason}.

    `stopped` is None where all were run, and `best` is the stage whose policy validated
    best, None where no step trains one.

    loop     conf.loop: rounds, steps, evolve_last, stop
    do       runs a step by its name, `round_1/generate`; one that is done returns at once
    figures  what is known of a round: validation accuracy before and after RL, R_phi on the same responses

    A later round in which nothing new is kept ends the loop at once. The stop rule is asked once a round's
    policy is trained, before anything is spent on the next round.
    """
    history: list[dict] = []
    stopped = None
    for round_ in range(1, int(loop["rounds"]) + 1):
        evolving = []
        for step in steps(round_, loop):
            if step in EVOLVING:
                evolving.append(step)
                continue
            do(round_stage(round_, step))
            if step == "select" and history and figures(round_).get("added") == 0:
                stopped = f"R_phi kept nothing new in round {round_}, so that there is nothing to learn from"
                break
        if stopped is None:
            history.append({"round": round_, **figures(round_)})
            stopped = reason_to_stop(history, loop["stop"])
        if stopped is not None:
            break
        for step in evolving:
            do(round_stage(round_, step))
    best_round, step = best_policy(history, policy_steps(loop))
    best = round_stage(best_round, step) if step else None
    return {"rounds": history, "best_round": best_round, "best": best, "stopped": stopped}


def best_policy(history: Sequence[Mapping], trained: Sequence[str]) -> tuple[int, str]:
    """(round, step) of the policy that validated best: GRPO may have made a round's warm start worse.

    history  a dict a round: round, accuracy_before (the warm start's) and accuracy (after GRPO), None where
             unknown
    trained  which of warm_start and rl a round has, in order

    Of equal ones the later; the last there is where none was validated.
    """
    names = {"warm_start": "accuracy_before", "rl": "accuracy"}
    best = history[-1]["round"], trained[-1] if trained else ""
    highest = None
    for row in history:
        for step in trained:
            accuracy = row.get(names[step])
            if accuracy is not None and (highest is None or accuracy >= highest):
                highest, best = accuracy, (row["round"], step)
    return best


def reason_to_stop(history: Sequence[Mapping], rule: Mapping) -> str | None:
    """Why the loop ends after its newest round; None to go on.

    history  a dict a round: accuracy and accuracy_before (validation, by rule, after and before RL), learned
             and learned_before (R_phi's mean on the same responses, in grades); None where unknown
    rule     accuracy_drop  the newest accuracy may be this much below the best earlier one; null never stops
             drift          R_phi may have gained this much more in RL, as a share of its 16 grades, than the
                            accuracy did; more is reward hacking; null never stops
    """
    newest, drop, drift = history[-1], rule.get("accuracy_drop"), rule.get("drift")
    earlier = [row["accuracy"] for row in history[:-1] if row.get("accuracy") is not None]
    if None not in (drop, newest.get("accuracy")) and earlier and max(earlier) - newest["accuracy"] > drop:
        return (
            f"the held-out accuracy fell in round {newest['round']}: {newest['accuracy']:.3f} after "
            f"{max(earlier):.3f}; allowed {drop:g} less"
        )
    figures = [newest.get(name) for name in ("accuracy", "accuracy_before", "learned", "learned_before")]
    if drift is None or None in figures:
        return None
    accuracy, learned = figures[0] - figures[1], figures[2] - figures[3]
    if learned / SPAN - accuracy <= drift:
        return None
    return (
        f"R_phi and the rule-based accuracy drift apart in round {newest['round']}: R_phi {learned:+.2f} "
        f"grades ({learned / SPAN:+.3f} of its span), accuracy {accuracy:+.3f}; allowed {drift:g} more"
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
        round_stage(round_, "select"): (
            "candidates",
            "kept",
            "added",
            "total",
            "errors_generated",
            "errors_kept",
        ),
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
        title=Text("The loop, by round"), caption=Text(LEGEND), title_justify="left", caption_justify="left",
        box=SIMPLE_HEAD, padding=0, collapse_padding=True, show_edge=False,
    )  # fmt: skip
    shown = [name for name in ROUND_COLUMNS if any(row.get(name) is not None for row in rounds)]
    for name in shown:
        table.add_column(ROUND_COLUMNS[name], justify="right", no_wrap=True)
    for figures in rounds:
        cells = [_cell(name, figures.get(name)) for name in shown]
        if figures["round"] == outcome["best_round"] and len(rounds) > 1:
            cells[0] += "*"
        table.add_row(*cells)
    return table


def _cell(name: str, value) -> str:
    """A figure as it is shown: 312, 0.951, –."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if name in ("learned", "probe_gap") else f"{value:.3f}"
