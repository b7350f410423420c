"""."""

from __future__ import annotations


def split_stage(stage: str) -> tuple[int | None, str]:
    """(round, step) of a stage's name; the round is None outside the loop.

    >>> place("round_2/rl"), place("prepare")
    ((2, 'rl'), (None, 'prepare'))
    """
    head, _, step = stage.rpartition("/")
    return (int(head.removeprefix("round_")) if head else None), step


def stage_of(round_: int, step: str) -> str:
    """The stage's name: round_2/rl."""
    return f"round_{round_}/{step}"
