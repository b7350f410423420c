"""The local generator: a vision-language model of one's own under vLLM, such as the distilled one.

It answers in a process of its own (`medical_rl.engine.vllm.generate`), reply by reply into a file, so that a
killed round goes on. The distilled one is of Algorithm 1, line 14.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.engine.vllm.requests import RoundContext, run_request
from medical_rl.errors import UserError
from medical_rl.loop.generators.endpoint import replies_per_image
from medical_rl.loop.generators.instructions import prompt_row, settings_prompt
from medical_rl.loop.generators.replies import read_reply
from medical_rl.loop.generators.triplets import Proposals
from medical_rl.sample import Sample


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext) -> Proposals:
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
    replies = _read_replies(run_request(request, request_file, context.folder / "replies.jsonl"))
    proposals = Proposals()
    for row in rows:
        for text, finish in replies[row.id]:
            triplets, reasons = read_reply(text, settings["format"], cut=finish == "length")
            proposals.add(row, triplets, reasons)
    return proposals


def _read_replies(path: Path) -> dict[str, list[tuple[str, str]]]:
    """{row id: [(reply, why it ended)]} of a file that `engine.vllm.generate` wrote."""
    replies = {}
    with path.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            texts = record.get("responses") or [record["response"]]
            finishes = record.get("finishes") or [record["finish"]]
            replies[record["id"]] = list(zip(texts, finishes, strict=True))
    return replies
