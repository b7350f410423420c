"""The models an evaluation compares: the base, the run's own round by round, and the user's choice."""

from dataclasses import dataclass

from omegaconf import DictConfig

from medical_rl.evaluation.results import file_stem
from medical_rl.loop.plan import split_stage
from medical_rl.run.folder import RunFolder
from medical_rl.stages import that_train
from medical_rl.stages.common.models import base_model, resolve_model


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
    base = EvaluatedModel("base", None, base_model(config, folder), "base")
    return [base, *policies, *further_models(config)], notes


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
                f"{stage} was trained from inputs that have changed since, so it is left out: "
                "run that stage again."
            )
    return sorted(models, key=lambda model: (model.round or 0, order.index(model.name))), notes


def further_models(config: DictConfig) -> list[EvaluatedModel]:
    """The models of `conf.evaluation.models` in their order, a hub id downloaded.

    Raises UserError for one that cannot be had.
    """
    names = dict.fromkeys(map(str, config.conf.evaluation.get("models") or ()))
    models = []
    for name in names:
        folder = resolve_model(name, setting="conf.evaluation.models")
        models.append(EvaluatedModel(name, None, folder, file_stem(name)))
    return models
