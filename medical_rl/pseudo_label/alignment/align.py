"""The labeller's alignment as a whole: pairs in, the labeller that is to be used out, with a report of what was measured.

Every step is a process of its own that leaves what it did, so that the same call goes on where it was killed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import replacing
from medical_rl.errors import UserError, unknown
from medical_rl.pseudo_label.alignment.page import page
from medical_rl.pseudo_label.alignment.pairs import Pairs, measured_rows, require_enough
from medical_rl.pseudo_label.alignment.preference import read_preferences, write_preferences
from medical_rl.pseudo_label.alignment.report import AFTER, BEFORE, CONTROL, figures, verdict
from medical_rl.run.files import digest, write_json

ON_COLLAPSE = ("keep_reference", "stop")
# Settings of conf.alignment that the training process is told as they are (dpo_request.py).
TRAINING = (
    "loss_type", "loss_weights", "beta", "lora", "lr", "lr_schedule", "lr_warmup_ratio", "weight_decay", "max_grad_norm",
    "epochs", "steps", "batch_size", "micro_batch", "precision", "export_dtype", "gradient_checkpointing", "save_every",
    "log_every", "workers",
)  # fmt: skip
WHY = {
    "rule": "the labeller is a rule and has no weights to tune",
    "endpoint": "the labeller is behind an endpoint, and its weights are not ours to tune",
}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an alignment works and with what.

    folder  its own files: pairs, requests, scores, alignment.json and alignment.md
    goal    folder of the aligned model (checkpoints/align/huggingface)
    limits  {"min_pixels", "max_pixels"} of an image
    engine  {"device", "dtype", "ranks"}
    """

    folder: Path
    goal: Path
    limits: Mapping[str, int]
    engine: Mapping[str, Any]
    seed: int
    phantom: bool = False


def skip_reason(labeller: Mapping[str, Any]) -> str | None:
    """Why a labeller (conf.labeller) cannot be aligned, as a clause; None where it can.

    >>> skip_reason({"kind": "rule"})
    'the labeller is a rule and has no weights to tune'
    >>> skip_reason({"kind": "local"}) is None
    True
    """
    return WHY.get(labeller["kind"])


def align(settings: Mapping[str, Any], model: Path | str, pairs: Pairs, place: Place) -> dict:
    """{"model", "kept", "verdict", "reasons", "changed", "counts", "figures", "notes"} after `model` was tuned on `pairs`.

    settings  conf.alignment
    model     the labeller: the reference, and what is kept (`kept` "reference") should tuning have done harm
    Also in <folder>/alignment.{json,md}. UserError for too few pairs, and for a collapse under on_collapse: stop.
    """
    if settings["on_collapse"] not in ON_COLLAPSE:
        raise unknown("way with a collapsed labeller named", settings["on_collapse"], ON_COLLAPSE)
    require_enough(pairs.counts, int(settings["min_pairs"]))
    place.folder.mkdir(parents=True, exist_ok=True)
    train, held = place.folder / "train.parquet", place.folder / "held_out.parquet"
    write_preferences(pairs.train, train)
    write_preferences(measured_rows(pairs.held_out, settings["measured"], place.seed + 1), held)
    models = {BEFORE: Path(model), AFTER: place.goal}
    facts = tuned(request(settings, model, train, place, "dpo", place.goal), place)
    if settings["control"]:
        models[CONTROL] = place.folder / "control" / "huggingface"
        alone = {**settings, "loss_type": ["sft"], "loss_weights": [1.0]}
        tuned(
            request(alone, model, train, place, "control", models[CONTROL]) | {"first_step": facts["steps"]},
            place,
        )
    lines = {name: measured(settings, folder, held, place, name) for name, folder in models.items()}
    found = figures(list(read_preferences(held)), lines, place.seed)
    report = {
        **verdict(found["arms"][AFTER], settings["max_fall"]),
        "changed": facts["changed"],
        "counts": pairs.counts,
    }
    report["kept"] = "reference" if report["verdict"] == "collapsed" else "aligned"
    report |= {
        "figures": found,
        "model": str(models[BEFORE] if report["kept"] == "reference" else place.goal),
    }
    report["notes"] = notes(report)
    write_json(place.folder / "alignment.json", report)
    with replacing(place.folder / "alignment.md") as scratch:
        scratch.write_text(page(report, place.phantom), encoding="utf-8")
    if report["verdict"] == "collapsed" and settings["on_collapse"] == "stop":
        raise UserError(
            f"Preference tuning did harm: {'; '.join(report['reasons'])}. Measured in {place.folder / 'alignment.md'}. Lower "
            "conf.alignment.lr, add sft to conf.alignment.loss_type, or go on with the labeller as it was: "
            "conf.alignment.on_collapse=keep_reference."
        )
    return report


def request(
    settings: Mapping[str, Any], model: Path | str, pairs: Path, place: Place, name: str, goal: Path
) -> dict[str, Any]:
    """What a training process is told (dpo_request.py)."""
    return {
        "model": str(model), "pairs": str(pairs), "out": str(goal), "work": str(goal.with_name("state")), "name": name,
        "seed": place.seed, "device": str(place.engine["device"]), "phantom": place.phantom, **place.limits,
        **{key: settings[key] for key in TRAINING},
    }  # fmt: skip


def tuned(asked: Mapping[str, Any], place: Place) -> dict:
    """The facts of a model after its training process ended; one process a rank where the engine has several GPUs."""
    module, ranks = "medical_rl.pseudo_label.alignment.dpo", int(place.engine["ranks"])
    start = ["-m", module]
    if asked["device"] != "cpu" and ranks > 1:
        start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m", module]
    _run(start, asked, place.folder / f"{asked['name']}.request.json", "aligned")
    return json.loads((Path(asked["out"]) / "alignment.json").read_text())


def measured(settings: Mapping[str, Any], model: Path, rows: Path, place: Place, name: str) -> list[dict]:
    """The lines of pair_scores.py of a model; those of the same model and rows are used as they are, or completed."""
    output, file = place.folder / f"{name}.scores.jsonl", place.folder / f"{name}.scores.request.json"
    asked = {
        "model": str(model), "rows": str(rows), "output": str(output), "batch": int(settings["measure_batch"]),
        "max_new_tokens": int(settings["max_new_tokens"]), "device": str(place.engine["device"]),
        "dtype": str(place.engine["dtype"]), **place.limits,
    }  # fmt: skip
    asked["identity"] = {"model": digest(model), "rows": digest(rows)}
    if not file.exists() or json.loads(file.read_text()) != asked:
        output.unlink(missing_ok=True)
    _run(["-m", "medical_rl.pseudo_label.alignment.pair_scores"], asked, file, "measured")
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def _run(start: list[str], asked: Mapping[str, Any], file: Path, says: str) -> None:
    write_json(file, dict(asked))
    done = subprocess.run([sys.executable, *start, str(file)], env=os.environ)
    if done.returncode == UserError.exit_code:
        raise UserError(
            f"The labeller could not be {says}; this stage's log says why. What was asked is in {file}."
        )
    done.check_returncode()


def notes(report: Mapping) -> list[str]:
    """Lines for the run's log and manifest, the plain one first."""
    after, counts = report["figures"]["arms"][AFTER], report["counts"]
    told = {
        "aligned": "the aligned labeller is used",
        "reference": "the labeller is kept as it was before alignment",
    }
    verdict_ = f"{report['verdict']}: {told[report['kept']]}" + "".join(
        f"; {reason}" for reason in report["reasons"]
    )
    return [
        verdict_,
        f"{counts['train_pairs']} pairs, {counts['held_out_pairs']} held out; margin {after['margin']['value']:+.3f} nats",
        f"accuracy with reports on {after['accuracy']['n']} held-out rows {after['accuracy']['value']:.3f} "
        f"({after['accuracy']['change']:+.3f})",
    ]
