"""conf.retriever, conf.calibration, conf.labeller and conf.alignment, checked before anything starts."""

from collections.abc import Mapping

from medical_rl.errors import UserError, unknown
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import rename_errors
from medical_rl.pseudo_label.alignment.rule_pairs import read_rule_pairs
from medical_rl.pseudo_label.calibration.learn_then_test import calibration_settings
from medical_rl.pseudo_label.labellers import labeller_settings
from medical_rl.pseudo_label.retrieval import retriever_settings

STAGES = ("retrieve", "calibrate", "align", "pseudo_label")
CONCEPTS = ("judge", "prepared")


def check_labels(conf: Mapping) -> None:
    """Raise UserError for a setting of the pseudo-labels that could not work, where they are planned.

    Retrieval and alignment may take hours before the labeller is first asked: a missing key is said now.
    """
    if not set(STAGES) & set(conf["stages"]) or conf["pseudo_label"]["path"]:
        return
    retriever_settings(conf["retriever"])
    calibration_settings(conf["calibration"])
    labeller = dict(conf["labeller"])
    if labeller.get("kind") == "local" and not labeller.get("model"):
        labeller["model"] = "the run's own"  # the stages give it where none is named
    settings = labeller_settings(labeller)
    if settings["kind"] == "endpoint" and settings["service"].get("mode", "live") == "live":
        with rename_errors("conf.labeller"):
            Endpoint.from_mapping(settings["service"]["endpoint"]).api_key()
    alignment = conf.get("alignment") or {}
    if "align" in conf["stages"] and alignment.get("enabled") and alignment.get("pairs"):
        read_rule_pairs(alignment["pairs"])
    concepts = conf["pseudo_label"]["concepts"]
    if concepts not in CONCEPTS:
        raise unknown("conf.pseudo_label.concepts", concepts, CONCEPTS)
    if concepts == "judge" and not (conf.get("judge") or {}).get("enabled"):
        raise UserError(
            "conf.pseudo_label.concepts=judge asks a language model, and no judge is chosen "
            "(conf/judge=none). Choose one (conf/judge=openai, gemini or local), or "
            "conf.pseudo_label.concepts=prepared."
        )
