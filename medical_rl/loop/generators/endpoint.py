"""The endpoint generator: a vision model behind an OpenAI-compatible endpoint (the paper's is Gemini).

It is asked as judges are, by their client: limits, budget, ledger, retries, the cache of answers and the rule
about restricted rows are the same. The n-th draw of a prompt about an image has a key of its own in the
cache: the same command asks only what is missing.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.data.prompts import IMAGE, messages
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import JudgeFailed, UserError
from medical_rl.judges.ask_all import ask_all, usage_since
from medical_rl.judges.build import from_config, rename_errors
from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.loop.generators.instructions import WITH_NOTES, prompt_row, settings_prompt
from medical_rl.loop.generators.replies import schema, triplets_of
from medical_rl.loop.generators.triplets import Proposals
from medical_rl.sample import Sample

SERVICE = "conf.generator.service"


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext) -> Proposals:
    """What the endpoint's model asks about each row's images, `per_reply` triplets a reply.

    Raises UserError for a setting that could not work and for a restricted row that may not be sent (nothing
    is sent then), AskingStopped (exit 1) where a cap is met or more than `max_failed` of the replies fail:
    what was answered is kept.
    """
    replies = replies_per_image(settings)
    first_draw = (context.round - 1) * replies
    with rename_errors("conf.generator"):
        judge = from_config({**settings["service"], "enabled": True}, context.shared)
        for row in rows:
            refuse_restricted(judge.endpoint, row.restricted, row.source, f"{SERVICE}.endpoint")
        before = judge.totals()
        prompt = settings_prompt(settings)
        row_of, requests = {}, {}
        for index, row in enumerate(rows):
            for draw in range(replies):
                key = f"{index}/{draw}"
                row_of[key] = row
                requests[key] = functools.partial(_ask, judge, settings, prompt, row, first_draw + draw)
        answers, failures = ask_all(requests, "triplets", float(settings["max_failed"]))
    proposals = Proposals(notes=[f"{judge.endpoint.model}: {usage_since(judge, before)}"])
    for key, row in row_of.items():
        failure = failures.get(key)
        if failure is None:
            proposals.add(row, triplets_of(answers[key]))
        else:
            proposals.add(row, [], [failure.reason if isinstance(failure, JudgeFailed) else str(failure)])
    return proposals


def replies_per_image(settings: Mapping[str, Any]) -> int:
    """Replies asked for an image.

    Raises UserError where they would all be the same.
    """
    if not settings["temperature"]:
        raise UserError(
            "conf.generator.temperature is 0, at which an image is asked about in the same words in every "
            "round. Give one above 0."
        )
    return math.ceil(settings["per_image"] / settings["per_reply"])


async def _ask(judge, settings: Mapping[str, Any], prompt: Mapping, row: Sample, draw: int) -> dict[str, Any]:
    """The reply of draw number `draw` about the row's images, valid by the schema."""
    turns = messages(prompt_row(row, settings["tell_facts"]), prompt)
    # The client puts the images before the text of the last message itself.
    turns[-1]["content"] = turns[-1]["content"].replace(IMAGE, "")
    form = schema(notes=settings["strategy"] in WITH_NOTES)
    return await judge.ask(turns, form, row.images, row.restricted, row.source, draw=draw)
