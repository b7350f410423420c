"""Stage `calibrate`: with how many retrieved reports the labeller's risk is held (Learn-then-Test)."""

from collections.abc import Mapping

from omegaconf import DictConfig
from rich.console import Console

from medical_rl.config.settings import plain
from medical_rl.evaluation.results import has_phantom_data
from medical_rl.pseudo_label.agreement import agreement, gold_answers, markdown
from medical_rl.pseudo_label.calibration import report
from medical_rl.pseudo_label.calibration.calibrate import Calibration, NothingKept, calibrate, errors_by_k
from medical_rl.pseudo_label.calibration.learn_then_test import calibration_settings
from medical_rl.run.files import write_json, write_text
from medical_rl.run.folder import RunFolder
from medical_rl.sample import group_key
from medical_rl.stages.medfact_r1 import labelling
from medical_rl.stages.medfact_r1.labelling import HOME
from medical_rl.stages.stage import VLLM_ENGINE, Stage

FILES = {"calibration": "json", "table": "md", "picture": "png"}


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write pseudo_label/calibration.{json,md,png}: FR(k), p-values, the k kept and the one chosen.

    Raises NothingKept (exit code 2) where no k passes and conf.calibration.on_empty is stop; the files are
    written all the same.
    """
    source = labelling.borrowed_labels(config)
    if source is not None:
        return {"outputs": {}, "notes": [f"nothing is calibrated: the labels of {source} are taken"]}
    settings = calibration_settings(plain(config.conf.calibration))
    rows = labelling.training_rows(folder, labelling.drawn_parts(config, folder).calibration)
    labels = labelling.label_rows(config, folder, rows, settings.candidates, "calibration")
    golds = gold_answers(rows)
    agreed, readable = {}, {}
    for k, of_k in labels.items():
        agreed[k] = agreement(of_k, golds)
        readable[k] = [label for label in of_k if label.id in golds]
    errors = errors_by_k(golds, readable)
    studies = {group_key(row) for row in rows if row.id in set(errors.ids)}
    try:
        outcome = calibrate(errors.by_k, settings, studies=len(studies), majority_rate=errors.majority_rate)
    except NothingKept as error:
        _write(error.outcome, agreed, folder)
        raise
    _write(outcome, agreed, folder)
    notes = report.notes(outcome) + _order_notes(config)
    if errors.failed:
        notes.append(f"{len(errors.failed)} questions are left out: the labeller failed on them")
    figures = {"k": outcome.chosen, "kept": list(outcome.kept), "guarantee": outcome.guarantee}
    outputs = {name: f"{HOME}/calibration.{suffix}" for name, suffix in FILES.items()}
    return {"outputs": outputs, "notes": notes, "figures": figures | {"agreement": agreed}}


def _write(outcome: Calibration, agreed: dict, folder: RunFolder) -> None:
    home, phantom = folder.path / HOME, has_phantom_data(folder.path)
    write_json(home / "calibration.json", {**report.calibration_record(outcome), "agreement": agreed})
    title = "The labeller's answers beside the gold answers of the same questions:"
    text = f"{report.page(outcome, phantom)}\n\n{title}\n\n{markdown(agreed)}\n"
    write_text(home / "calibration.md", text)
    report.write_plot(outcome, home / "calibration.png", phantom)
    Console(width=100).print(report.terminal_table(outcome))


def _order_notes(config: DictConfig) -> list[str]:
    """Which labeller was calibrated, where one is aligned."""
    stages = list(config.conf.stages)
    if not config.conf.alignment.enabled or config.conf.labeller.kind != "local" or "align" not in stages:
        return []
    if stages.index("align") < stages.index("calibrate"):
        return ["the labeller that was calibrated is the aligned one"]
    return [
        "the guarantee speaks of the labeller before its alignment; to calibrate the aligned one put align "
        "before calibrate"
    ]


def needs(conf: Mapping) -> tuple[str, ...]:
    """Preparation, retrieval, and the alignment where it comes first and gives the labeller."""
    return ("prepare", "retrieve") + labelling.before(conf, "calibrate", "align")


STAGE = Stage(
    "calibrate", "factuality-risk calibration", run, needs=needs,
    reads=(
        "conf.calibration", "conf.labeller", "conf.alignment.enabled", "conf.alignment.share",
        "conf.alignment.pairs", "conf.pseudo_label.path", "conf.seed", "conf.model",
    ) + VLLM_ENGINE,
)  # fmt: skip
