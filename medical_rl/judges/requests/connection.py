"""One HTTP attempt by the `openai` client over aiohttp: a body in, an `Attempt` out, no exception.

The client owns address, authorisation and the meaning of statuses; aiohttp carries the bytes, as its
connections cost a third of httpx's time a call. Nothing of a request or response but what is named here
leaves this file: no header, no key. A failed attempt is tried again after exponential waits, never before a
Retry-After.
"""

import asyncio
import dataclasses
import email.utils
import json
import math
import random
import re
import time
from collections.abc import Mapping

from medical_rl.judges.endpoint import Endpoint

KEEP_ALIVE_S = 30.0
# An endpoint that wants a longer pause than this is down, as far as a training step is concerned.
LONGEST_S = 120.0
RETRIED = (408, 409, 425, 429)
MOST_TOKENS = 10**9  # no reply has more: a larger count is nonsense, and sqlite cannot keep it
_KEYS = re.compile(r"\b(sk|pk|key|Bearer|AIza)[-_ ]?[A-Za-z0-9_\-]{8,}")


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What one request came to.

    text     the answer's text; None if it failed
    error    "429", "500", "timeout", "connection", "garbage", ...; None if it did not fail
    message  what the endpoint said about it, without keys
    again    True if another attempt may mend it
    after_s  seconds the endpoint asks to wait before that
    """

    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    message: str = ""
    again: bool = False
    after_s: float | None = None


class Connection:
    """The HTTP connections of one event loop; closed when the loop ends."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint  # nothing is opened before the first call
        self.address = endpoint.base_url.rstrip("/") + "/chat/completions"
        self._key = self._lifetime = None

    def __repr__(self) -> str:
        return f"Connection({self.address})"

    async def send(self, body: bytes) -> Attempt:
        """The attempt of one request; at most `timeout_s` long, a trickling answer included.

        Raises UserError if the endpoint's key is not in the environment.
        """
        import aiohttp
        import httpx2
        import openai

        client = await self._client()
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                response = await client.post(self.address, cast_to=httpx2.Response, content=body)
        except openai.APIStatusError as error:
            return self._refused(error)
        except (TimeoutError, openai.APIConnectionError, aiohttp.ClientError) as error:
            while error.__cause__ is not None and not isinstance(error, TimeoutError):
                error = error.__cause__
            return self._unanswered(error)
        attempt = _read(response.content)
        if attempt.text and self.endpoint.api_key_env:  # answers are kept in files
            attempt = dataclasses.replace(attempt, text=attempt.text.replace(self._key, "***"))
        return attempt

    async def _client(self):
        """The openai client of this event loop, made at the first call."""
        if self._lifetime is None:
            self._key = self.endpoint.api_key()
            self._lifetime = self._open_client()
            self._opened = await anext(self._lifetime)
        return self._opened

    async def _open_client(self):
        """Yield the client, and close it when the event loop shuts its asynchronous generators down."""
        import httpx2
        import openai

        settings = {"base_url": self.endpoint.base_url, "timeout": self.endpoint.timeout_s, "max_retries": 0}
        # The desk limits concurrency, so the connections are not counted again (0; None would be aiohttp's
        # own 100).
        # A redirect is a failed attempt: the key and a row's images go to the configured address alone.
        http_client = openai.DefaultAioHttpClient(
            timeout=self.endpoint.timeout_s,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=0, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=not self.endpoint.local,  # a cluster's proxy would see what may not leave the house
        )
        client = openai.AsyncOpenAI(api_key=self._key, http_client=http_client, **settings)
        try:
            yield client
        finally:
            await client.close()

    def _refused(self, error) -> Attempt:
        """The attempt of a status that is no success."""
        status = error.status_code
        message = self._without_keys(str(error.message))[:300]
        if status in (401, 403):  # what it says often repeats the key in part
            variable = self.endpoint.api_key_env or "no variable (api_key_env is null)"
            message = f"{self.endpoint.base_url} refused the key of {variable}"
        wait_s = retry_after(error.response.headers)
        return Attempt(error=str(status), message=message, again=is_retried(status), after_s=wait_s)

    def _unanswered(self, cause: BaseException) -> Attempt:
        """The attempt of a request without a response. The SDK calls a refused connection a time-out."""
        if isinstance(cause, TimeoutError):
            message = f"no answer within {self.endpoint.timeout_s:g} s"
            return Attempt(error="timeout", message=message, again=True)
        why = self._without_keys(f"{type(cause).__name__}: {cause}")[:300]
        message = f"{self.endpoint.base_url} cannot be reached: {why}"
        return Attempt(error="connection", message=message, again=True)

    def _without_keys(self, text: str) -> str:
        """`text` with this endpoint's key, and whatever looks like one, blotted out."""
        return _KEYS.sub("***", text.replace(self._key, "***") if self.endpoint.api_key_env else text)


def _read(content: bytes) -> Attempt:
    """The attempt of a successful response's body: its text and usage, or "garbage" if it holds none."""
    usage = {}
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        told = body.get("usage")
        for name in ("prompt_tokens", "completion_tokens"):
            count = told.get(name) if isinstance(told, dict) else None
            if type(count) is int and 0 <= count <= MOST_TOKENS:  # else it is estimated
                usage[name] = count
        cut = choice.get("finish_reason") == "length"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        return Attempt(error="garbage", message=f"no chat completion: {type(error).__name__}", again=True)
    if not isinstance(text, str):
        message = "the answer has no text (a refusal, or thoughts alone)"
        return Attempt(error="garbage", message=message, again=True, **usage)
    if cut:
        return Attempt(error="garbage", message="the answer was cut at max_tokens", again=True, **usage)
    # half a surrogate pair has no UTF-8, and no file can keep it
    return Attempt(text=text.encode("utf-8", "replace").decode("utf-8"), **usage)


def is_retried(status: int) -> bool:
    """True for a status that another attempt may mend: 408, 409, 425, 429 and all 5xx.

    >>> list(filter(is_retried, (400, 401, 404, 408, 429, 500, 503)))
    [408, 429, 500, 503]
    """
    return status in RETRIED or status >= 500


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
            try:
                seconds = email.utils.mktime_tz(date) - (time.time() if now is None else now)
            except (ValueError, OverflowError):  # a year beyond the calendar
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
