"""Failed reward terms: kept with their reasons, counted, and too many of them end the run.

What a failed term means within a group of samples, so that an outage neither rewards nor punishes any of them.

`results` are those of `Mix.score`, `groups` the group of each: the samples of one prompt, whose rewards are compared.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medical_rl.errors import RewardFailed
from medical_rl.sample import Sample

BUDGET = "BudgetMet"  # the class of judges.client's failure: named, not imported, so that mixes without a judge stay light


class FailureLog:
    """Lines {"time", "term", "id", "kind", "reason"} in one file that all reward workers of a run append to."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def of_run(cls, run_dir: str | Path) -> FailureLog:
        """The log of a run folder: logs/reward_failures.jsonl."""
        return cls(Path(run_dir) / "logs" / "reward_failures.jsonl")

    def add(self, term: str, sample: Sample, error: RewardFailed) -> None:
        """None; appends one line in one write, so that lines of several processes do not mix."""
        record = {"time": round(time.time(), 3), "term": term, "id": sample.id, "kind": type(error).__name__}
        line = json.dumps(record | {"reason": str(error)[:500]}, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def last(self, term: str) -> dict:
        """The newest record of a term, {} where there is none."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 200_000))
            lines = file.read().decode(errors="replace").splitlines()
        for line in reversed(lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the first line may be cut by the seek
            if record.get("term") == term:
                return record
        return {}


class TooManyFailures(RuntimeError):
    """More rewards failed than the mix allows, or the judge's budget was met: the run stops and can be resumed."""


class Watch:
    """Looks at each step's results and stops the run where a term failed for too large a share of samples.

    The share is taken over the last steps of at least WINDOW samples, so that one garbled judgement does not end a
    run of small steps. Where the judge's budget was met, the run pauses at once, or (`on_met` "continue") goes on
    without the term, and those failures are not held against the rate.
    """

    WINDOW = 32

    def __init__(self, mix, log: FailureLog, on_met: str = "pause"):
        self.mix, self.log, self.on_met = mix, log, on_met
        self.seen: dict[str, deque[float]] = {name: deque() for name in mix.terms}

    def see(self, results: Sequence[Mapping[str, float]]) -> None:
        """None; TooManyFailures, with the newest reason, where the run must stop."""
        for name, seen in self.seen.items():
            met = sum(r.get(f"{name}/budget", 0.0) for r in results)
            if met and self.on_met == "pause":
                raise TooManyFailures(self._pause(name))
            flags = [r[f"{name}/failed"] for r in results if not r.get(f"{name}/budget")]
            seen.extend(flags)
            while len(seen) > max(self.WINDOW, len(flags)):
                seen.popleft()
            rate = sum(seen) / max(len(seen), self.WINDOW)
            if rate > self.mix.max_failure_rate:
                raise TooManyFailures(self._said(name, sum(seen) / len(seen), "of the last samples"))

    def see_means(self, metrics: Mapping[str, float]) -> None:
        """None; the same for a validation, of which verl gives means alone."""
        for name in self.mix.terms:
            rates = [v for k, v in metrics.items() if f"/{name}/failed/mean@" in k]
            met = [v for k, v in metrics.items() if f"/{name}/budget/mean@" in k]
            if any(met) and self.on_met == "pause":
                raise TooManyFailures(self._pause(name))
            rate = max(rates, default=0.0) - (max(met, default=0.0) if self.on_met == "continue" else 0.0)
            if rate > self.mix.max_failure_rate:
                raise TooManyFailures(self._said(name, rate, "of the validation's samples"))

    def _pause(self, name: str) -> str:
        reason = self.log.last(name).get("reason", "the judge's budget is met.")
        return (
            f"The run pauses: {reason} Raise conf.judge.budget and give the same command again to go on from the last saved "
            "step, or choose conf.judge.on_met=continue to go on without the term."
        )

    def _said(self, name: str, rate: float, of_what: str) -> str:
        return (
            f"The reward term {name} failed for {rate:.0%} {of_what}, more than conf.rewards.max_failure_rate="
            f"{self.mix.max_failure_rate:g} allows. The last reason: {self.log.last(name).get('reason', 'none was recorded')} "
            f"All are in {self.log.path}. The same command resumes from the last saved step."
        )


def at_group_means(
    results: Sequence[Mapping[str, float]], groups: Sequence[str], weights: Mapping[str, float]
) -> list[dict[str, float]]:
    """`results` with each failed term at its mean over the group's other samples; their totals are the caller's.

    A term that failed in the whole group stays failed.
    """
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    for result, group in zip(results, groups, strict=True):
        for name in weights:
            if not result[f"{name}/failed"]:
                means[group, name].append(result[name])
    mended = []
    for result, group in zip(results, groups, strict=True):
        new = dict(result)
        for name, weight in weights.items():
            known = means[group, name]
            if result[f"{name}/failed"] and known:
                value = sum(known) / len(known)
                new |= {name: value, f"{name}/weighted": weight * value, f"{name}/failed": 0.0}
        mended.append(new)
    return mended


def out_of_groups(
    results: Sequence[Mapping[str, float]], groups: Sequence[str], terms: Iterable[str]
) -> list[bool]:
    """Which samples take no part in their groups.

    Those with a failed term that others of the group have (a term that failed in the whole group is left out
    of it), and then a sample left alone: with nobody to be compared with, its own reward would be its advantage.
    """
    terms = tuple(terms)
    known = {(g, n) for r, g in zip(results, groups, strict=True) for n in terms if not r[f"{n}/failed"]}
    out = [
        any(result[f"{name}/failed"] and (group, name) in known for name in terms)
        for result, group in zip(results, groups, strict=True)
    ]
    left = Counter(group for group, lost in zip(groups, out, strict=True) if not lost)
    full = Counter(groups)
    return [lost or (left[group] == 1 < full[group]) for group, lost in zip(groups, out, strict=True)]
