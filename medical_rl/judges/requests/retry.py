"""Which failed attempts are tried again, and when: exponential waits, never before a Retry-After."""

import email.utils
import math
import random
import time
from collections.abc import Mapping

# An endpoint that wants a longer pause than this is down, as far as a training step is concerned.
LONGEST_S = 120.0
RETRIED = (408, 409, 425, 429)


def is_retried(status: int) -> bool:
    """True for a status that another attempt may mend: 408, 409, 425, 429 and all 5xx.

    >>> list(filter(is_retried, (400, 401, 404, 408, 429, 500, 503)))
    [408, 429, 500, 503]
    """
    return status in RETRIED or status >= 500


def why_given_up(
    again: bool, attempts: int, max_attempts: int, after_s: float | None, waiting: int
) -> str | None:
    """Why a failed question gets no further attempt; None if it gets one.

    again     another attempt may mend it
    after_s   seconds the endpoint asks to wait before that
    waiting   askers who have not gone away
    """
    if not again:
        return "another attempt would not mend it"
    if attempts >= max_attempts:
        return f"given up after {attempts} attempts"
    if after_s is not None and after_s > LONGEST_S:
        return f"it asks to wait {after_s:.0f} s"
    return None if waiting else "nobody waits for it any more"


def backoff(attempt: int, first_s: float, after_s: float | None = None) -> float:
    """Seconds before the attempt after `attempt` (1, 2, ...): `first_s` doubled each time, with jitter.

    At least `after_s`, plus up to a tenth, so that those who were told the same do not come back at once.

    >>> 2.0 <= backoff(3, 1.0) <= 4.0 and 30.0 <= backoff(1, 1.0, after_s=30.0) <= 33.0
    True
    """
    wait = min(LONGEST_S, first_s * 2 ** min(attempt - 1, 20)) * random.uniform(0.5, 1.0)
    return wait if after_s is None else max(wait, after_s * random.uniform(1.0, 1.1))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the endpoint asks to wait, from seconds or an HTTP date; None for none or nonsense.

    >>> retry_after({"retry-after": "7"})
    7.0
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=15.0)
    45.0
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) * scale
        except ValueError:
            date = email.utils.parsedate_tz(value)
            if date is None:
                continue
            seconds = email.utils.mktime_tz(date) - (time.time() if now is None else now)
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
