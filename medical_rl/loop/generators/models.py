"""Generators that ask a vision model: behind an OpenAI-compatible endpoint (Gemini in the paper), or local.

The endpoint is asked as judges are, by their client: limits, budget, ledger, retries, the cache of answers
and the rule about restricted rows are the same. The n-th draw of a prompt about an image has a key of its own
in the cache: the same command asks only what is missing. A local model, such as the distilled one (Algorithm
1, line 14), answers in a process of its own (`medical_rl.engine.vllm.generate`), reply by reply into a file,
so that a killed round goes on.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.data.prompts import IMAGE, messages
from medical_rl.engine.vllm.requests import RoundContext, run_request
from medical_rl.errors import JudgeFailed, UserError
from medical_rl.judges.endpoint import refuse_restricted
from medical_rl.judges.judge import ask_all, from_config, rename_errors, usage_since
from medical_rl.loop.generators.prompts_and_replies import (
    WITH_NOTES,
    prompt_row,
    read_reply,
    schema,
    settings_prompt,
    triplets_of,
)
from medical_rl.loop.generators.triplets import Proposals
from medical_rl.sample import Sample


def propose_by_endpoint(
    settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext
) -> Proposals:
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
            refuse_restricted(judge.endpoint, row.restricted, row.source, "conf.generator.service.endpoint")
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


def propose_by_local(settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext) -> Proposals:
    """What the model asks about each row's images: sampled replies, seeded by (seed, round, row).

    Raises UserError without a model.
    """
    if not settings["model"]:
        raise UserError(
            "The local generator has no model: give conf.generator.model=FOLDER, or choose "
            "conf/generator=template."
        )
    prompt, images = settings_prompt(settings), context.folder / "images.parquet"
    write_split((prompt_row(row, settings["tell_facts"]) for row in rows), images, prompt)
    seed = 1000 * context.seed + context.round  # an image that is asked about again is asked anew
    request = context.request(settings, images, prompt, seed=seed, n=replies_per_image(settings))
    request_file = context.folder / "generator.request.json"
    replies = run_request(request, request_file, context.folder / "replies.jsonl")
    records = map(json.loads, replies.read_text(encoding="utf-8").splitlines())
    answered = {record["id"]: record for record in records}
    proposals = Proposals()
    for row in rows:
        record = answered[row.id]
        texts = record.get("responses") or [record["response"]]
        finishes = record.get("finishes") or [record["finish"]]
        for text, finish in zip(texts, finishes, strict=True):
            triplets, reasons = read_reply(text, settings["format"], cut=finish == "length")
            proposals.add(row, triplets, reasons)
    return proposals
