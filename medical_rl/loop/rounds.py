"""Algorithm 1 as a loop over steps that are passed in, when it ends early, and which policy is kept.

Nothing here needs an engine: all is decided by the rounds' validation figures.
"""

from collections.abc import Callable, Mapping, Sequence

from medical_rl.loop.plan import EVOLVING, policy_steps, round_stage, steps

# R_phi's scores span 16 grades, from -6 to 10; a share of that is comparable with an accuracy.
SPAN = 16.0


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

    >>> rounds = [{"round": 1, "accuracy_before": 0.9, "accuracy": 0.8},
    ...           {"round": 2, "accuracy_before": 0.7, "accuracy": 0.85}]
    >>> best_policy(rounds, ["warm_start", "rl"]), best_policy(rounds, ["rl"])
    ((1, 'warm_start'), (2, 'rl'))
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

    >>> figures = {"round": 1, "accuracy": 0.5, "accuracy_before": 0.6, "learned": 9.0, "learned_before": 3.0}
    >>> rule = {"accuracy_drop": 0.05, "drift": 0.2}
    >>> print(reason_to_stop([figures], rule))  # doctest: +NORMALIZE_WHITESPACE
    R_phi and the rule-based accuracy drift apart in round 1: R_phi +6.00 grades (+0.375 of its span),
    accuracy -0.100; allowed 0.2 more
    """
    return _accuracy_fell(history, rule.get("accuracy_drop")) or _drifted(history[-1], rule.get("drift"))


def _accuracy_fell(history: Sequence[Mapping], allowed: float | None) -> str | None:
    newest = history[-1]
    earlier = [row["accuracy"] for row in history[:-1] if row.get("accuracy") is not None]
    if allowed is None or not earlier or newest.get("accuracy") is None:
        return None
    if max(earlier) - newest["accuracy"] <= allowed:
        return None
    return (
        f"the held-out accuracy fell in round {newest['round']}: {newest['accuracy']:.3f} after "
        f"{max(earlier):.3f}; allowed {allowed:g} less"
    )


def _drifted(newest: Mapping, allowed: float | None) -> str | None:
    figures = [newest.get(name) for name in ("accuracy", "accuracy_before", "learned", "learned_before")]
    if allowed is None or None in figures:
        return None
    accuracy, learned = figures[0] - figures[1], figures[2] - figures[3]
    if learned / SPAN - accuracy <= allowed:
        return None
    return (
        f"R_phi and the rule-based accuracy drift apart in round {newest['round']}: R_phi {learned:+.2f} "
        f"grades ({learned / SPAN:+.3f} of its span), accuracy {accuracy:+.3f}; allowed {allowed:g} more"
    )
