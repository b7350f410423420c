"""Stage `pseudo_label`: training rows with the labeller's answers, and the cold start's (Table 3)."""

import dataclasses
import itertools
import shutil
from operator import attrgetter
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.compose import choose
from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples, write_split
from medical_rl.errors import UserError
from medical_rl.pseudo_label.agreement import agreement, gold_answers
from medical_rl.pseudo_label.label import write_labels
from medical_rl.pseudo_label.rows import write_rows
from medical_rl.run.files import link_or_copy
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.models import base_model
from medical_rl.stages.medfact_r1.labelling import (
    HOME,
    borrowed_labels,
    chosen_k,
    drawn_parts,
    label_rows,
    training_rows,
)
from medical_rl.stages.stage import VLLM_ENGINE, Stage

TRAIN, VAL, COLD_START, TESTED = "train.parquet", "val.parquet", "warm_start.parquet", "test.labels.jsonl"
OUTPUTS = {"train": TRAIN, "val": VAL, "warm_start": COLD_START, "test_labels": TESTED}


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write pseudo_label/: train.parquet (GRPO), warm_start.parquet, test.labels.jsonl (the baseline's).

    Where a judge lists the concepts, val.parquet too: the validation rows with those it lists for them.
    """
    home = folder.path / HOME
    home.mkdir(parents=True, exist_ok=True)
    obtain = _take_labels if borrowed_labels(config) else _label_rows
    notes, figures = obtain(config, folder, home)
    rows = list(read_samples(home / TRAIN, with_images=False))
    if len(rows) < int(config.data.train_batch_size):
        raise UserError(
            f"{len(rows)} questions have a pseudo-label, fewer than one batch of "
            f"{config.data.train_batch_size} (data.train_batch_size): "
            f"{figures.get('dropped') or 'none was dropped'}. Give more training rows, or lower "
            "conf.labeller.min_confidence."
        )
    notes += _cold_start(config, folder, home)
    outputs = {name: f"{HOME}/{file}" for name, file in OUTPUTS.items() if (home / file).exists()}
    return {"outputs": outputs, "notes": notes, "figures": figures}


def _label_rows(config: DictConfig, folder: RunFolder, home: Path) -> tuple[list[str], dict]:
    """Label the labelled part of the rows, and the tested rows for the baseline: (notes, figures)."""
    k = chosen_k(folder)
    rows, notes = training_rows(folder, drawn_parts(config, folder).labelled), []
    (home / VAL).unlink(missing_ok=True)
    if config.conf.pseudo_label.concepts != "prepared":
        rows, notes = _with_judged_concepts(config, folder, rows, home)
    labels = label_rows(config, folder, rows, [k], "labelled")[k]
    counts = write_rows(rows, labels, home / TRAIN, plain(config.conf.prompt), plain(config.conf.labeller))
    agreed = agreement(labels, gold_answers(rows))
    write_labels(labels, home / "labels.jsonl")
    first = f"{counts['rows']:,} of {len(rows):,} questions have a label, from {k} reports each"
    (home / TESTED).unlink(missing_ok=True)
    if config.conf.pseudo_label.baseline:
        path = folder.path / "data" / f"{config.conf.evaluation.split}.parquet"
        samples = read_samples(path) if path.exists() else ()
        tested = [sample for sample in samples if sample.kind == "yes_no"]
        write_labels(label_rows(config, folder, tested, [k], "tested")[k], home / TESTED)
    return [first] + notes + _label_notes(counts, agreed), {**counts, "k": k, "agreement": agreed}


def _with_judged_concepts(
    config: DictConfig, folder: RunFolder, rows: list[Sample], home: Path
) -> tuple[list[Sample], list[str]]:
    """(the rows with concepts for the fact reward that a judge lists, as in the paper; notes).

    The validation rows are written with theirs too: a reward that looked for other words there would choose
    another checkpoint.
    """
    from medical_rl.data.inspect.judge_concepts import ask_concepts
    from medical_rl.judges.judge import from_config

    judge, val = from_config(plain(config.conf.judge), folder.path), folder.path / "data" / "val.parquet"
    asked_rows = itertools.chain(rows, read_samples(val, with_images=False) if val.exists() else ())
    concepts, _, asked = ask_concepts(judge, asked_rows, float(config.conf.rewards.max_failure_rate))

    def judged(row: Sample) -> Sample:
        return dataclasses.replace(row, concepts=concepts.get(row.question, row.concepts))

    if val.exists():
        write_split(map(judged, read_samples(val)), home / VAL, plain(config.conf.prompt))
    note = (
        f"{len(concepts):,} of {asked:,} questions to train and validate on have the concepts that "
        f"{judge.endpoint.model} lists; the others keep theirs"
    )
    return list(map(judged, rows)), [note]


def _take_labels(config: DictConfig, folder: RunFolder, home: Path) -> tuple[list[str], dict]:
    """Link another run's labels here: (notes, figures). Raises UserError where they are of other rows."""
    source = borrowed_labels(config)
    ours = set(map(attrgetter("id"), training_rows(folder, images=False)))
    theirs = set(map(attrgetter("id"), read_samples(source / TRAIN, with_images=False)))
    strange = sorted(theirs - ours)
    if strange:
        raise UserError(
            f"The pseudo-labels of {source} are of other data: {len(strange):,} of their {len(theirs):,} "
            f"rows, such as {strange[0]!r}, are not among this run's training rows. Prepare both with the "
            "same data, source and seed."
        )
    for name in (TRAIN, VAL, TESTED, "labels.jsonl"):
        (home / name).unlink(missing_ok=True)
        if (source / name).exists():
            link_or_copy(str(source / name), str(home / name))
    return [f"{len(theirs):,} pseudo-labels taken from {source}"], {"rows": len(theirs)}


def _cold_start(config: DictConfig, folder: RunFolder, home: Path) -> list[str]:
    """Write the cold start's rows, the same questions answered by conf.warm_start.source; notes."""
    source = str(config.conf.warm_start.get("source") or "rule")
    path = home / COLD_START
    if source == "rule":
        shutil.copy2(home / TRAIN, path)
        return []
    prompt, settings = plain(config.conf.prompt), plain(config.conf.labeller)
    rows = training_rows(folder, map(attrgetter("id"), read_samples(home / TRAIN, with_images=False)))
    if source == "human":
        write_split(rows, path, prompt)
        return ["the cold start learns the data's own answers"]
    own = {"thought": settings["thought"], "model": base_model(config, folder)}
    asked = plain(choose("labeller", "local")) | own | {"min_confidence": settings["min_confidence"]}
    labels = label_rows(config, folder, rows, [0], "base_vlm", asked)[0]
    counts = write_rows(rows, labels, path, prompt, {**settings, "min_confidence": 0.0})
    notes = _label_notes(counts, agreement(labels, gold_answers(rows)))
    return ["the cold start learns the untrained model's own answers, without reports"] + notes


def _label_notes(counts: dict, agreed: dict) -> list[str]:
    """Sentences on what was dropped, and on how the labels agree with gold answers where there are any."""
    notes = [f"  {n:,} left out: {why}" for why, n in counts["dropped"].items()]
    if agreed["n"]:
        right, kappa = "none was answered", ""
        if agreed["accuracy_answered"] is not None:
            low, high = agreed["accuracy_answered_interval"]
            shown = f"{agreed['accuracy_answered']:.3f} [{low:.3f}, {high:.3f}]"
            right = f"{shown} of the answered ones agree with the gold answers"
        if agreed["kappa"] is not None:
            kappa = f", kappa {agreed['kappa']:.3f}"
        notes.append(f"labels: {right}{kappa}; the majority answer would in {agreed['majority_rate']:.3f}")
    return notes


STAGE = Stage(
    "pseudo_label", "pseudo-labels", run, needs=("prepare", "retrieve", "calibrate", "align"),
    reads=(
        "conf.pseudo_label", "conf.judge.endpoint.model", "conf.labeller", "conf.calibration",
        "conf.alignment.enabled", "conf.alignment.share", "conf.alignment.pairs",
        "conf.warm_start.source", "conf.evaluation.split",
        "conf.prompt", "conf.seed", "conf.model", *VLLM_ENGINE, "data.train_batch_size",
    ),
)  # fmt: skip
