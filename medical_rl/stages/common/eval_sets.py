"""Which rows models are evaluated on: the run's own test split, and the further sets of `conf.evaluation.data`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError, unknown
from medical_rl.run.folder import RunFolder

LEARNED_FROM = ("warm_start", "train")


@dataclass(frozen=True)
class MeasuredOn:
    """A prepared split that models are evaluated on.

    name      of the data, as in results.json
    rows      its parquet file
    prompt    how it is asked
    folder    where its predictions go, below predictions/; "" for the run's own data
    left_out  ids of rows whose image the run trains on
    notes     of its card, and what was left out
    """

    name: str
    rows: Path
    prompt: Mapping
    folder: str = ""
    left_out: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def measured_on(config: DictConfig, folder: RunFolder) -> list[MeasuredOn]:
    """The run's own split first, then each set of `conf.evaluation.data`, prepared below the run folder in data_<name>/."""
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    own = folder.path / "data"
    split = str(config.conf.evaluation.split)
    found = [MeasuredOn(str(config.conf.data.name), own / f"{split}.parquet", prompt, notes=card_notes(own))]
    further = further_sets(config)
    learned = _images(own) if further else set()
    for data, asked in further:
        out = folder.path / f"data_{data['name']}"
        prepare_further(data, asked, out, config)
        rows = out / f"{split}.parquet"
        known = frozenset(s.id for s in read_samples(rows) if learned & _digests(s.images))
        told = (
            [f"{data['name']}: {len(known):,} rows are left out, whose image this run trains on."]
            if known
            else []
        )
        found.append(MeasuredOn(data["name"], rows, asked, data["name"], known, (*card_notes(out), *told)))
    return found


def card_notes(prepared: Path) -> tuple[str, ...]:
    """What the card of a prepared folder says beside its numbers."""
    card = json.loads((prepared / "card.json").read_text(encoding="utf-8"))
    return (*card["about"].get("notes", []), *card["notes"])


def prepare_further(data: Mapping, prompt: Mapping, out: Path, config: DictConfig) -> dict:
    """The card of a further set, its one split prepared into `out`; a second call with the same settings does nothing."""
    from medical_rl.data.prepare.prepare import prepare

    return prepare(data, prompt, out, seed=int(config.conf.seed), batch_size=1)


def further_sets(config: DictConfig, entries=None) -> list[tuple[dict, dict]]:
    """(data, prompt) of each entry, composed and resolved as the run's own; UserError for a wrong one.

    entries  of `conf.evaluation.data` where None. One is a choice of conf/data, or a mapping {choice, prompt (a choice of conf/prompt), any field of the data}.
    """
    found, taken = [], {str(config.conf.data.name)}
    for entry in config.conf.evaluation.get("data") or () if entries is None else entries:
        given = {"choice": entry} if isinstance(entry, str) else OmegaConf.to_container(entry, resolve=True)
        data, prompt = _composed(dict(given), config)
        if data["name"] in taken:
            raise UserError(
                f"Two sets that are evaluated are named {data['name']!r}. Give this one another name: "
                f"conf.evaluation.data=[{{choice: {given['choice']}, name: ...}}]."
            )
        taken.add(data["name"])
        found.append((data, prompt))
    return found


def _composed(given: dict, config: DictConfig) -> tuple[dict, dict]:
    from medical_rl.config.compose import choices, choose
    from medical_rl.data import knowledge
    from medical_rl.data.prepare.command import load_prompt

    choice, prompt = str(given.pop("choice", None)), given.pop("prompt", None)
    if choice not in choices("data"):
        raise unknown("choice of conf/data", choice, choices("data"))
    base = OmegaConf.create({"conf": {**OmegaConf.to_container(config.conf, resolve=True), "data": None}})
    base.conf.data = choose("data", choice)
    known = list(base.conf.data.keys())  # those that must be given too: `in` leaves them out
    if wrong := [key for key in given if key not in known]:
        raise unknown(f"field of conf/data={choice}", wrong[0], [*known, "prompt"])
    base.conf.data = OmegaConf.merge(base.conf.data, given, {"only": [str(config.conf.evaluation.split)]})
    if missing := sorted(key.removeprefix("conf.data.") for key in OmegaConf.missing_keys(base.conf.data)):
        raise UserError(
            f"The further test set {choice} needs {', '.join(missing)}: conf.evaluation.data=[{{choice: {choice}, {missing[0]}: ...}}]."
        )
    data = OmegaConf.to_container(base.conf.data, resolve=True)
    told = config.conf.get("knowledge") or {}
    has = bool(told.get("attributes")) and choice in choices("knowledge")
    data["knowledge"] = knowledge.load(choice) if has else None
    if prompt in choices("prompt"):
        base.conf.prompt = choose("prompt", prompt)
    elif prompt:
        base.conf.prompt = load_prompt(str(prompt))
    return data, OmegaConf.to_container(base.conf.prompt, resolve=True)


def _images(prepared: Path) -> set[bytes]:
    """Digests of the images that the run learns from."""
    paths = [path for split in LEARNED_FROM if (path := prepared / f"{split}.parquet").exists()]
    return {digest for path in paths for sample in read_samples(path) for digest in _digests(sample.images)}


def _digests(images) -> set[bytes]:
    return {hashlib.sha256(image).digest() for image in images}
