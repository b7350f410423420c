"""One HTTP attempt through the `openai` client, on its cheapest path: a prepared body in, an `Attempt` out, never an exception.

The client owns address, authorisation and the meaning of statuses; aiohttp carries the bytes, as its connections cost a third
of httpx's time a call. Nothing of a request or response but what is named here leaves this file: no header, no key.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import urllib.parse
import urllib.request

from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.requests.retry import is_retried, retry_after

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
        self._key = self._life = None

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
        except (TimeoutError, openai.APITimeoutError):
            return Attempt(
                error="timeout", message=f"no answer within {self.endpoint.timeout_s:g} s", again=True
            )
        except openai.APIConnectionError as error:
            said = self._without_keys(str(error.__cause__ or error))
            return Attempt(
                error="connection", message=f"{self.endpoint.base_url} cannot be reached: {said}", again=True
            )
        return _read(response.content)

    async def _client(self):
        """The openai client of this event loop, made at the first call."""
        if self._life is None:
            self._key = self.endpoint.api_key()
            self._life = self._living()
            self._made = await anext(self._life)
        return self._made

    async def _living(self):
        """Yields the client and closes it when the event loop shuts its asynchronous generators down."""
        import openai

        client = openai.AsyncOpenAI(
            api_key=self._key, base_url=self.endpoint.base_url, max_retries=0, timeout=self.endpoint.timeout_s,
            http_client=_http_client(self.endpoint),
        )  # fmt: skip
        try:
            yield client
        finally:
            await client.close()

    def _refused(self, error) -> Attempt:
        """The attempt of a status that is no success."""
        status = error.status_code
        said = self._without_keys(str(error.message))[:300]
        if status in (401, 403):  # what it says often repeats the key in part
            said = f"{self.endpoint.base_url} refused the key of {self.endpoint.api_key_env or 'no variable (api_key_env is null)'}"
        return Attempt(
            error=str(status),
            message=said,
            again=is_retried(status),
            after_s=retry_after(error.response.headers),
        )

    def _without_keys(self, text: str) -> str:
        """`text` with this endpoint's key, and whatever looks like one, blotted out."""
        return _KEYS.sub("***", text.replace(self._key, "***") if self.endpoint.api_key_env else text)


def _read(content: bytes) -> Attempt:
    """The attempt of a successful response's body: its text and usage, or "garbage" if it holds none."""
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        usage = body.get("usage") or {}
        spent = {
            name: int(usage[name])
            for name in ("prompt_tokens", "completion_tokens")
            if usage.get(name) is not None
        }
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return Attempt(error="garbage", message=f"no chat completion: {type(error).__name__}", again=True)
    if not isinstance(text, str):
        return Attempt(
            error="garbage",
            message="the answer has no text (a refusal, or thoughts alone)",
            again=True,
            **spent,
        )
    if choice.get("finish_reason") == "length":
        return Attempt(error="garbage", message="the answer was cut at max_tokens", again=True, **spent)
    return Attempt(text=text, **spent)


def _http_client(endpoint: Endpoint):
    """An HTTP client for `openai`: aiohttp's connections, or httpx's where a proxy stands in between."""
    host = urllib.parse.urlsplit(endpoint.base_url).hostname or ""
    if urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        import openai

        return openai.DefaultAsyncHttpxClient(timeout=endpoint.timeout_s)
    from medical_rl.judges.requests.lean_http import LeanClient

    return LeanClient(timeout=endpoint.timeout_s)
