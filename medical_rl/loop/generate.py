"""Which rows' images a round asks about: drawn by a hash of (seed, round, row), so every round draws others.

One round's candidates, D_cand <- G (Algorithm 1, line 3): images chosen, asked about, checked, written for all that follows.
"""

from __future__ import annotations

import collections
import heapq
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.data.prompts import target
from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import UserError
from medical_rl.images import image_key
from medical_rl.loop.generators import GENERATORS, checked
from medical_rl.loop.generators.proposals import Proposals
from medical_rl.loop.generators.triplets import completed, deduplicated, problem, sample_of
from medical_rl.parsing.response import gold, parse, read
from medical_rl.run.files import write_json
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


def chosen(rows: Iterable[Sample], count: int, seed: int, round: int, by_image: bool = False) -> list[Sample]:
    """`count` rows that have images, in the order they came; all of them if there are fewer. They are held in memory.

    by_image  rows about the same images are one, the first: whoever looks at the image alone would be asked twice

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="a", images=(bytes([i]),)) for i in range(9)]
    >>> [len({s.id for s in chosen(pool, 4, seed, round)}) for seed, round in ((0, 1), (0, 2))]
    [4, 4]
    """
    held: list[tuple[int, int, Sample]] = []  # the largest rank first, as it is the next to go
    ranks: set[int] = set()
    for index, sample in enumerate(rows):
        if not sample.images:
            continue
        rank = _rank(seed, round, image_key(sample.images) if by_image else f"{sample.source}:{sample.id}")
        if rank in ranks or (len(held) == count and rank > -held[0][0]):
            continue
        ranks.add(rank)
        heapq.heappush(held, (-rank, index, sample))
        if len(held) > count:
            ranks.discard(-heapq.heappop(held)[0])
    return [sample for _, _, sample in sorted(held, key=lambda entry: entry[1])]


def _rank(seed: int, round: int, name: str) -> int:
    return hash_order(f"{seed}:{round}:{name}")


CANDIDATES, SUMMARY = "candidates.parquet", "candidates.json"
_MARKS = ("\\boxed", "<answer>")


def generate(
    settings: Mapping[str, Any],
    rows: Iterable[Sample],
    *,
    round: int,
    seed: int,
    folder: Path,
    prompt: Mapping[str, Any],
    limits: Mapping[str, int],
    engine: Mapping[str, Any] | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """The round's counts, after `folder`/candidates.parquet and candidates.json were written, each whole or not at all.

    settings  conf.generator, as plain dicts
    rows      whose images are asked about: training rows; those without an image are passed over
    prompt    of the policy: the file's `prompt` column is what it will be asked
    limits    {"min_pixels", "max_pixels"} of an image
    engine    {"device", "dtype", "gpu_memory_utilization"}: what a local model runs on
    shared    folder for an endpoint's ledger and kept answers, the same for all rounds, but not the run's own, where the
              judge's are; None keeps them with the round

    Counts: asked (rows), generated (triplets read), bad_replies and invalid (each {reason: n}), duplicates, rows (written),
    errors ({kind: n} of the rows written by a generator that errs on purpose, else None), notes. There may be no rows, where the
    generator said nothing usable; that is for the caller to judge.
    """
    settings = checked(settings)
    found = chosen(rows, int(settings["images"]), seed, round, by_image=settings["kind"] != "template")
    if not found:
        raise UserError("The generator has no images to ask about: none of the rows it was given has one.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    work = Work(round, seed, folder, Path(shared or folder), limits, engine or {})
    proposals = GENERATORS[settings["kind"]](settings, found, work)
    invalid: collections.Counter[str] = collections.Counter()
    errors: collections.Counter[str] = collections.Counter()
    usable = _usable(proposals, round, prompt, invalid)
    written = write_split(_noted(deduplicated(usable), errors), folder / CANDIDATES, prompt)
    counts = {
        "round": round,
        "generator": settings["name"],
        "asked": len(found),
        "generated": len(proposals.found),
        "bad_replies": dict(sorted(proposals.bad.items())),
        "invalid": dict(sorted(invalid.items())),
        "duplicates": len(proposals.found) - invalid.total() - written["rows"],
        "rows": written["rows"],
        "errors": dict(sorted(errors.items())) if settings["kind"] == "template" else None,
        "notes": proposals.notes,
    }
    write_json(folder / SUMMARY, counts)
    return counts


def _usable(
    proposals: Proposals, round: int, prompt: Mapping, invalid: collections.Counter
) -> Iterator[Sample]:
    """The triplets that can be used, as rows; the others are counted by reason."""
    for source, triplet in proposals.found:
        triplet = completed(triplet, source)
        reason = problem(triplet)
        if reason is None:
            sample = sample_of(source, triplet, round)
            if not is_lost(sample, prompt):
                yield sample
                continue
            reason = "the answer is lost in the prompt's target"
        invalid[reason] += 1


def is_lost(sample: Sample, prompt: Mapping) -> bool:
    """Whether the policy's own target would not be read as the answer, so that no right response could be paid.

    >>> row = Sample(id="1", source="demo", question="?", kind="label", answer="a} b", choices=("a} b", "c"))
    >>> is_lost(row, {"target": r"\\\\boxed{{ '{' }}{{ answer }}{{ '}' }}"}), is_lost(row, {"target": "<answer>{{ answer }}</answer>"})
    (True, False)
    """
    if not any(mark in str(prompt.get("target") or "") for mark in _MARKS):
        return False
    return read(parse(target(sample, prompt)), sample) not in (sample.answer, gold(sample))


def _noted(samples: Iterable[Sample], errors: collections.Counter) -> Iterator[Sample]:
    """The samples, their deliberate errors counted by kind."""
    for sample in samples:
        if sample.meta.get("is_error"):
            errors[sample.meta.get("error") or "of its source"] += 1
        yield sample
