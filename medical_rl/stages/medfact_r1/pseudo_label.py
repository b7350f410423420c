"""Stage `pseudo_label`: training rows with the labeller's answers, and those that the cold start learns (Table 3)."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples, write_split
from medical_rl.errors import UserError
from medical_rl.pseudo_label.agreement import agreement, gold_answers
from medical_rl.pseudo_label.label import Label, write_labels
from medical_rl.pseudo_label.rows import write_rows
from medical_rl.run.files import link_or_copy
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.models import base_model
from medical_rl.stages.medfact_r1.labelling import HOME, answer, chosen_k, drawn, taken, training_rows

TRAIN, COLD_START, TESTED = "train.parquet", "warm_start.parquet", "test.labels.jsonl"


def run(config: DictConfig, folder: RunFolder) -> dict:
    """pseudo_label/train.parquet (GRPO's rows), warm_start.parquet (the cold start's), test.labels.jsonl (the baseline's)."""
    home = folder.path / HOME
    home.mkdir(parents=True, exist_ok=True)
    notes, figures = (_take if taken(config) else _label)(config, folder, home)
    rows = list(read_samples(home / TRAIN, with_images=False))
    if len(rows) < int(config.data.train_batch_size):
        raise UserError(
            f"{len(rows)} questions have a pseudo-label, fewer than one batch of {config.data.train_batch_size} (data.train_batch_size): "
            f"{figures.get('dropped') or 'none was dropped'}. Give more training rows, or lower conf.labeller.min_confidence."
        )
    notes += _cold_start(config, folder, home)
    outputs = {"train": TRAIN, "warm_start": COLD_START, "test_labels": TESTED}
    there = {name: f"{HOME}/{file}" for name, file in outputs.items() if (home / file).exists()}
    return {"outputs": there, "notes": notes, "figures": figures}


def _label(config: DictConfig, folder: RunFolder, home: Path) -> tuple[list[str], dict]:
    """(notes, figures) after the labelled part of the training rows was answered, and the tested rows for the baseline."""
    prompt, settings = (
        OmegaConf.to_container(config.conf[name], resolve=True) for name in ("prompt", "labeller")
    )
    k = chosen_k(folder)
    rows, of_concepts = _concepts(config, folder, training_rows(folder, drawn(config, folder).labelled))
    labels = answer(config, folder, rows, [k], "labelled")[k]
    counts = write_rows(rows, labels, home / TRAIN, prompt, settings)
    found = agreement(labels, gold_answers(rows))
    write_labels(labels, home / "labels.jsonl")
    notes = [
        f"{counts['rows']:,} of {len(rows):,} questions have a label, from {k} reports each",
        *_told(counts, found),
    ]
    (home / TESTED).unlink(missing_ok=True)
    if config.conf.pseudo_label.baseline:
        tested = folder.path / "data" / f"{config.conf.evaluation.split}.parquet"
        asked = [s for s in read_samples(tested) if s.kind == "yes_no"] if tested.exists() else []
        write_labels(answer(config, folder, asked, [k], "tested")[k], home / TESTED)
    return notes, {**counts, "k": k, "agreement": found}


def _concepts(config: DictConfig, folder: RunFolder, rows: list[Sample]) -> tuple[list[Sample], list[str]]:
    """(the rows with the concepts that the fact reward looks for, notes): those prepared, or as in the paper a judge's."""
    if config.conf.pseudo_label.concepts == "prepared":
        return rows, []
    from medical_rl.data.inspect.judged_concepts import listed
    from medical_rl.judges.build import from_config

    judge = from_config(OmegaConf.to_container(config.conf.judge, resolve=True), folder.path)
    found, _, asked = listed(judge, rows, float(config.conf.rewards.max_failure_rate))
    told = [
        f"{len(found):,} of {asked:,} questions have the concepts that {judge.endpoint.model} lists; the others keep theirs"
    ]
    return [dataclasses.replace(row, concepts=found.get(row.question, row.concepts)) for row in rows], told


def _take(config: DictConfig, folder: RunFolder, home: Path) -> tuple[list[str], dict]:
    """(notes, figures) after the labels of another run were linked here; UserError where they are of other rows."""
    source = taken(config)
    known = {row.id for row in training_rows(folder, images=False)}
    theirs = {row.id for row in read_samples(source / TRAIN, with_images=False)}
    if strange := sorted(theirs - known):
        raise UserError(
            f"The pseudo-labels of {source} are of other data: {len(strange):,} of their {len(theirs):,} rows, such as {strange[0]!r}, are "
            "not among this run's training rows. Prepare both with the same data, source and seed."
        )
    for name in (TRAIN, TESTED, "labels.jsonl"):
        (home / name).unlink(missing_ok=True)
        if (source / name).exists():
            link_or_copy(str(source / name), str(home / name))
    return [f"{len(theirs):,} pseudo-labels taken from {source}"], {"rows": len(theirs)}


def _cold_start(config: DictConfig, folder: RunFolder, home: Path) -> list[str]:
    """Notes, after the rows were written that the cold start learns: the same questions, answered by conf.warm_start.source."""
    source = str(config.conf.warm_start.get("source") or "rule")
    path = home / COLD_START
    if source == "rule":
        shutil.copy2(home / TRAIN, path)
        return []
    prompt, settings = (
        OmegaConf.to_container(config.conf[name], resolve=True) for name in ("prompt", "labeller")
    )
    rows = training_rows(folder, (row.id for row in read_samples(home / TRAIN, with_images=False)))
    if source == "human":
        write_split(rows, path, prompt)
        return ["the cold start learns the data's own answers"]
    labels = _own_answers(config, folder, rows)
    counts = write_rows(rows, labels, path, prompt, {**settings, "min_confidence": 0.0})
    found = agreement(labels, gold_answers(rows))
    return ["the cold start learns the untrained model's own answers, without reports", *_told(counts, found)]


def _own_answers(config: DictConfig, folder: RunFolder, rows: list[Sample]) -> list[Label]:
    """The untrained model's labels, asked without reports."""
    from medical_rl.config.compose import choose

    local = OmegaConf.to_container(choose("labeller", "local"), resolve=True)
    shared = {name: config.conf.labeller[name] for name in ("min_confidence", "thought")}
    own = {**local, **shared, "model": base_model(config, folder)}
    return answer(config, folder, rows, [0], "base_vlm", own)[0]


def _told(counts: dict, found: dict) -> list[str]:
    """Sentences on what was dropped, and on how the labels agree with gold answers where the data have any."""
    notes = [f"  {n:,} left out: {why}" for why, n in counts["dropped"].items()]
    if found["n"]:
        low, high = found["accuracy_answered_interval"] or (float("nan"), float("nan"))
        right = "none was answered" if found["accuracy_answered"] is None else (
            f"{found['accuracy_answered']:.3f} [{low:.3f}, {high:.3f}] of the answered ones agree with the gold answers"
        )  # fmt: skip
        kappa = "" if found["kappa"] is None else f", kappa {found['kappa']:.3f}"
        notes.append(f"labels: {right}{kappa}; the majority answer would in {found['majority_rate']:.3f}")
    return notes
