"""Prepare a dataset: a reader's rows to `<split>.parquet`, with `card.json` and `README.md`.

Everything is written into a hidden folder inside `out` and moved at the end, so a failure
leaves `out` as it was. A second call with the same recipe and intact files does nothing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.data import ahead, parquet, readers, recipe, splits
from medical_rl.data import card as cards
from medical_rl.data import knowledge as knowledges
from medical_rl.data.drops import Drops, sentences
from medical_rl.data.pace import Pace
from medical_rl.errors import UserError
from medical_rl.sample import Sample

# Only these may share a group: warm-start rows are training rows.
_TRAINING = ("warm_start", "train")


class BadSplit(UserError):
    """A split leaks into another or has nothing left; exit code 1, as the command itself was right."""

    exit_code = 1


def prepare(data_cfg: Mapping, prompt_cfg: Mapping, out: Path | str, seed: int, batch_size: int) -> dict:
    """The card of the prepared data in `out`; writes it where it is not there yet.

    data_cfg    name, reader, source, params (of the reader), only (the splits wanted; null: all),
                shots and test_per_class (rows a class),
                limit (train rows), train_repeat (repeat train to one batch; else too few rows is an error),
                knowledge (visual attributes of the classes: see `medical_rl.data.knowledge`),
                num_proc (rows made at a time; null takes the CPUs there are): the outcome does not depend on it
    prompt_cfg  name, template, system, target: see `medical_rl.data.prompts`
    batch_size  rows of one training batch; verl stops with fewer

    Raises UserError (exit 2) for unusable input, BadSplit (exit 1) for a leak or a split with no rows.
    """
    out, data, prompt = Path(out), recipe.plain(data_cfg), recipe.plain(prompt_cfg)
    reader = readers.load_reader(data["reader"])
    params = data.get("params") or {}
    readers.check_params(reader, data["reader"], params)
    about = reader.describe(data.get("source"), **params)
    fingerprint = recipe.fingerprint(data, prompt, seed, batch_size, about, reader)
    if (card := cards.kept(out, fingerprint)) is not None:
        return card
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(prefix=".preparing-", dir=out)
    except OSError as error:
        raise UserError(f"The output folder {out.absolute()} cannot be written: {error.strerror or error}.") from error
    drops = Drops()
    read = functools.partial(reader.rows, **params, **({"drops": drops} if readers.takes_drops(reader) else {}))
    with staging as folder, ahead.workers(data.get("num_proc")), Pace() as pace:
        tallies = {split: _Tally() for split in readers.splits(reader, params, data.get("only"))}
        facts = {}
        for split, tally in tallies.items():
            rows = _chosen(tally.reading(pace.reading(split, read(data.get("source"), split))), split, data, seed)
            rows = _filled(tally.choosing(rows), split, data, batch_size, seed, drops)
            rows = knowledges.fill(rows, data.get("knowledge"))
            counts = parquet.write_split(rows, Path(folder, f"{split}.parquet"), prompt)
            facts[split] = cards.split_facts(counts, tally.read, tally.distinct)
        _refuse_leaks(tallies)
        dropped = drops.summary()
        changes = sentences(dropped) + _changes(facts, data)
        warnings = _shared_images(tallies) + knowledges.warnings(data.get("knowledge"))
        card = {
            "name": data.get("name") or data["reader"],
            "recipe": fingerprint,
            "about": about,
            "seed": seed,
            "prompt": prompt.get("name", ""),
            "knowledge": knowledges.told(data.get("knowledge")),
            "splits": facts,
            "dropped": dropped,
            "changes": changes,
            "warnings": warnings,
            "notes": [*about.get("altered", ()), *changes, *warnings],
            "files": {f"{split}.parquet": cards.sha256(Path(folder, f"{split}.parquet")) for split in facts},
        }
        _move(card, Path(folder), out)
    return card


class _Tally:
    """What passed through one split: rows read, rows chosen, their groups and their images."""

    def __init__(self) -> None:
        self.read = self.distinct = 0
        self.groups: set[str] = set()
        self.images: set[bytes] = set()

    def reading(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.read += 1
            yield sample

    def choosing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.distinct += 1
            self.groups.add(sample.group or sample.id)
            self.images.update(hashlib.sha256(data).digest()[:16] for data in sample.images)
            yield sample


def _chosen(samples: Iterator[Sample], split: str, data: dict, seed: int) -> Iterable[Sample]:
    """Top-k by score, then shots, balanced and limit on train, `test_per_class` on test; every other split whole."""
    if split == "train" and data.get("top_k") is not None:
        samples = splits.top_k(samples, data["top_k"], data.get("score"), seed)
    if split == "train" and data.get("shots") is not None:
        samples = splits.k_shot(samples, data["shots"], seed)
    if split == "train" and data.get("balanced") is not None:
        samples = splits.balanced(samples, data["balanced"], seed)
    if split == "train" and data.get("limit") is not None:
        samples = splits.limit(samples, data["limit"], seed)
    if split == "test" and data.get("test_per_class") is not None:
        samples = splits.k_shot(samples, data["test_per_class"], seed)
    return samples


def _filled(
    samples: Iterator[Sample], split: str, data: dict, batch_size: int, seed: int, drops: Drops
) -> Iterable[Sample]:
    """The samples, at least one of them; train repeated to one batch where it is shorter."""
    needed = max(1, batch_size) if split == "train" else 1
    head = list(itertools.islice(samples, needed))
    if not head:
        told = [f"The split {split} of {data.get('name') or data['reader']} has no rows left."]
        told += sentences(drops.summary())
        if split != "test":
            told.append("A set that is only tested on needs no other split: conf.data.only=[test] (--only test).")
        raise BadSplit(" ".join(told))
    if len(head) == needed:
        return itertools.chain(head, samples)
    if not data.get("train_repeat", True):
        raise UserError(
            f"train has {len(head)} rows, fewer than one batch of {needed}, and train_repeat is false. Set it to true "
            "to repeat rows, or make the batch smaller."
        )
    return splits.repeat_to(head, needed, seed)


def _refuse_leaks(tallies: Mapping[str, _Tally]) -> None:
    for one, other in itertools.combinations(tallies, 2):
        if shared := set() if {one, other} <= set(_TRAINING) else tallies[one].groups & tallies[other].groups:
            raise BadSplit(
                f"{len(shared)} groups (patients, lesions or studies) are in both {one} and {other}, for instance "
                f"{min(shared)!r}. A model would be tested on what it was trained on; split by group."
            )


def _shared_images(tallies: Mapping[str, _Tally]) -> list[str]:
    """A sentence for every pair of splits with byte-identical images: published sets have them, so it is no error."""
    pairs = itertools.combinations(tallies, 2)
    shared = [(one, other, len(tallies[one].images & tallies[other].images)) for one, other in pairs]
    return [f"{n:,} images of {other} are identical to images of {one}." for one, other, n in shared if n]


def _changes(facts: Mapping[str, dict], data: dict) -> list[str]:
    """What was left out or repeated by choice, a sentence each."""
    changes = []
    for split, fact in facts.items():
        options = ("test_per_class",) if split == "test" else ("top_k", "score", "shots", "balanced", "limit")
        why = ", ".join(f"{name}={data[name]}" for name in options if data.get(name) is not None)
        if fact["distinct"] < fact["read"]:
            changes.append(f"{split}: {fact['distinct']:,} of {fact['read']:,} rows were kept ({why}).")
        if fact["rows"] > fact["distinct"]:
            changes.append(f"{split}: {fact['distinct']:,} rows were repeated to {fact['rows']:,}, to fill one batch.")
    return changes


def _move(card: dict, folder: Path, out: Path) -> None:
    """Everything into place; without a card in between, so that a mixture is never taken for whole."""
    stale = cards.files(out) - set(card["files"])
    (out / "card.json").unlink(missing_ok=True)
    for name in card["files"]:
        os.replace(folder / name, out / name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    cards.save(card, out)
