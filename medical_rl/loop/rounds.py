"""Algorithm 1 as a loop over steps that are passed in, so that its logic is tested without an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medical_rl.loop.plan import EVOLVING, POLICIES, stage_of, steps
from medical_rl.loop.stop import best_policy, reason_to_stop


def run_rounds(loop: Mapping, do: Callable[[str], None], figures: Callable[[int], dict]) -> dict:
    """{"rounds": [figures of each], "best_round": int, "best": stage, "stopped": reason or None} after the rounds were run.

    `best` is the stage whose policy validated best, None where no step trains one.

    loop     conf.loop: rounds, steps, evolve_last, stop
    do       runs a step by its name, `round_1/generate`; one that is done returns at once
    figures  what is known of a round: validation accuracy before and after RL, R_phi on the same responses

    A later round in which nothing new is kept ends the loop at once. The stop rule is asked once a round's policy is trained, before anything is spent on the next round.
    """
    history: list[dict] = []
    stopped = None
    for round_ in range(1, int(loop["rounds"]) + 1):
        wanted = steps(round_, loop)
        for step in (s for s in wanted if s not in EVOLVING):
            do(stage_of(round_, step))
            if step == "select" and history and figures(round_).get("added") == 0:
                stopped = f"R_phi kept nothing new in round {round_}, so that there is nothing to learn from"
                break
        if stopped:
            break
        history.append({"round": round_, **figures(round_)})
        stopped = reason_to_stop(history, loop["stop"])
        if stopped:
            break
        for step in (s for s in wanted if s in EVOLVING):
            do(stage_of(round_, step))
    round_, step = best_policy(history, [s for s in POLICIES if s in loop["steps"]])
    return {
        "rounds": history,
        "best_round": round_,
        "best": stage_of(round_, step) if step else None,
        "stopped": stopped,
    }
