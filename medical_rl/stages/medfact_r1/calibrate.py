"""Stage `calibrate`: with how many retrieved reports the labeller's risk is controlled (Learn-then-Test)."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from medical_rl.evaluation.results import replace_text
from medical_rl.pseudo_label.agreement import agreement, gold_answers, markdown
from medical_rl.pseudo_label.calibration.calibrate import Calibration, calibrate
from medical_rl.pseudo_label.calibration.empty import NothingKept
from medical_rl.pseudo_label.calibration.errors import errors_by_k
from medical_rl.pseudo_label.calibration.report import as_dict, notes, table, write_plot
from medical_rl.pseudo_label.calibration.report import markdown as page
from medical_rl.pseudo_label.calibration.settings import calibration_settings
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.eval_sets import card_notes
from medical_rl.stages.medfact_r1.labelling import HOME, answer, drawn, taken, training_rows


def run(config: DictConfig, folder: RunFolder) -> dict:
    """pseudo_label/calibration.{json,md,png}: FR(k), the p-values, the k that are kept and the one chosen.

    NothingKept (exit code 2) where no k passes and conf.calibration.on_empty is stop; the files are written all the same.
    """
    if (given := taken(config)) is not None:
        return {"outputs": {}, "notes": [f"nothing is calibrated: the labels of {given} are taken"]}
    settings = calibration_settings(OmegaConf.to_container(config.conf.calibration, resolve=True))
    rows = training_rows(folder, drawn(config, folder).calibration)
    labels = answer(config, folder, rows, settings.candidates, "calibration")
    golds = gold_answers(rows)
    found = errors_by_k(golds, {k: [one for one in of_k if one.id in golds] for k, of_k in labels.items()})
    agreed = {k: agreement(of_k, golds) for k, of_k in labels.items()}
    told = {"studies": _studies(rows, found.ids), "majority_rate": found.majority_rate}
    try:
        outcome = calibrate(found.by_k, settings, **told)
    except NothingKept as error:
        _write(error.outcome, agreed, folder)
        raise
    _write(outcome, agreed, folder)
    failed = (
        [f"{len(found.failed)} questions are left out: the labeller failed on them"] if found.failed else []
    )
    return {
        "outputs": {name: f"{HOME}/calibration.{name_of}" for name, name_of in FILES.items()},
        "notes": [*notes(outcome), *_order(config), *failed],
        "figures": {
            "k": outcome.chosen,
            "kept": list(outcome.kept),
            "guarantee": outcome.guarantee,
            "agreement": agreed,
        },
    }


FILES = {"calibration": "json", "table": "md", "picture": "png"}


def _write(outcome: Calibration, agreed: dict, folder: RunFolder) -> None:
    home, phantom = folder.path / HOME, any("hantom" in note for note in card_notes(folder.path / "data"))
    write_json(home / "calibration.json", {**as_dict(outcome), "agreement": agreed})
    text = (
        page(outcome, phantom)
        + "\n\nThe labeller's answers beside the gold answers of the same questions:\n\n"
        + markdown(agreed)
        + "\n"
    )
    replace_text(home / "calibration.md", text)
    write_plot(outcome, home / "calibration.png", phantom)
    Console(width=100).print(table(outcome))


def _studies(rows: list[Sample], ids: tuple[str, ...]) -> int:
    """How many studies the measured questions are about."""
    measured = set(ids)
    return len({row.group or row.id for row in rows if row.id in measured})


def _order(config: DictConfig) -> list[str]:
    stages = list(config.conf.stages)
    if not config.conf.alignment.enabled or config.conf.labeller.kind != "local" or "align" not in stages:
        return []
    if stages.index("align") < stages.index("calibrate"):
        return ["the labeller that was calibrated is the aligned one"]
    return [
        "the guarantee speaks of the labeller before its alignment; to calibrate the aligned one put align before calibrate"
    ]
