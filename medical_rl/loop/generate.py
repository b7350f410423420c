"""A round's candidates, D_cand <- G (Algorithm 1, line 3), and the rows that teach a local generator (line 14).

Images are drawn by a hash of (seed, round, row), so every round draws others. A row of distillation is the
generator's own prompt with an image, and as its target a reply that gives kept triplets about that image.
"""

import collections
import dataclasses
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_sft_samples, write_split
from medical_rl.data.prompts import target
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.images import image_key
from medical_rl.loop.generators import GENERATORS, generator_settings
from medical_rl.loop.generators.prompts_and_replies import read_reply, settings_prompt, write_reply
from medical_rl.loop.generators.triplets import (
    Proposals,
    Triplet,
    problem,
    sample_of,
    with_source_question,
    without_duplicates,
)
from medical_rl.parsing.response import gold, parse, read
from medical_rl.run.files import write_json
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order

CANDIDATES, SUMMARY = "candidates.parquet", "candidates.json"
_MARKS = ("\\boxed", "<answer>")


def generate(
    settings: Mapping[str, Any], rows: Iterable[Sample], *, round: int, seed: int, folder: Path,
    prompt: Mapping[str, Any], limits: Mapping[str, int], engine: Mapping[str, Any] | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write candidates.parquet and candidates.json in `folder`, atomically; return the round's counts.

    settings  conf.generator, as plain dicts
    rows      whose images are asked about: training rows; those without an image are passed over
    prompt    of the policy: the file's `prompt` column is what it will be asked
    limits    {"min_pixels", "max_pixels"} of an image
    engine    {"device", "dtype", "gpu_memory_utilization"}: what a local model runs on
    shared    folder for an endpoint's ledger and kept answers, the same for all rounds, but not the run's
              own, where the judge's are; None keeps them with the round

    Counts: asked (rows), generated (triplets read), bad_replies and invalid (each {reason: n}), duplicates,
    rows (written), errors ({kind: n} of the rows written by a generator that errs on purpose, else None),
    notes. There may be no rows, where the generator said nothing usable; that is for the caller to judge.
    """
    settings = generator_settings(settings)
    by_image = settings["kind"] != "template"
    drawn = draw_rows(rows, int(settings["images"]), seed, round, by_image)
    if not drawn:
        raise UserError("The generator has no images to ask about: none of the rows it was given has one.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    context = RoundContext(round, seed, folder, Path(shared or folder), limits, engine or {})
    proposals = GENERATORS[settings["kind"]](settings, drawn, context)
    invalid: collections.Counter[str] = collections.Counter()
    errors: collections.Counter[str] = collections.Counter()

    def usable() -> Iterator[Sample]:
        for sample in without_duplicates(_usable_samples(proposals, round, prompt, invalid)):
            if sample.meta.get("is_error"):
                errors[sample.meta.get("error") or "of its source"] += 1
            yield sample

    written = write_split(usable(), folder / CANDIDATES, prompt)
    counts = {
        "round": round,
        "generator": settings["name"],
        "asked": len(drawn),
        "generated": len(proposals.pairs),
        "bad_replies": dict(sorted(proposals.bad_replies.items())),
        "invalid": dict(sorted(invalid.items())),
        "duplicates": len(proposals.pairs) - invalid.total() - written["rows"],
        "rows": written["rows"],
        "errors": dict(sorted(errors.items())) if settings["kind"] == "template" else None,
        "notes": proposals.notes,
    }
    write_json(folder / SUMMARY, counts)
    return counts


def draw_rows(
    rows: Iterable[Sample], count: int, seed: int, round: int, by_image: bool = False
) -> list[Sample]:
    """`count` rows that have images, in the order they came, or all there are; held in memory.

    by_image  rows about the same images are one, the first: whoever looks at the image alone would be asked
              twice
    """
    drawn: list[tuple[int, int, Sample]] = []  # the largest rank first, as it is the next to go
    ranks: set[int] = set()
    for index, sample in enumerate(rows):
        if not sample.images:
            continue
        name = image_key(sample.images) if by_image else f"{sample.source}:{sample.id}"
        rank = hash_order(f"{seed}:{round}:{name}")
        if rank in ranks or (len(drawn) == count and rank > -drawn[0][0]):
            continue
        ranks.add(rank)
        heapq.heappush(drawn, (-rank, index, sample))
        if len(drawn) > count:
            ranks.discard(-heapq.heappop(drawn)[0])
    return [sample for _, _, sample in sorted(drawn, key=lambda entry: entry[1])]


def is_lost(sample: Sample, prompt: Mapping) -> bool:
    r"""Whether the policy's own target is not read as the answer: no right response could be paid.

    >>> row = Sample(id="1", source="demo", question="?", kind="label", answer="a} b", choices=("a} b", "c"))
    >>> is_lost(row, {"target": r"\boxed{{ '{' }}{{ answer }}{{ '}' }}"})
    True
    >>> is_lost(row, {"target": "<answer>{{ answer }}</answer>"})
    False
    """
    text = str(prompt.get("target") or "")
    if not any(mark in text for mark in _MARKS):
        return False
    return read(parse(target(sample, prompt)), sample) not in (sample.answer, gold(sample))


def _usable_samples(
    proposals: Proposals, round: int, prompt: Mapping, invalid: collections.Counter
) -> Iterator[Sample]:
    """The triplets that can be used, as rows; the others are counted by reason."""
    for source, triplet in proposals.pairs:
        triplet = with_source_question(triplet, source)
        reason = problem(triplet)
        sample = None if reason else sample_of(source, triplet, round)
        if sample is not None and is_lost(sample, prompt):
            reason = "the answer is lost in the prompt's target"
        if reason:
            invalid[reason] += 1
        else:
            yield sample


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
