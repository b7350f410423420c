"""Prepare a dataset: a reader's rows to `<split>.parquet`, its reports to `reports.parquet`, with `card.json` and `README.md`.

Everything is written into a hidden folder inside `out` and moved at the end, so a failure
leaves `out` as it was. A second call with the same recipe and intact files does nothing.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.data import knowledge as knowledges
from medical_rl.data import parquet
from medical_rl.data.drops import Drops, sentences
from medical_rl.data.prepare import ahead, corpus, gold, output_folder, readers, splits
from medical_rl.data.prepare import card as cards
from medical_rl.data.prepare import fingerprint as recipe
from medical_rl.data.prepare.leaks import BadSplit, Tally, refuse_leaks, shared_images
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.errors import UserError
from medical_rl.run.progress import Pace
from medical_rl.sample import Sample

# Draws the rows of `test_per_class`: not the run's seed, so that every run is tested on the same rows.
TEST_SEED = 0
# What may leave training rows out, in the order in which it does.
TRAIN_OPTIONS = ("train_where", "top_k", "score", "shots", "balanced", "limit")


def prepare(data_cfg: Mapping, prompt_cfg: Mapping, out: Path | str, seed: int, batch_size: int) -> dict:
    """The card of the prepared data in `out`; writes it where it is not there yet.

    data_cfg    name, reader, source, params (of the reader), only (the splits wanted; null: all),
                train_where ({meta key: values}: rows of train and val that are used),
                shots and test_per_class (rows a class), whole_from (from so many shots on, train is taken whole),
                limit (train rows), train_repeat (repeat train to one batch; else too few rows is an error),
                knowledge (visual attributes of the classes: see `medical_rl.data.knowledge`),
                reports (files or folders of the reports to retrieve; null: those of the source; false: none),
                num_proc (rows made at a time; null takes the CPUs there are): the outcome does not depend on it
    prompt_cfg  name, template, system, target: see `medical_rl.data.prompts`
    batch_size  rows of one training batch; verl stops with fewer

    Raises UserError (exit 2) for unusable input, BadSplit (exit 1) for a leak or a split with no rows.
    """
    out, data, prompt = Path(out), recipe.plain(data_cfg), recipe.plain(prompt_cfg)
    reader = readers.load_reader(data["reader"])
    params = data.get("params") or {}
    readers.check_params(reader, data["reader"], params)
    output_folder.refuse_others(out, data.get("source"), readers.splits(reader, params, data.get("only")))
    with _source_told(data.get("source")):
        about = reader.describe(data.get("source"), **params)
        fingerprint = recipe.fingerprint(data, prompt, seed, batch_size, about, reader, out)
    if (card := cards.kept(out, fingerprint)) is not None:
        return card
    drops = Drops()
    read = functools.partial(
        reader.rows, **params, **({"drops": drops} if readers.takes_drops(reader) else {})
    )
    with output_folder.staging(out) as folder, ahead.workers(data.get("num_proc")), Pace() as pace:
        tallies = {split: Tally() for split in readers.splits(reader, params, data.get("only"))}
        facts = {}
        for split, tally in tallies.items():
            rows = pace.reading(split, _rows(read, data.get("source"), split))
            rows = _chosen(tally.reading(rows), split, data, seed)
            rows = _filled(tally.choosing(rows), split, data, batch_size, seed, drops)
            rows = knowledges.fill(rows, data.get("knowledge"))
            rows = gold.proved(rows, prompt)
            counts = parquet.write_split(rows, folder / f"{split}.parquet", prompt)
            facts[split] = cards.split_facts(counts, tally.read, tally.distinct)
        refuse_leaks(tallies)
        with _source_told(data.get("source")):
            reports = corpus.write(reader, data, about, tallies, folder, drops)
        dropped = drops.summary()
        changes = sentences(dropped) + _changes(facts, data)
        warnings = shared_images(tallies) + knowledges.warnings(data.get("knowledge"))
        card = {
            "name": data.get("name") or data["reader"],
            "recipe": fingerprint,
            "about": about,
            "params": cards.public(params),
            "seed": seed,
            "prompt": prompt.get("name", ""),
            "knowledge": knowledges.told(data.get("knowledge")),
            "splits": facts,
            "reports": reports,
            "dropped": dropped,
            "changes": changes,
            "warnings": warnings,
            "notes": [*about.get("altered", ()), *changes, *warnings],
            "files": {name: cards.sha256(folder / name) for name in _written(facts, reports)},
        }
        output_folder.move(card, folder, out)
    return card


@contextlib.contextmanager
def _source_told(source) -> Iterator[None]:
    """Whatever the system says while the source is read, as the user's to mend: an OSError that is left is of writing."""
    try:
        yield
    except OSError as error:
        raise UserError(f"The source {source} cannot be read: {error}.") from error


def _written(facts: Mapping, reports: Mapping | None) -> list[str]:
    """The names of the parquet files."""
    return [*(f"{split}.parquet" for split in facts), *([REPORTS] if reports else [])]


def _rows(read, source, split: str) -> Iterator[Sample]:
    with _source_told(source):
        yield from read(source, split)


def _chosen(samples: Iterator[Sample], split: str, data: dict, seed: int) -> Iterable[Sample]:
    """`train_where`, then top-k by score, shots, balanced and limit on train, `test_per_class` on test; every other split whole."""
    if split != "test" and data.get("train_where"):
        samples = splits.where(samples, data["train_where"], split)
    if split == "train" and data.get("top_k") is not None:
        samples = splits.top_k(samples, data["top_k"], data.get("score"), seed)
    if split == "train" and data.get("shots") is not None:
        samples = splits.k_shot(samples, data["shots"], seed, whole_from=data.get("whole_from"))
    if split == "train" and data.get("balanced") is not None:
        samples = splits.balanced(samples, data["balanced"], seed)
    if split == "train" and data.get("limit") is not None:
        samples = splits.limit(samples, data["limit"], seed)
    if split == "test" and data.get("test_per_class") is not None:
        samples = splits.k_shot(samples, data["test_per_class"], TEST_SEED)
    return samples


def _filled(
    samples: Iterator[Sample], split: str, data: dict, batch_size: int, seed: int, drops: Drops
) -> Iterable[Sample]:
    """The samples, at least one of them; train repeated to one batch where it is shorter."""
    needed = max(1, batch_size) if split == "train" else 1
    head = list(itertools.islice(samples, needed))
    if not head and (data.get("params") or {}).get(f"{split}_share") == 0:
        raise BadSplit(
            f"The split {split} has no rows, as {split}_share is 0. Training chooses its checkpoint on val and reports on "
            f"test: give it a share, such as 0.1 (conf.data.params.{split}_share, --{split}-share)."
        )
    if not head:
        told = [f"The split {split} of {data.get('name') or data['reader']} has no rows left."]
        told += sentences(drops.summary())
        if split != "test":
            told.append(
                "A set that is only tested on needs no other split: conf.data.only=[test] (--only test)."
            )
        raise BadSplit(" ".join(told))
    if len(head) == needed:
        return itertools.chain(head, samples)
    if not data.get("train_repeat", True):
        raise UserError(
            f"train has {len(head)} rows, fewer than one batch of {needed}, and train_repeat is false. Set it to true "
            "to repeat rows, or make the batch smaller."
        )
    return splits.repeat_to(head, needed, seed)


def _changes(facts: Mapping[str, dict], data: dict) -> list[str]:
    """What was left out or repeated by choice, a sentence each."""
    changes = []
    for split, fact in facts.items():
        options = {"test": ("test_per_class",), "train": TRAIN_OPTIONS}.get(split, ("train_where",))
        why = ", ".join(f"{name}={data[name]}" for name in options if data.get(name) is not None)
        if fact["distinct"] < fact["read"]:
            changes.append(f"{split}: {fact['distinct']:,} of {fact['read']:,} rows were kept ({why}).")
        if split == "train" and (data.get("shots") or 0) >= (data.get("whole_from") or math.inf):
            changes.append(
                f"train: taken whole, as from {data['whole_from']} shots on (shots={data['shots']})."
            )
        if fact["rows"] > fact["distinct"]:
            changes.append(
                f"{split}: {fact['distinct']:,} rows were repeated to {fact['rows']:,}, to fill one batch."
            )
    return changes
