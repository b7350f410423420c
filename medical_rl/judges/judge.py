"""`Judge`: one question in, one checked answer out, or JudgeFailed; of a `conf/judge` file; asked many."""

import asyncio
import contextlib
import functools
import hashlib
import json
import math
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import BudgetMet, RewardFailed, UserError, check_known
from medical_rl.images import image_hash
from medical_rl.judges.desk.rules import Budget, Desk, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint, refuse_restricted
from medical_rl.judges.images import image_part
from medical_rl.judges.messages import CONSISTENCY, Verdict, consistency_messages, parse
from medical_rl.judges.requests.call import Question
from medical_rl.judges.requests.dispatcher import Dispatcher
from medical_rl.run.progress import Progress

MODES = ("live", "replay")  # replay: the cache alone answers
OF_JUDGE = ("mode", "max_attempts", "backoff_s", "max_image_side")  # settings that the Judge itself takes
SETTINGS = (*OF_JUDGE, "enabled", "endpoint", "limits", "budget", "on_budget", "cache")
CHOICES = {"mode": MODES, "on_budget": ("pause", "continue")}
# Questions handed to the desk at once: it decides how many are under way, and more would only take memory.
AT_ONCE = 512
# Questions after which a share of failures is believed.
ENOUGH = 20
BYTES_A_TOKEN = 3  # an upper estimate of tokens: English has about four bytes to a token
TOKENS_AN_IMAGE = 1600  # about the most that a large image costs at OpenAI and Gemini


class Judge:
    """A language model that is asked structured questions, each once, within the desk's limits and budget.

    It may be used from several event loops or threads; each loop has a queue of its own.
    """

    def __init__(
        self, endpoint: Endpoint, desk: Desk, *, mode: str = "live", max_attempts: int = 5,
        backoff_s: float = 0.5, max_image_side: int | None = None,
    ):  # fmt: skip
        check_known("mode of a judge", mode, MODES)
        self.endpoint, self.desk, self.mode = endpoint, desk, mode
        self.max_attempts, self.backoff_s, self.max_image_side = max_attempts, backoff_s, max_image_side
        self._dispatchers: dict[asyncio.AbstractEventLoop, Dispatcher] = {}

    async def ask(
        self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], images: Sequence[bytes] = (),
        restricted: bool = False, source: str = "", draw: int = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """The answer to `messages`, an object of `schema`; `images` (encoded files) go with the last message.

        `draw` numbers several answers of a model that samples to one question; each is cached by itself.
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
        """Requests, tokens, cost, cache hits, faults and failures by reason, of all who share the desk."""
        return self.desk.totals()

    def _dispatcher(self) -> Dispatcher:
        """The dispatcher of the running event loop; those of loops that have ended are let go."""
        loop = asyncio.get_running_loop()
        if loop not in self._dispatchers:
            for other in list(self._dispatchers):
                if other.is_closed():
                    self._dispatchers.pop(other, None)
            live = self.mode == "live"
            self._dispatchers[loop] = Dispatcher(
                self.endpoint, self.desk, self.max_attempts, self.backoff_s, live
            )
        return self._dispatchers[loop]


def with_images(body: bytes, images: tuple[bytes, ...], max_side: int | None) -> bytes:
    """The request's body with `images` before the text of its last message.

    Made when the request is about to be sent, so that a long queue holds no encoded images.
    """
    request = json.loads(body)
    last = request["messages"][-1]
    parts = [image_part(image, max_side) for image in images]
    last["content"] = [*parts, {"type": "text", "text": last["content"]}]
    return json.dumps(request).encode()


def from_config(
    judge: Mapping[str, Any] | None, run_dir: Path | None = None, desk: Desk | None = None
) -> Judge | None:
    """The judge of `conf.judge`; None where it is not enabled.

    `desk` is one that exists already (the engine's, for several nodes); else a SqliteDesk below `run_dir`, or
    in a temporary folder where there is no run. Raises UserError for a setting that could not work.
    """
    settings = checked_settings(judge)
    if settings is None:
        return None
    endpoint = Endpoint.from_mapping(settings["endpoint"])
    if settings.get("mode", "live") == "live":
        endpoint.api_key()  # a missing key is said now, not after hours of training
    if desk is None:
        desk = sqlite_desk(settings, run_dir)
    options = {name: settings[name] for name in OF_JUDGE if name in settings}
    return Judge(endpoint, desk, **options)


def checked_settings(judge: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The settings of `conf.judge`, checked without file and network; None where it is not enabled."""
    if not judge or not judge.get("enabled", True):
        return None
    settings = dict(judge)
    if "on_met" in settings:
        raise UserError("conf.judge.on_met is called conf.judge.on_budget now: pause or continue, as before.")
    for name in settings:
        check_known("setting of conf.judge named", name, SETTINGS)
    for name, choices in CHOICES.items():
        check_known(f"conf.judge.{name}", settings.get(name, choices[0]), choices)
    if settings.get("max_attempts", 1) < 1:
        raise UserError(
            f"conf.judge.max_attempts={settings['max_attempts']}: at least one attempt is needed."
        )
    Endpoint.from_mapping(settings.get("endpoint") or {})
    _group_of(Limits, "limits", settings)
    _group_of(Budget, "budget", settings)
    return settings


def _group_of(kind: type, group: str, settings: Mapping[str, Any]):
    """The `Limits` or `Budget` of conf.judge.<group>."""
    values = settings.get(group) or {}
    for name in values:
        check_known(f"setting of conf.judge.{group} named", name, kind.__dataclass_fields__)
    return kind(**values)


def sqlite_desk(settings: Mapping[str, Any], run_dir: Path | None) -> SqliteDesk:
    """The desk in files: ledger and cache in the run's folder, unless conf.judge.cache names a shared one."""
    folder = Path(run_dir) / "judge" if run_dir else Path(tempfile.mkdtemp(prefix="medical_rl-judge-"))
    cache = Path(settings.get("cache") or folder / "cache.sqlite").expanduser()
    if settings.get("mode") == "replay" and not cache.is_file():
        raise UserError(
            f"conf.judge.mode=replay answers from {cache}, and there is no such file. "
            "Name it: conf.judge.cache=FILE."
        )
    limits, budget = _group_of(Limits, "limits", settings), _group_of(Budget, "budget", settings)
    return SqliteDesk(folder / "ledger.sqlite", cache, limits, budget)


@contextlib.contextmanager
def rename_errors(group: str) -> Iterator[None]:
    """Reword a UserError raised inside for a `group` with a judge of its own (generator, labeller).

    It names `<group>.service` where it named conf.judge, and `<group>.max_failed`.

    >>> with rename_errors("conf.generator"):
    ...     raise UserError("conf.judge.limits is wrong.")
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: conf.generator.service.limits is wrong.
    """
    try:
        yield
    except UserError as error:
        text = str(error).replace("; conf/judge=local does", "").replace("conf.judge", f"{group}.service")
        raise type(error)(text.replace("conf.rewards.max_failure_rate", f"{group}.max_failed")) from error


class AskingStopped(UserError):
    """The judge answered too little, or a cap was met: nothing was written, what was answered is kept."""

    exit_code = 1


def ask_all(
    questions: Mapping[str, Callable[[], Awaitable[Any]]], title: str, max_failure_rate: float
) -> tuple[dict[str, Any], dict[str, RewardFailed]]:
    """Ask all questions, each a function that asks it; return ({key: answer}, {key: why there is none}).

    Every answer is kept by the judge's cache, so that the same command asks only what is missing. Raises
    AskingStopped when a cap of the budget is met, or when a larger share than `max_failure_rate` (0 to 1) of
    them fail; any other error at once.
    """
    return asyncio.run(_ask_all(questions, title, max_failure_rate))


async def _ask_all(questions: Mapping, title: str, max_failure_rate: float) -> tuple[dict, dict]:
    answers, failures, budget_errors = {}, {}, []
    waiting = iter(questions.items())

    def is_hopeless() -> bool:
        count = len(answers) + len(failures)
        return count >= min(ENOUGH, len(questions)) and len(failures) > max_failure_rate * count

    async def work(advance: Callable[[], None]) -> None:
        for key, ask in waiting:
            try:
                answers[key] = await ask()
            except BudgetMet as error:
                budget_errors.append(error)
            except RewardFailed as error:
                failures[key] = error
            # Others finish what they have asked: it is paid for.
            if budget_errors or is_hopeless():
                return
            advance()

    with Progress(title=title, total=len(questions)) as progress:
        await asyncio.gather(*[work(progress.advance) for _ in range(min(AT_ONCE, len(questions)))])
    state = f"{len(answers):,} of {len(questions):,} questions are answered and kept, and nothing was changed"
    if budget_errors:
        raise AskingStopped(
            f"A cap of conf.judge.budget is met: {state}. Raise it, and the same command goes on. "
            f"{budget_errors[0]}"
        )
    if is_hopeless():
        raise AskingStopped(
            f"{len(failures):,} questions failed, more than the share of {max_failure_rate:g} allowed "
            f"(conf.rewards.max_failure_rate); {state}. The last reason: {list(failures.values())[-1]}"
        )
    return answers, failures


def usage_since(judge, before: Mapping[str, Any]) -> str:
    """The requests, tokens and cost since `before` (totals of the judge), as a sentence.

    >>> class Judge:
    ...     def totals(self):
    ...         return dict(requests=5, prompt_tokens=900, completion_tokens=100, cost=0.5, cache_hits=3)
    >>> usage_since(Judge(), dict.fromkeys(Judge().totals(), 0))
    '5 requests, 1,000 tokens, cost 0.5000; 3 answers were kept from before'
    """
    now = judge.totals()
    names = ("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits")
    new = {name: now[name] - before[name] for name in names}
    tokens = new["prompt_tokens"] + new["completion_tokens"]
    cost = f", cost {new['cost']:.4f}" if new["cost"] else ""
    return (
        f"{new['requests']:,} requests, {tokens:,} tokens{cost}; "
        f"{new['cache_hits']:,} answers were kept from before"
    )
