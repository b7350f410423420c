"""Algorithm 1 as a loop over steps that are passed in, so that its logic is tested without an engine.

When the loop ends early, and which policy is kept: pure functions of the rounds' validation figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medical_rl.loop.plan import EVOLVING, POLICIES, steps
from medical_rl.run.stage_names import stage_of


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


# R_phi's scores span 16 grades, from -6 to 10; a share of that is comparable with an accuracy.
SPAN = 16.0


def best_policy(history: Sequence[Mapping], trained: Sequence[str]) -> tuple[int, str]:
    """(round, step) of the policy that validated best: GRPO may have made a round's warm start worse, so both are compared.

    history  a dict a round: round, accuracy_before (the warm start's) and accuracy (after GRPO), None where unknown
    trained  which of warm_start and rl a round has, in order

    Of equal ones the later; the last there is where none was validated.

    >>> rounds = [{"round": 1, "accuracy_before": 0.9, "accuracy": 0.8}, {"round": 2, "accuracy_before": 0.7, "accuracy": 0.85}]
    >>> best_policy(rounds, ["warm_start", "rl"]), best_policy(rounds, ["rl"])
    ((1, 'warm_start'), (2, 'rl'))
    """
    names = {"warm_start": "accuracy_before", "rl": "accuracy"}
    known = [
        (row[names[step]], row["round"], place, step)
        for row in history
        for place, step in enumerate(trained)
        if row.get(names[step]) is not None
    ]
    if not known:
        return history[-1]["round"], trained[-1] if trained else ""
    _, round_, _, step = max(known)
    return round_, step


def reason_to_stop(history: Sequence[Mapping], rule: Mapping) -> str | None:
    """Why the loop ends after its newest round; None to go on.

    history  a dict a round: accuracy and accuracy_before (validation, by rule, after and before RL), learned and
             learned_before (R_phi's mean on the same responses, in grades); None where unknown
    rule     accuracy_drop  the newest accuracy may be this much below the best earlier one; null never stops
             drift          R_phi may have gained this much more in RL, as a share of its 16 grades, than the accuracy did;
                            more is reward hacking; null never stops

    >>> reason_to_stop([{"round": 1, "accuracy": 0.5, "accuracy_before": 0.6, "learned": 9.0, "learned_before": 3.0}],
    ...                {"accuracy_drop": 0.05, "drift": 0.2})
    'R_phi and the rule-based accuracy drift apart in round 1: R_phi +6.00 grades (+0.375 of its span), accuracy -0.100; allowed 0.2 more'
    """
    newest = history[-1]
    earlier = [row["accuracy"] for row in history[:-1] if row.get("accuracy") is not None]
    allowed = rule.get("accuracy_drop")
    if allowed is not None and earlier and newest.get("accuracy") is not None:
        fallen = max(earlier) - newest["accuracy"]
        if fallen > allowed:
            return (
                f"the held-out accuracy fell in round {newest['round']}: {newest['accuracy']:.3f} after {max(earlier):.3f}; "
                f"allowed {allowed:g} less"
            )
    allowed = rule.get("drift")
    known = [newest.get(name) for name in ("accuracy", "accuracy_before", "learned", "learned_before")]
    if allowed is None or None in known:
        return None
    accuracy, learned = known[0] - known[1], known[2] - known[3]
    if learned / SPAN - accuracy > allowed:
        return (
            f"R_phi and the rule-based accuracy drift apart in round {newest['round']}: R_phi {learned:+.2f} grades "
            f"({learned / SPAN:+.3f} of its span), accuracy {accuracy:+.3f}; allowed {allowed:g} more"
        )
    return None
