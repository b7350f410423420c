"""One HTTP attempt by the `openai` client over aiohttp: a body in, an `Attempt` out, no exception.

The client owns address, authorisation and the meaning of statuses; aiohttp carries the bytes, as its
connections cost a third of httpx's time a call. Nothing of a request or response but what is named here
leaves this file: no header, no key.
"""

import asyncio
import dataclasses
import json
import re

from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.requests.retry import is_retried, retry_after

KEEP_ALIVE_S = 30.0
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
        """Nothing is opened before the first call."""
        self.endpoint = endpoint
        self.address = endpoint.base_url.rstrip("/") + "/chat/completions"
        self._key = self._lifetime = None

    def __repr__(self) -> str:
        return f"Connection({self.address})"

    async def send(self, body: bytes) -> Attempt:
        """The attempt of one request; at most `timeout_s` long, a trickling answer included.

        Raises UserError if the endpoint's key is not in the environment.
        """
        import httpx2
        import openai

        client = await self._client()
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                response = await client.post(self.address, cast_to=httpx2.Response, content=body)
        except openai.APIStatusError as error:
            return self._refused(error)
        except (TimeoutError, openai.APIConnectionError) as error:
            return self._unanswered(_deepest_cause(error))
        return _read(response.content)

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
        """The attempt of a request that no response came to. The SDK calls a refused connection a time-out."""
        if isinstance(cause, TimeoutError):
            return Attempt(
                error="timeout", message=f"no answer within {self.endpoint.timeout_s:g} s", again=True
            )
        why = self._without_keys(f"{type(cause).__name__}: {cause}")
        message = f"{self.endpoint.base_url} cannot be reached: {why}"
        return Attempt(error="connection", message=message, again=True)

    def _without_keys(self, text: str) -> str:
        """`text` with this endpoint's key, and whatever looks like one, blotted out."""
        return _KEYS.sub("***", text.replace(self._key, "***") if self.endpoint.api_key_env else text)


def _deepest_cause(error: BaseException) -> BaseException:
    """The first time-out in the chain of errors that `error` was raised from, else the one it began with."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error


def _read(content: bytes) -> Attempt:
    """The attempt of a successful response's body: its text and usage, or "garbage" if it holds none."""
    usage = {}
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        for name, count in (body.get("usage") or {}).items():
            if name in ("prompt_tokens", "completion_tokens") and count is not None:
                usage[name] = int(count)
        cut = choice.get("finish_reason") == "length"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return Attempt(error="garbage", message=f"no chat completion: {type(error).__name__}", again=True)
    if not isinstance(text, str):
        message = "the answer has no text (a refusal, or thoughts alone)"
        return Attempt(error="garbage", message=message, again=True, **usage)
    if cut:
        return Attempt(error="garbage", message="the answer was cut at max_tokens", again=True, **usage)
    return Attempt(text=text, **usage)
