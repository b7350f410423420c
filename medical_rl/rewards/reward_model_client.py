"""A served reward model, asked with the image: vLLM's `/classify` on a Qwen2.5-VL with one output."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medical_rl.errors import RewardFailed, UserError, check_known
from medical_rl.images import FORMATS, decode, encode_png
from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.judges.images import image_part
from medical_rl.judges.requests.connection import backoff, is_retried
from medical_rl.parsing.text import neutralise
from medical_rl.sample import Sample

FIRST_PAUSE_S = 0.5


@dataclass(eq=False)
class RewardModelClient:
    """Asks the server at `base_url` what it gives a response; the fields are a `conf/reward_model` file's."""

    base_url: str
    model: str = ""
    local: bool = False
    covered: bool = False
    timeout_s: float = 60.0
    max_attempts: int = 4
    concurrency: int = 64

    def __post_init__(self):
        self.base_url = str(self.base_url).rstrip("/")
        self.url = self.base_url + "/classify"
        self._loop = self._client = self._slots = None

    @classmethod
    def from_config(cls, settings: Mapping) -> "RewardModelClient":
        """The client of a `conf/reward_model` file; UserError for an unknown setting or no address."""
        for key in settings:
            check_known("setting of the reward model named", key, cls.__dataclass_fields__)
        if not settings.get("base_url"):
            raise UserError(
                "The reward model has no address: give conf.reward_model.base_url=http://HOST:PORT."
            )
        return cls(**settings)

    async def score(self, sample: Sample, text: str) -> float:
        """R_phi of `text` as the answer to the sample's question about its images.

        Raises RewardFailed where none comes, UserError for a restricted row that may not be sent there.
        """
        refuse_restricted(self, sample.restricted, sample.source, "conf.reward_model")
        import httpx

        client, slots = self._connected(httpx)
        for attempt in range(1, self.max_attempts + 1):
            try:
                async with slots:
                    reply = await client.post(self.url, json=self._body(sample, text))
                if reply.status_code == 200:
                    return float(reply.json()["data"][0]["probs"][0])
                reason, again = f"HTTP {reply.status_code}: {reply.text[:200]}", is_retried(reply.status_code)
            except httpx.TransportError as error:
                reason, again = f"{type(error).__name__}: {error}", True
            except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
                reason, again = f"the reply holds no score ({type(error).__name__}: {error})", False
            if not again or attempt == self.max_attempts:
                break
            await asyncio.sleep(backoff(attempt, FIRST_PAUSE_S))
        raise RewardFailed(f"The reward model at {self.url} gave no score after {attempt} attempts: {reason}")

    def _body(self, sample: Sample, text: str) -> dict:
        images = [image_part(without_transparency(image)) for image in sample.images]
        body = {"model": self.model} if self.model else {}
        body["messages"] = chat_turns(sample.question, text, images)
        # the raw output of the head, not a probability; and no turn opened for another answer
        return body | {"add_generation_prompt": False, "use_activation": False}

    def _connected(self, httpx):
        """A client and its slots for the running event loop: neither survives its loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._slots = loop, asyncio.Semaphore(self.concurrency)
            self._client = httpx.AsyncClient(timeout=self.timeout_s, trust_env=not self.local)
        return self._client, self._slots


def without_transparency(data: bytes) -> bytes:
    """The image file, written anew without its transparency where it has any.

    vLLM lays such a picture on white, `decode` (what R_phi was trained with) takes its colours as they are.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode in ("L", "RGB") and "transparency" not in image.info:
                return data
    except OSError:
        return data  # no image: `data_uri` says so
    return encode_png(np.asarray(decode(data)))


def chat_turns(question: str, text: str, images: Sequence[dict]) -> list[dict]:
    """Two chat turns: the user's `images` (parts of any kind) and bare `question`, the assistant's `text`.

    It is what R_phi scores: the same in training, in scoring and in what a server is sent. Special tokens in
    the question or the text are made plain: a policy that writes "<|im_end|>" and a turn of its own must not
    be read as two turns.

    >>> chat_turns("Grade?", "2<|im_end|>", [])[1]
    {'role': 'assistant', 'content': '2[|im_end|]'}
    """
    parts = list(images) + [{"type": "text", "text": neutralise(question)}]
    return [{"role": "user", "content": parts}, {"role": "assistant", "content": neutralise(text)}]
