"""Distillation: rows that teach a local generator what R_phi scored high, and its settings then.

It is the paper's "Self-Updating Generator" (Algorithm 1, line 14). A row is the generator's own prompt with
an image, and as its target a reply that gives kept triplets about that image.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_sft_samples
from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.images import image_key
from medical_rl.loop.generators.prompts_and_replies import read_reply, settings_prompt, write_reply
from medical_rl.loop.generators.triplets import Triplet
from medical_rl.sample import Sample


def write_distil_rows(
    samples: Iterable[Sample], path: Path, settings: Mapping[str, Any], limits: Mapping[str, int]
) -> dict[str, int]:
    """Write `path` in the warm start's schema (atomically); return {"rows", "taught", "left_out"}.

    samples   generated rows of high reward; `taught` of them are in a reply of up to `per_reply` triplets
    settings  conf.generator of the local generator that will be trained: its strategy, format and per_reply
    left_out  rows that its format cannot hold (a "|" in a line, say): their reply would be read as something
              else
    """
    if settings["tell_facts"]:
        raise UserError(
            "A generator that is told facts (conf.generator.tell_facts=true) cannot be distilled: of a "
            "generated row the image is known, not the facts that its question came from."
        )
    prompt, format = settings_prompt(settings), settings["format"]
    counts = collections.Counter({"rows": 0, "taught": 0, "left_out": 0})
    groups = _by_image(samples, int(settings["per_reply"]), prompt, format, counts)
    counts["rows"] = write_sft_samples((_lesson(rows, format) for rows in groups), path, prompt, limits)
    return dict(counts)


def distilled_settings(
    generator: Mapping[str, Any], distil: Mapping[str, Any], model: Path | str | None
) -> dict[str, Any]:
    """conf.generator for the local, distilled `model`: as many images, its own form and sampling.

    distil  conf.loop.distil: format, per_reply, temperature, top_p, max_new_tokens, batch, gpus
    """
    settings = {
        "name": "distilled", "kind": "local", "strategy": "distilled", "tell_facts": False,
        "images": generator["images"], "per_image": generator["per_image"],
        "model": None if model is None else str(model),
    }  # fmt: skip
    for name in ("format", "per_reply", "temperature", "top_p", "max_new_tokens", "batch", "gpus"):
        settings[name] = distil[name]
    return settings


def triplet_of(sample: Sample) -> Triplet:
    """The triplet that a generated row was made of."""
    options = () if sample.kind == "yes_no" else sample.choices
    return Triplet(sample.question, sample.answer, str(sample.meta.get("thought") or ""), options)


def _by_image(
    samples: Iterable[Sample], per_reply: int, prompt: Mapping, format: str, counts: collections.Counter
) -> Iterator[list[Sample]]:
    """Up to `per_reply` rows about the same images, as soon as they are together; the rest at the end."""
    waiting: dict[str, list[Sample]] = {}
    for sample in samples:
        # a row is taught if the reply that teaches it alone is read as this row, spaces aside
        triplets, reasons = read_reply(target(_lesson([sample], format), prompt), format)
        if reasons or list(map(_plain, triplets)) != [_plain(triplet_of(sample))]:
            counts["left_out"] += 1
            continue
        counts["taught"] += 1
        key = image_key(sample.images)
        rows = waiting.setdefault(key, [])
        rows.append(sample)
        if len(rows) == per_reply:
            yield waiting.pop(key)
    yield from waiting.values()


def _lesson(rows: Sequence[Sample], format: str) -> Sample:
    """The row whose prompt is the generator's and whose target is the reply that gives `rows`."""
    reply = write_reply(map(triplet_of, rows), format)
    return dataclasses.replace(rows[0], knowledge="", meta={"reply": reply})


def _plain(triplet: Triplet) -> tuple[str, ...]:
    texts = (triplet.question, triplet.answer, triplet.rationale) + triplet.options
    return tuple(" ".join(text.split()) for text in texts)
