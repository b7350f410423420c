"""Which models an evaluation compares: the base, what the run has trained round by round, and others of the user's choice."""

from __future__ import annotations

import re
from dataclasses import dataclass

from omegaconf import DictConfig

from medical_rl.evaluation.predictions import stem
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.models import base_model, resolve_model

TRAINED = ("warm_start", "sft", "rl", "localize_sft", "localize_rl")  # in the order in which they are listed
_STAGE = re.compile(r"(?:round_(\d+)/)?(\w+)")


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate.

    name    as in results.json: base, one of TRAINED, or the id of a model that is none of the run's
    round   of a loop, counted from 1; None outside one
    model   its folder
    file    what its files in predictions/ begin with
    """

    name: str
    round: int | None
    model: str
    file: str


def candidates(config: DictConfig, folder: RunFolder) -> tuple[list[Candidate], list[str]]:
    """(the models in the order of the results, notes): base, what was trained, then `conf.evaluation.models`."""
    trained, notes = trained_models(config, folder)
    return [
        Candidate("base", None, base_model(config, folder), "base"),
        *trained,
        *further_models(config),
    ], notes


def trained_models(config: DictConfig, folder: RunFolder) -> tuple[list[Candidate], list[str]]:
    """(models, notes): the trained models that follow from what the run folder holds now, by round, warm start before RL.

    A stage is `<name>` or, in a loop, `round_<k>/<name>`. A model whose own inputs have changed since (RL from an
    earlier warm start, say) is left out, with a note.
    """
    found, notes = [], []
    for stage in folder.manifest()["stages"]:
        match = _STAGE.fullmatch(stage)
        name = match[2] if match else ""
        if name not in TRAINED or (name == "warm_start" and not config.conf.warm_start.enabled):
            continue
        model = folder.output(stage, "model")
        if model is None:
            continue
        if folder.is_current(stage):
            round = int(match[1]) if match[1] else None
            found.append(Candidate(name, round, str(model), stem(name, round)))
        else:
            notes.append(
                f"{stage} was trained from inputs that have changed since, so it is left out: run that stage again."
            )
    return sorted(found, key=lambda one: (one.round or 0, TRAINED.index(one.name))), notes


def further_models(config: DictConfig) -> list[Candidate]:
    """The models of `conf.evaluation.models` in their order, a hub id downloaded; UserError for one that cannot be had."""
    named = list(dict.fromkeys(str(one) for one in config.conf.evaluation.get("models") or ()))
    setting = "conf.evaluation.models"
    return [Candidate(name, None, resolve_model(name, setting=setting), stem(name)) for name in named]
