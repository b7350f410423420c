"""`Judge`: one question in, one checked answer out, or JudgeFailed."""

import asyncio
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.errors import unknown
from medical_rl.images import image_hash
from medical_rl.judges.consistency import consistency_messages
from medical_rl.judges.desk.protocol import Desk
from medical_rl.judges.endpoint import Endpoint, refuse_restricted
from medical_rl.judges.images import data_uri
from medical_rl.judges.requests.call import Question
from medical_rl.judges.requests.dispatcher import Dispatcher
from medical_rl.judges.verdict import CONSISTENCY, Verdict, parse

MODES = ("live", "replay")
BYTES_A_TOKEN = 3  # an upper estimate of tokens: English has about four bytes to a token
TOKENS_AN_IMAGE = 1600  # about the most that a large image costs at OpenAI and Gemini


class Judge:
    """A language model that is asked structured questions, each once, within the desk's limits and budget.

    It may be used from several event loops, one after the other or in several threads; each has a queue of
    its own.
    """

    def __init__(
        self, endpoint: Endpoint, desk: Desk, *, mode: str = "live", max_attempts: int = 5,
        backoff_s: float = 0.5, max_image_side: int | None = None,
    ):  # fmt: skip
        """mode: live, or replay (the cache alone answers)."""
        if mode not in MODES:
            raise unknown("mode of a judge", mode, MODES)
        self.endpoint, self.desk, self.mode = endpoint, desk, mode
        self.max_attempts, self.backoff_s, self.max_image_side = max_attempts, backoff_s, max_image_side
        self._dispatchers: dict[asyncio.AbstractEventLoop, Dispatcher] = {}

    async def ask(
        self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], images: Sequence[bytes] = (),
        restricted: bool = False, source: str = "", draw: int = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """The answer to `messages`, an object of `schema`; `images` (encoded files) go with the last message.

        `draw` numbers the answers to one question where several are wanted of a model that samples; each is
        cached by itself.
        Raises UserError for a restricted row that may not be sent, JudgeFailed if no usable answer came,
        BudgetMet.
        """
        refuse_restricted(self.endpoint, restricted, source)
        prepare = functools.partial(self._question, messages, schema, tuple(images), draw)
        return await self._dispatcher().answer(prepare)

    def _question(
        self, messages: Sequence[Mapping], schema: Mapping, images: tuple[bytes, ...], draw: int
    ) -> Question:
        """The question with its key: a hash of messages, model, parameters, schema, images, draw."""
        # without images the request's body is made once, for its key and for sending
        parameters = self.endpoint.parameters(schema)
        if draw and self.endpoint.seed is not None:
            parameters["seed"] = self.endpoint.seed + draw  # with one seed all draws would be the same answer
        body = json.dumps({**parameters, "messages": list(messages)}).encode()
        side = self.max_image_side if images else None
        facts = [schema, list(map(image_hash, images)), side]
        if draw:  # the first draw has the key of a question that is asked once
            facts.append(draw)
        key = hashlib.sha256(body + json.dumps(facts).encode()).hexdigest()
        tokens = math.ceil(len(body) / BYTES_A_TOKEN) + TOKENS_AN_IMAGE * len(images)
        make_body = functools.partial(with_images, body, images, side) if images else lambda: body
        read = functools.partial(parse, schema=schema)
        return Question(key, tokens + self.endpoint.max_tokens, make_body, read, heavy=bool(images))

    async def consistency(
        self, question: str, thought: str, answer: str, images: Sequence[bytes] = (),
        restricted: bool = False, source: str = "",
    ) -> Verdict:  # fmt: skip
        """Whether `answer` is clinically supported by `thought`: sound, unsound or unclear, with a reason."""
        messages = consistency_messages(question, thought, answer)
        return Verdict(**await self.ask(messages, CONSISTENCY, images, restricted, source))

    def totals(self) -> dict[str, Any]:
        """Requests, tokens, cost, cache hits, faults and failures by reason, of everyone who shares the desk."""
        return self.desk.totals()

    def _dispatcher(self) -> Dispatcher:
        """The dispatcher of the running event loop; those of loops that have ended are let go."""
        loop = asyncio.get_running_loop()
        dispatcher = self._dispatchers.get(loop)
        if dispatcher is None:
            for other in list(self._dispatchers):
                if other.is_closed():
                    self._dispatchers.pop(other, None)
            live = self.mode == "live"
            dispatcher = Dispatcher(self.endpoint, self.desk, self.max_attempts, self.backoff_s, live)
            self._dispatchers[loop] = dispatcher
        return dispatcher


def with_images(body: bytes, images: tuple[bytes, ...], max_side: int | None) -> bytes:
    """The request's body with `images` before the text of its last message.

    Made when the request is about to be sent, so that a long queue holds no encoded images.
    """
    request = json.loads(body)
    last = request["messages"][-1]
    parts: list[dict[str, Any]] = []
    for image in images:
        parts.append({"type": "image_url", "image_url": {"url": data_uri(image, max_side)}})
    last["content"] = [*parts, {"type": "text", "text": last["content"]}]
    return json.dumps(request).encode()
