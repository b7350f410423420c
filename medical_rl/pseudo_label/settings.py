"""conf.retriever, conf.calibration, conf.labeller and conf.alignment, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping

from medical_rl.errors import UserError, unknown
from medical_rl.judges.endpoint import Endpoint
from medical_rl.pseudo_label import labellers
from medical_rl.pseudo_label.calibration.settings import calibration_settings
from medical_rl.pseudo_label.retrieval import retrievers

STAGES = ("retrieve", "calibrate", "align", "pseudo_label")
CONCEPTS = ("judge", "prepared")


def check_labels(conf: Mapping) -> None:
    """None; UserError for a setting of the pseudo-labels that could not work, where a stage of theirs is planned.

    Retrieval and alignment may take hours before the labeller is first asked: a missing key is said now.
    """
    if not set(STAGES) & set(conf["stages"]) or conf["pseudo_label"]["path"]:
        return
    retrievers.checked(conf["retriever"])
    calibration_settings(conf["calibration"])
    _check_labeller(conf["labeller"])
    wanted = conf["pseudo_label"]["concepts"]
    if wanted not in CONCEPTS:
        raise unknown("conf.pseudo_label.concepts", wanted, CONCEPTS)
    if wanted == "judge" and not (conf.get("judge") or {}).get("enabled"):
        raise UserError(
            "conf.pseudo_label.concepts=judge asks a language model, and no judge is chosen (conf/judge=none). Choose one "
            "(conf/judge=openai, gemini or local), or conf.pseudo_label.concepts=prepared."
        )


def _check_labeller(labeller: Mapping) -> None:
    # The stages give a local labeller the run's own model where none is named.
    own = {"model": labeller.get("model") or "the run's own"} if labeller.get("kind") == "local" else {}
    settings = labellers.checked({**labeller, **own})
    if settings["kind"] == "endpoint" and settings["service"].get("mode", "live") == "live":
        Endpoint.from_mapping(settings["service"]["endpoint"]).api_key()
