"""`Endpoint`: an OpenAI-compatible endpoint and the parameters of its requests, without secrets.

Rows under a data use agreement (MIMIC-CXR, FairVLMed) never go to one that is not declared fit for them.
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.errors import UserError, check_known

TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
PRICES = ("prompt", "completion")
# whatever is declared `local`, these are nobody's own hardware
THIRD_PARTIES = (
    "openai.com", "openai.azure.com", "googleapis.com", "anthropic.com", "mistral.ai", "openrouter.ai",
    "together.xyz", "together.ai", "fireworks.ai", "groq.com", "deepseek.com", "x.ai", "huggingface.co",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where requests go and what they carry.

    base_url          ".../v1" of OpenAI, Gemini's compatible path, vLLM's server, ...
    model             the model's name there
    api_key_env       NAME of the environment variable that holds the key; None where no key is needed
    local             True: the endpoint runs on hardware of the data's holder
    covered           True: an agreement allows restricted data there
    timeout_s         a call that takes longer is given up and tried again
    temperature, top_p  None leaves the endpoint's default
    max_tokens        tokens of an answer at most
    max_tokens_field  what the endpoint calls that (newer OpenAI models: max_completion_tokens)
    seed              None sends none
    extra_body        further fields of the request, as they are
    json_schema       True: `response_format` asks for the schema; False: the prompt alone does
    prices            {"prompt", "completion"}: money for a million tokens
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    local: bool = False
    covered: bool = False
    timeout_s: float = 60.0
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int = 256
    max_tokens_field: str = "max_tokens"
    seed: int | None = None
    extra_body: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    json_schema: bool = True
    prices: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(PRICES, 0.0))

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+", self.base_url or ""):
            raise UserError(f"conf.judge.endpoint.base_url={self.base_url!r} is no http(s) address.")
        if re.search(r"//[^/]*@|[?&](api_?)?key=", self.base_url):
            raise UserError(
                "conf.judge.endpoint.base_url holds a password or key, and a configuration is written to "
                "many files. Put the key in an environment variable and name it: "
                "conf.judge.endpoint.api_key_env=NAME."
            )
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            # the value is not repeated: it may be the key itself
            raise UserError("conf.judge.endpoint.api_key_env must be the NAME of an environment variable.")
        check_known("name of the token limit", self.max_tokens_field, TOKEN_FIELDS)
        if self.timeout_s <= 0 or self.max_tokens <= 0:
            raise UserError("conf.judge.endpoint.timeout_s and .max_tokens must be positive.")
        for name in self.prices:
            check_known("price", name, PRICES)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> "Endpoint":
        """The endpoint of a mapping. Raises UserError for an unknown or missing setting."""
        for name in settings:
            check_known("setting of conf.judge.endpoint named", name, cls.__dataclass_fields__)
        for name in ("base_url", "model"):
            if not settings.get(name):
                raise UserError(f"conf.judge.endpoint.{name} must be given.")
        return cls(**_plain(settings))

    def api_key(self) -> str:
        """The key from the environment, "none" where none is needed; UserError if the variable is not set."""
        if self.api_key_env is None:
            return "none"
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UserError(
                f"The endpoint {self.base_url} needs a key in the environment variable "
                f"{self.api_key_env}, which is not set. Set it, name another "
                "(conf.judge.endpoint.api_key_env=NAME), or null if the endpoint needs none."
            )
        return key

    def parameters(self, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The request's fields besides the messages, for answers of `schema`."""
        body: dict[str, Any] = {"model": self.model, self.max_tokens_field: self.max_tokens}
        for name in ("temperature", "top_p", "seed"):
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        if self.json_schema and schema is not None:
            described = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        return body | dict(self.extra_body)

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What a call of so many tokens costs, by `prices`.

        >>> Endpoint("http://x/v1", "m", prices={"prompt": 0.5, "completion": 2.0}).cost(1_000_000, 500_000)
        1.5
        """
        prompt, completion = self.prices.get("prompt", 0.0), self.prices.get("completion", 0.0)
        return (prompt_tokens * prompt + completion_tokens * completion) / 1_000_000


def _plain(value: Any) -> Any:
    """`value` with mappings and sequences, a configuration's too, as dicts and lists, which JSON takes."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(map(_plain, value))
    return value


def refuse_restricted(
    endpoint: Endpoint, restricted: bool, source: str, setting: str = "conf.judge.endpoint"
) -> None:
    """Raise UserError for a restricted row that would go to an endpoint neither local nor covered.

    `endpoint` is anything with base_url, local and covered; `setting` is where its configuration stands.
    """
    host = re.sub(r"https?://([^/:]+).*", r"\1", endpoint.base_url).lower()
    is_third_party = any(f".{host}".endswith(f".{name}") for name in THIRD_PARTIES)
    if not restricted or endpoint.covered or (endpoint.local and not is_third_party):
        return
    raise UserError(
        f"A row of {source or 'a restricted source'} may not be sent to {endpoint.base_url}: its data use "
        "agreement forbids third parties. Either serve the model on your own hardware and say so "
        f"({setting}.local=true; conf/judge=local does), or, if an agreement covers this endpoint for these "
        f"data, declare it: {setting}.covered=true."
    )
