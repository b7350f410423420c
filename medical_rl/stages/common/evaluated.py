"""What an evaluation compares: rows (the run's test split, further sets), and the models asked on them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.evaluation.results import file_stem
from medical_rl.loop.plan import split_stage
from medical_rl.run.folder import RunFolder
from medical_rl.stages import that_train
from medical_rl.stages.common.further_sets import further_sets, prepare_further
from medical_rl.stages.common.models import base_model, resolve_model

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
    """The run's own split first, then each set of `conf.evaluation.data`, prepared in data_<name>/."""
    prompt = plain(config.conf.prompt)
    own = folder.path / "data"
    split = str(config.conf.evaluation.split)
    sets = [EvalSet(str(config.conf.data.name), own / f"{split}.parquet", prompt, notes=card_notes(own))]
    further = further_sets(config)
    trained_images: set[bytes] = set()
    for name in TRAINED_SPLITS if further else ():
        if (own / f"{name}.parquet").exists():
            for sample in read_samples(own / f"{name}.parquet"):
                trained_images |= _digests(sample.images)
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


def _digests(images) -> set[bytes]:
    return {hashlib.sha256(image).digest() for image in images}


@dataclass(frozen=True)
class EvaluatedModel:
    """A model to evaluate.

    name    as in results.json: base, a stage that trains the policy, or the id of a model that is none of
            the run's
    round   of a loop, counted from 1; None outside one
    model   its folder
    file    what its files in predictions/ begin with
    """

    name: str
    round: int | None
    model: str
    file: str


def evaluated_models(config: DictConfig, folder: RunFolder) -> tuple[list[EvaluatedModel], list[str]]:
    """The (models, notes) in the order of the results: base, the run's, then `conf.evaluation.models`."""
    policies, notes = trained_models(config, folder)
    models = [EvaluatedModel("base", None, base_model(config, folder), "base")] + policies
    for name in dict.fromkeys(map(str, config.conf.evaluation.get("models") or ())):
        model = resolve_model(name, setting="conf.evaluation.models")
        models.append(EvaluatedModel(name, None, model, file_stem(name)))
    return models, notes


def trained_models(config: DictConfig, folder: RunFolder) -> tuple[list[EvaluatedModel], list[str]]:
    """The (models, notes) trained from what the run folder holds now: by round, warm start before RL.

    A model whose own inputs have changed since (RL from an earlier warm start, say) is left out, with a note.
    """
    order = that_train()
    models, notes = [], []
    for stage in folder.manifest()["stages"]:
        round_, name = split_stage(stage)
        if name not in order or (name == "warm_start" and not config.conf.warm_start.enabled):
            continue
        model = folder.output(stage, "model")
        if model is None:
            continue
        if folder.is_current(stage):
            models.append(EvaluatedModel(name, round_, str(model), stage.replace("/", ".")))
        else:
            notes.append(
                f"{stage} was trained from inputs that have changed since, so it is left out: run that "
                "stage again."
            )
    return sorted(models, key=lambda model: (model.round or 0, order.index(model.name))), notes
