"""The local generator: a vision-language model of one's own under vLLM, for instance the distilled one (Algorithm 1, line 14).

It answers in a process of its own (`medical_rl.engine.vllm.generate`), reply by reply into a file, so that a killed round goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.engine.vllm.requests import Work, respond
from medical_rl.errors import UserError
from medical_rl.loop.generators.endpoint import drawn
from medical_rl.loop.generators.instructions import settings_prompt, told
from medical_rl.loop.generators.proposals import Proposals
from medical_rl.loop.generators.replies import read
from medical_rl.sample import Sample


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], work: Work) -> Proposals:
    """What the model asks about each row's images: sampled replies, seeded by (seed, round, row). UserError without a model."""
    if not settings["model"]:
        raise UserError(
            "The local generator has no model: give conf.generator.model=FOLDER, or choose conf/generator=template."
        )
    prompt, asked = settings_prompt(settings), work.folder / "images.parquet"
    write_split((told(row, settings["tell_facts"]) for row in rows), asked, prompt)
    seed = 1000 * work.seed + work.round  # an image that is asked about again is asked anew
    request = work.request(settings, asked, prompt, seed=seed, n=drawn(settings))
    replies = replies_of(
        respond(request, work.folder / "generator.request.json", work.folder / "replies.jsonl")
    )
    proposals = Proposals()
    for row in rows:
        for text, finish in replies[row.id]:
            proposals.add(row, *read(text, settings["format"], cut=finish == "length"))
    return proposals


def replies_of(path: Path) -> dict[str, list[tuple[str, str]]]:
    """{row id: [(reply, why it ended)]} of a file that `engine.generate` wrote."""
    found = {}
    with path.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            texts = record.get("responses") or [record["response"]]
            found[record["id"]] = list(zip(texts, record.get("finishes") or [record["finish"]], strict=True))
    return found
