"""A served reward model, asked with the image: vLLM's `/classify` on a Qwen2.5-VL with one regression output."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

from medical_rl.errors import RewardFailed, UserError, unknown
from medical_rl.sample import Sample

SETTINGS = ("base_url", "model", "timeout_s", "max_attempts", "concurrency")


class RewardModel:
    """`await model.score(sample, text)` asks the server at `base_url` what it gives the response."""

    def __init__(
        self, base_url: str, model: str = "", timeout_s: float = 60.0, max_attempts: int = 4, concurrency: int = 64
    ):
        self.url = str(base_url).rstrip("/") + "/classify"
        self.model, self.timeout_s, self.max_attempts = model, float(timeout_s), int(max_attempts)
        self.concurrency = int(concurrency)
        self._loop = self._client = self._slots = None

    @classmethod
    def from_config(cls, settings: Mapping) -> RewardModel:
        """The client of a `conf/reward_model` file."""
        for key in settings:
            if key not in SETTINGS:
                raise unknown("setting of the reward model named", key, SETTINGS)
        if not settings.get("base_url"):
            raise UserError("The reward model has no address: give conf.reward_model.base_url=http://HOST:PORT.")
        return cls(**settings)

    async def score(self, sample: Sample, text: str) -> float:
        """R_phi of `text` as the answer to the sample's question about its images; RewardFailed where none comes."""
        import httpx
        from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_attempt, wait_exponential_jitter

        client, slots = self._connected(httpx)
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self.max_attempts),
            wait=wait_exponential_jitter(initial=0.5, max=10),
            retry=retry_if_exception(_passing),
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    async with slots:
                        reply = await client.post(self.url, json=self._body(sample, text))
                    reply.raise_for_status()
                    return float(reply.json()["data"][0]["probs"][0])
        except (httpx.HTTPError, RetryError) as error:
            raise RewardFailed(
                f"The reward model at {self.url} gave no score: {type(error).__name__}: {error}"
            ) from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RewardFailed(
                f"The reward model at {self.url} gave no number: {type(error).__name__}: {error}"
            ) from error

    def _body(self, sample: Sample, text: str) -> dict:
        images = [{"type": "image_url", "image_url": {"url": _data_uri(image)}} for image in sample.images]
        turns = [
            {"role": "user", "content": [*images, {"type": "text", "text": sample.question}]},
            {"role": "assistant", "content": text},
        ]
        # the raw output of the head, not a probability; and no turn opened for another answer
        body = {"messages": turns, "add_generation_prompt": False, "use_activation": False}
        return {"model": self.model, **body} if self.model else body

    def _connected(self, httpx):
        """A client and its slots for the running event loop: neither survives its loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._slots = loop, asyncio.Semaphore(self.concurrency)
            self._client = httpx.AsyncClient(timeout=self.timeout_s)
        return self._client, self._slots


def _passing(error: BaseException) -> bool:
    """True for what may pass: a time-out, a lost connection, 429 and 5xx."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _data_uri(image: bytes) -> str:
    kind = "png" if image[:8] == b"\x89PNG\r\n\x1a\n" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
