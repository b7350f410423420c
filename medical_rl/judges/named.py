"""What the judges' client says of its settings, in the words of those who have a client of their own (generators, labellers)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from medical_rl.errors import UserError


@contextlib.contextmanager
def named_as(group: str) -> Iterator[None]:
    """A UserError raised inside names `<group>.service` where it named conf.judge, and `<group>.max_failed`.

    >>> with named_as("conf.generator"):
    ...     raise UserError("conf.judge.limits is wrong.")
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: conf.generator.service.limits is wrong.
    """
    try:
        yield
    except UserError as error:
        said = str(error).replace("; conf/judge=local does", "").replace("conf.judge", f"{group}.service")
        raise type(error)(said.replace("conf.rewards.max_failure_rate", f"{group}.max_failed")) from error
