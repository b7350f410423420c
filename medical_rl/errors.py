"""The exceptions a user of medical_rl can meet, and the exit code of each."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """The user's configuration or data is wrong: one paragraph, exit code 2, no traceback.

    The message says what was asked, what was tried and what is available.
    """

    exit_code = 2


class StageFailed(Exception):
    """A stage ended badly: the message names its log; exit code 1."""

    exit_code = 1


class WrongKind(UserError):
    """A reward term was given a sample of a kind it is not for (MFRS on a label, say)."""


class RewardFailed(Exception):
    """A reward term could not be computed (a judge is down, say): marked failed, never scored.

    This is not for bad model output, which scores 0.
    """


class JudgeFailed(RewardFailed):
    """A judge gave no usable answer: `reason` is a word ("timeout", "429", ...), `message` says more."""

    def __init__(self, reason: str, message: str = ""):
        super().__init__(reason, message)  # both, so that it can be pickled
        self.reason, self.message = reason, message

    def __str__(self) -> str:
        return f"The judge failed ({self.reason}): {self.message}."


class BudgetMet(JudgeFailed):
    """A judge was not asked because a cap of conf.judge.budget is met."""


def exit_code(work: Callable[[], object]) -> int:
    """0 after `work` ended well, 2 after its UserError was printed: how a process of ours ends."""
    try:
        work()
    except UserError as error:
        print(error, file=sys.stderr)
        return UserError.exit_code
    return 0


def unknown(kind: str, asked: str, available) -> UserError:
    """A `UserError` for a name that does not exist, with the nearest and all available ones.

    >>> str(unknown("reward term", "acuracy", ["accuracy", "format"]))
    "There is no reward term 'acuracy'. Did you mean 'accuracy'? Available: accuracy, format."
    """
    import difflib

    names = sorted(map(str, available))
    near = difflib.get_close_matches(str(asked), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"There is no {kind} {asked!r}.{hint} Available: {', '.join(names) or 'none'}.")


def check_known(kind: str, name: str, available) -> None:
    """Raise the `unknown` of a name that is none of those `available`."""
    if name not in available:
        raise unknown(kind, name, available)
