"""The labeller's alignment as a whole: pairs in, the labeller to be used out, with a report.

Every step is a process of its own that leaves what it did, so that the same call goes on where it was killed.
"""

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError, unknown
from medical_rl.pseudo_label.alignment.pairs import (
    Pairs,
    limit_rows,
    read_preferences,
    require_enough,
    write_preferences,
)
from medical_rl.pseudo_label.alignment.report import AFTER, BEFORE, CONTROL, figures, page, verdict
from medical_rl.run.files import digest, write_json, write_text
from medical_rl.training.request import training_command

ON_COLLAPSE = ("keep_reference", "stop")
# Settings of conf.alignment that the training process is given as they are (dpo.py).
TRAINING = (
    "loss_type", "loss_weights", "beta", "lora", "lr", "lr_schedule", "lr_warmup_ratio", "weight_decay",
    "max_grad_norm", "epochs", "steps", "batch_size", "micro_batch", "precision", "export_dtype",
    "gradient_checkpointing", "save_every", "log_every", "workers",
)  # fmt: skip
REASONS_TO_SKIP = {
    "rule": "the labeller is a rule and has no weights to tune",
    "endpoint": "the labeller is behind an endpoint, and its weights are not ours to tune",
}


@dataclasses.dataclass(frozen=True)
class AlignmentRun:
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
    """
    return REASONS_TO_SKIP.get(labeller["kind"])


def align(settings: Mapping[str, Any], model: Path | str, pairs: Pairs, run: AlignmentRun) -> dict:
    """Tune `model` on `pairs`, measure it, and say which labeller is used.

    settings  conf.alignment
    model     the labeller: the reference, and what is kept (`kept` "reference") should tuning have done harm

    Returns {"verdict", "reasons", "changed", "counts", "kept", "figures", "model", "notes"}, which is also in
    <folder>/alignment.{json,md}. Raises UserError for too few pairs, and for a collapse under on_collapse:
    stop.
    """
    if settings["on_collapse"] not in ON_COLLAPSE:
        raise unknown("way with a collapsed labeller named", settings["on_collapse"], ON_COLLAPSE)
    require_enough(pairs.counts, int(settings["min_pairs"]))
    run.folder.mkdir(parents=True, exist_ok=True)
    train, held_out = run.folder / "train.parquet", run.folder / "held_out.parquet"
    write_preferences(pairs.train, train)
    write_preferences(limit_rows(pairs.held_out, settings["measured"], run.seed + 1), held_out)
    models = {BEFORE: Path(model), AFTER: run.goal}
    facts = train_model(training_request(settings, model, train, run, "dpo", run.goal), run)
    if settings["control"]:
        models[CONTROL] = run.folder / "control" / "huggingface"
        sft_alone = {**settings, "loss_type": ["sft"], "loss_weights": [1.0]}
        request = training_request(sft_alone, model, train, run, "control", models[CONTROL])
        request["first_step"] = facts["steps"]
        train_model(request, run)
    lines = {}
    for name, folder in models.items():
        lines[name] = measure_model(settings, folder, held_out, run, name)
    measured = figures(list(read_preferences(held_out)), lines, run.seed)
    report = verdict(measured["arms"][AFTER], settings["max_fall"])
    collapsed = report["verdict"] == "collapsed"
    report |= {
        "changed": facts["changed"],
        "counts": pairs.counts,
        "kept": "reference" if collapsed else "aligned",
        "figures": measured,
        "model": str(models[BEFORE if collapsed else AFTER]),
    }
    report["notes"] = notes(report)
    write_json(run.folder / "alignment.json", report)
    write_text(run.folder / "alignment.md", page(report, run.phantom))
    if collapsed and settings["on_collapse"] == "stop":
        raise UserError(
            f"Preference tuning did harm: {'; '.join(report['reasons'])}. Measured in "
            f"{run.folder / 'alignment.md'}. Lower conf.alignment.lr, add sft to conf.alignment.loss_type, "
            "or go on with the labeller as it was: conf.alignment.on_collapse=keep_reference."
        )
    return report


def training_request(
    settings: Mapping[str, Any], model: Path | str, pairs: Path, run: AlignmentRun, name: str, goal: Path
) -> dict[str, Any]:
    """The request of a training process (dpo.py)."""
    request = {
        "model": str(model), "pairs": str(pairs), "out": str(goal), "work": str(goal.with_name("state")),
        "name": name, "seed": run.seed, "device": str(run.engine["device"]), "phantom": run.phantom,
        **run.limits,
    }  # fmt: skip
    return request | {key: settings[key] for key in TRAINING}


def train_model(request: Mapping[str, Any], run: AlignmentRun) -> dict:
    """The facts of a model after its training process, one process a rank where there are several GPUs."""
    ranks = int(run.engine["ranks"]) if request["device"] != "cpu" else 1
    file = run.folder / f"{request['name']}.request.json"
    _run_process("dpo", request, file, "aligned", ranks)
    return json.loads((Path(request["out"]) / "alignment.json").read_text())


def measure_model(
    settings: Mapping[str, Any], model: Path, rows: Path, run: AlignmentRun, name: str
) -> list[dict]:
    """The lines of pair_scores.py of a model; those of the same model and rows are used, or completed."""
    output, file = run.folder / f"{name}.scores.jsonl", run.folder / f"{name}.scores.request.json"
    request = {
        "model": str(model), "rows": str(rows), "output": str(output),
        "batch": int(settings["measure_batch"]), "max_new_tokens": int(settings["max_new_tokens"]),
        "device": str(run.engine["device"]), "dtype": str(run.engine["dtype"]), **run.limits,
    }  # fmt: skip
    request["identity"] = {"model": digest(model), "rows": digest(rows)}
    if not file.exists() or json.loads(file.read_text()) != request:
        output.unlink(missing_ok=True)
    _run_process("pair_scores", request, file, "measured", ranks=1)
    return list(map(json.loads, output.read_text(encoding="utf-8").splitlines()))


def _run_process(module: str, request: Mapping[str, Any], file: Path, purpose: str, ranks: int) -> None:
    write_json(file, dict(request))
    command = training_command(f"medical_rl.pseudo_label.alignment.{module}", file, ranks)
    process = subprocess.run(command, env=os.environ)
    if process.returncode == UserError.exit_code:
        raise UserError(
            f"The labeller could not be {purpose}; this stage's log says why. What was asked is in {file}."
        )
    process.check_returncode()


def notes(report: Mapping) -> list[str]:
    """Lines for the run's log and manifest, the plain one first."""
    after, counts = report["figures"]["arms"][AFTER], report["counts"]
    margin, accuracy = after["margin"], after["accuracy"]
    kept = {
        "aligned": "the aligned labeller is used",
        "reference": "the labeller is kept as it was before alignment",
    }[report["kept"]]
    return [
        "; ".join([f"{report['verdict']}: {kept}"] + report["reasons"]),
        f"{counts['train_pairs']} pairs, {counts['held_out_pairs']} held out; margin {margin['value']:+.3f} "
        "nats",
        f"accuracy with reports on {accuracy['n']} held-out rows {accuracy['value']:.3f} "
        f"({accuracy['change']:+.3f})",
    ]
