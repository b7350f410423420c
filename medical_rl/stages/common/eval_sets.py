"""The rows models are evaluated on: the run's own test split, and sets of `conf.evaluation.data`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.further_sets import further_sets, prepare_further

TRAINED_SPLITS = ("warm_start", "train")


@dataclass(frozen=True)
class EvalSet:
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


def eval_sets(config: DictConfig, folder: RunFolder) -> list[EvalSet]:
    """The run's own split first, then each set of `conf.evaluation.data`.

    The latter are prepared below the run folder in data_<name>/.
    """
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    own = folder.path / "data"
    split = str(config.conf.evaluation.split)
    sets = [EvalSet(str(config.conf.data.name), own / f"{split}.parquet", prompt, notes=card_notes(own))]
    further = further_sets(config)
    trained_images = _trained_images(own) if further else set()
    for data, set_prompt in further:
        name = data["name"]
        out = folder.path / f"data_{name}"
        prepare_further(data, set_prompt, out, config)
        rows = out / f"{split}.parquet"
        left_out = frozenset(row.id for row in read_samples(rows) if trained_images & _digests(row.images))
        notes = card_notes(out)
        if left_out:
            notes += (f"{name}: {len(left_out):,} rows are left out, whose image this run trains on.",)
        sets.append(EvalSet(name, rows, set_prompt, name, left_out, notes))
    return sets


def card_notes(prepared: Path) -> tuple[str, ...]:
    """The notes on the card of a prepared folder."""
    card = json.loads((prepared / "card.json").read_text(encoding="utf-8"))
    return tuple(card["about"].get("notes", []) + card["notes"])


def _trained_images(prepared: Path) -> set[bytes]:
    """The digests of the images that the run learns from."""
    digests = set()
    for split in TRAINED_SPLITS:
        path = prepared / f"{split}.parquet"
        if path.exists():
            for sample in read_samples(path):
                digests |= _digests(sample.images)
    return digests


def _digests(images) -> set[bytes]:
    return {hashlib.sha256(image).digest() for image in images}
