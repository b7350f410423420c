"""The endpoint generator: a vision model behind an OpenAI-compatible endpoint (in the paper Gemini-2.0-Flash), asked as judges are.

It goes through the judges' client, so limits, budget, ledger, retries, the cache of answers and the rule about restricted rows are
the same. The n-th draw of a prompt about an image has a key of its own in the cache: the same command asks only what is missing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.data.inspect import asking
from medical_rl.data.prompts import IMAGE, messages
from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import JudgeFailed, UserError
from medical_rl.judges.build import from_config, named_as
from medical_rl.judges.restricted import refuse_restricted
from medical_rl.loop.generators.instructions import WITH_NOTES, settings_prompt, told
from medical_rl.loop.generators.proposals import Proposals
from medical_rl.loop.generators.replies import schema, triplets_of
from medical_rl.sample import Sample

SERVICE = "conf.generator.service"


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], work: Work) -> Proposals:
    """What the endpoint's model asks about each row's images, `per_reply` triplets a reply.

    Raises UserError for a setting that could not work and for a restricted row that may not be sent (nothing is sent then),
    AskingStopped (exit 1) where a cap is met or more than `max_failed` of the replies fail: what was answered is kept.
    """
    replies = drawn(settings)
    with named_as("conf.generator"):
        judge = from_config({**settings["service"], "enabled": True}, work.shared)
        for row in rows:
            refuse_restricted(judge.endpoint, row.restricted, row.source, f"{SERVICE}.endpoint")
        before = judge.totals()
        ask = functools.partial(_ask, judge, settings, settings_prompt(settings))
        first = (work.round - 1) * replies
        pairs = {
            f"{index}/{draw}": (row, first + draw)
            for index, row in enumerate(rows)
            for draw in range(replies)
        }
        asked = {key: functools.partial(ask, *pair) for key, pair in pairs.items()}
        answers, failures = asking.ask_all(asked, "triplets", float(settings["max_failed"]))
    proposals = Proposals(notes=[f"{judge.endpoint.model}: {asking.spent(judge, before)}"])
    for key, (row, _) in pairs.items():
        if (failed := failures.get(key)) is not None:
            proposals.add(row, [], [failed.reason if isinstance(failed, JudgeFailed) else str(failed)])
        else:
            proposals.add(row, triplets_of(answers[key]))
    return proposals


def drawn(settings: Mapping[str, Any]) -> int:
    """Replies asked for an image; UserError where they would all be the same."""
    replies = math.ceil(settings["per_image"] / settings["per_reply"])
    if not settings["temperature"]:
        raise UserError(
            "conf.generator.temperature is 0, at which an image is asked about in the same words in every round. Give one above 0."
        )
    return replies


async def _ask(judge, settings: Mapping[str, Any], prompt: Mapping, row: Sample, draw: int) -> dict[str, Any]:
    """The reply of draw number `draw` about the row's images, valid by the schema."""
    turns = messages(told(row, settings["tell_facts"]), prompt)
    # The client puts the images before the text of the last message itself.
    turns[-1]["content"] = turns[-1]["content"].replace(IMAGE, "")
    form = schema(notes=settings["strategy"] in WITH_NOTES)
    return await judge.ask(turns, form, row.images, row.restricted, row.source, draw=draw)
