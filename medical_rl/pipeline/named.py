"""What a configuration names outside itself: models, data, corpora, services, trackers. Are they there?

Nothing here asks a network: a Hub id that is not in the cache and an endpoint are listed as not checked.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.sources.hub import is_hub_id
from medical_rl.errors import UserError
from medical_rl.rewards.mix import Mix
from medical_rl.stages import LOOP, reinforces, that_train
from medical_rl.stages.common.further_sets import further_sets
from medical_rl.stages.common.models import is_local, resolve_model

DISTANT_TRACKERS = (
    "wandb",
    "tracking",
    "vemlp_wandb",
    "mlflow",
    "swanlab",
    "clearml",
    "trackio",
    "rl_insight",
)


@dataclass(frozen=True)
class NamedModel:
    """A model that the configuration names.

    setting  that names it
    path     a folder or a hub id
    stage    that takes it first, and downloads it where it is a hub id
    """

    setting: str
    path: str
    stage: str


@dataclass
class Findings:
    """Sentences: what is `there`, what could not be checked (`unchecked`), and the `problems`."""

    there: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def check(self, ask: Callable[[], str]) -> None:
        """Note what `ask` says is there, or the UserError that it raises."""
        try:
            self.there.append(ask())
        except UserError as error:
            self.problems.append(str(error))


def named_models(config: DictConfig) -> list[NamedModel]:
    """The models that the planned stages take, each once, in the order of the stages."""
    conf, stages = config.conf, list(config.conf.stages)
    models = []
    if conf.model.path is not None:
        using = [stage for stage in stages if stage in (*that_train(), LOOP, "evaluate")]
        models.append(("conf.model.path", conf.model.path, using[0] if using else "prepare"))
    if {"retrieve"} & set(stages) and not conf.pseudo_label.path and conf.retriever.kind == "clip":
        models.append(("conf.retriever.model", conf.retriever.model, "retrieve"))
    labelling = [stage for stage in ("calibrate", "align", "pseudo_label") if stage in stages]
    if labelling and not conf.pseudo_label.path and conf.labeller.kind == "local":
        models.append(("conf.labeller.model", conf.labeller.model, labelling[0]))
    training = conf.get("reward_training")
    if "reward_model" in stages and training:
        own = "path" if training.path else "model"
        models.append((f"conf.reward_training.{own}", training[own], "reward_model"))
    if LOOP in stages:
        if conf.generator.kind == "local":
            models.append(("conf.generator.model", conf.generator.model, "round_1/generate"))
        if "distil" in conf.loop.steps:
            models.append(("conf.loop.distil.model", conf.loop.distil.model, "round_1/distil"))
    server = (conf.get("reward_model") or {}).get("serve")
    if server and reinforces(stages) and "reward_model" in Mix.from_config(plain(conf.rewards)).needs:
        models.append(("conf.reward_model.serve.path", server.path, "rl"))
    if "evaluate" in stages:
        models += [
            ("conf.evaluation.models", path, "evaluate") for path in conf.evaluation.get("models") or ()
        ]
    first: dict[str, NamedModel] = {}
    for setting, path, stage in models:
        if path:
            first.setdefault(str(path), NamedModel(setting, str(path), stage))
    return list(first.values())


def named_services(config: DictConfig) -> Iterator[tuple[str, str]]:
    """(setting, address) of each service that a planned stage asks."""
    conf = config.conf
    judge = plain(conf.get("judge")) or {}
    if judge.get("enabled") and judge.get("mode", "live") == "live":
        yield "conf.judge.endpoint.base_url", str(judge["endpoint"]["base_url"])
    for group, planned in (("generator", LOOP in conf.stages), ("labeller", "pseudo_label" in conf.stages)):
        settings = plain(conf.get(group)) or {}
        if planned and settings.get("kind") == "endpoint":
            service = settings["service"]
            if service.get("mode", "live") == "live":
                yield f"conf.{group}.service.endpoint.base_url", str(service["endpoint"]["base_url"])
    address = (plain(conf.get("reward_model")) or {}).get("base_url")
    if address:
        yield "conf.reward_model.base_url", str(address)


def named_problems(config: DictConfig) -> list[str]:
    """What is named and not there, of all that can be seen without a network and without reading data."""
    found = Findings()
    for model in named_models(config):
        check_model_here(model, found)
    check_sources(config, found)
    check_corpora(config, found)
    return found.problems


def check_model_here(model: NamedModel, found: Findings) -> None:
    """Note whether a folder holds a model; a hub id is looked for in the cache alone."""
    if is_local(model.path) or os.environ.get("HF_HUB_OFFLINE"):
        found.check(lambda: _in_place(model))
        return
    try:
        found.there.append(_in_place(model))
    except UserError:
        found.unchecked.append(
            f"{model.setting}={model.path} is not in the cache; {model.stage} downloads it from the Hub"
        )


def _in_place(model: NamedModel) -> str:
    if model.setting == "conf.retriever.model" and is_local(
        model.path
    ):  # CLIP's tokenizer files have other names
        if not (Path(model.path).expanduser() / "config.json").is_file():
            raise UserError(f"{model.setting}={model.path} is no model folder: it has no config.json.")
        return f"{model.setting}={model.path}"
    return f"{model.setting}={resolve_model(model.path, download=False, setting=model.setting)}"


def check_sources(config: DictConfig, found: Findings) -> None:
    """Note whether the files and folders of the run's data, reports and further sets exist."""
    sources = [("conf.data.source", config.conf.data.get("source"))]
    sources.append(("conf.data.reports", config.conf.data.get("reports")))
    if "evaluate" in config.conf.stages:
        sources += [
            (f"conf.evaluation.data ({data['name']})", data["source"]) for data, _ in further_sets(config)
        ]
    for setting, source in sources:
        if not source:
            continue
        if is_hub_id(source):
            found.unchecked.append(f"{setting}={source} is a set of the Hub")
        elif Path(str(source)).expanduser().exists():
            found.there.append(f"{setting}={source}")
        else:
            found.problems.append(f"{setting}={source} does not exist: there is no such file or folder here.")


def check_corpora(config: DictConfig, found: Findings) -> None:
    """Note whether the synonyms of R_phi's graded texts are there (WordNet is a download of its own)."""
    training = config.conf.get("reward_training")
    if not training or not {"reward_model", LOOP, "prepare"} & set(config.conf.stages):
        return
    if training.path and config.conf.model.path is not None:
        return  # nothing is graded
    from medical_rl.reward_model.grading.synonyms import load

    name = str(training.synonyms)
    try:
        load(name)
        found.there.append(f"synonyms: {name}")
    except UserError as error:
        found.problems.append(f"conf.reward_training.synonyms={name}: {error}")


def distant_trackers(config: DictConfig) -> list[str]:
    """The trackers of trainer.logger that log in to a server; whether verl has them, its own check says."""
    loggers = plain(config.trainer.logger)
    named = [loggers] if isinstance(loggers, str) else list(loggers)
    return [name for name in named if name in DISTANT_TRACKERS]
