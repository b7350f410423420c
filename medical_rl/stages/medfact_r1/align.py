"""Stage `align`: the local labeller is tuned by preferences, so that reports do not mislead it where it knew better (RULE)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.grouped import group_of
from medical_rl.data.prompts import messages, target
from medical_rl.pseudo_label.alignment.align import Place, align
from medical_rl.pseudo_label.alignment.pairs import Pairs, make_pairs, refuse_overlap
from medical_rl.pseudo_label.answering import with_reports
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.labellers.instructions import local_prompt, told
from medical_rl.pseudo_label.retrieval.reports import corpus, retrievable
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.eval_sets import card_notes
from medical_rl.stages.common.models import image_limits
from medical_rl.stages.medfact_r1.labelling import (
    HOME,
    answer,
    chosen_k,
    corpus_without,
    drawn,
    labeller_model,
    retrieved,
    taken,
    training_rows,
    unaligned,
)


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/align/huggingface: the aligned labeller, or none where it was kept as it is; what was measured is in pseudo_label/alignment."""
    if (given := taken(config)) is not None:
        return {"outputs": {}, "notes": [f"nothing is aligned: the labels of {given} are taken"]}
    if (reason := unaligned(config)) is not None:
        return {"outputs": {}, "notes": [f"nothing is aligned: {reason}"]}
    conf = config.conf
    settings = OmegaConf.to_container(conf.alignment, resolve=True)
    rows = training_rows(folder, drawn(config, folder).pairs)
    refuse_overlap(rows, _others(config, folder))
    goal = folder.path / "checkpoints" / "align" / "huggingface"
    place = Place(
        folder.path / HOME / "alignment", goal, image_limits(config),
        {"device": str(conf.engine.device), "dtype": str(conf.engine.dtype), "ranks": int(conf.engine.ranks)},
        int(conf.seed), any("hantom" in note for note in card_notes(folder.path / "data")),
    )  # fmt: skip
    report = align(settings, labeller_model(config, folder), _pairs(config, folder, rows, settings), place)
    told_in = {"report": f"{HOME}/alignment/alignment.json", "page": f"{HOME}/alignment/alignment.md"}
    model = {"model": str(Path(goal).relative_to(folder.path))} if report["kept"] == "aligned" else {}
    figures = {name: report[name] for name in ("verdict", "kept", "counts")}
    return {"outputs": model | told_in, "notes": report["notes"], "figures": figures}


def _pairs(config: DictConfig, folder: RunFolder, rows: Sequence[Sample], settings: dict) -> Pairs:
    """The pairs and the measured rows, each row answered without reports and with as many as the labels will be made from."""
    k, prompt = reports_shown(config, folder), local_prompt()
    labels = answer(config, folder, rows, [0, k], "pairs")
    found = {row.id: one for row, one in zip(rows, with_reports(rows, *retrieved(folder), k), strict=True)}
    alone, shown = (
        {row.id: _response(row, one, prompt) for row, one in zip(rows, labels[n], strict=True)}
        for n in (0, k)
    )
    return make_pairs(
        rows, alone, shown, lambda row: messages(told(found[row.id]), prompt), prompt,
        held_out=float(settings["held_out"]), seed=int(config.conf.seed),
    )  # fmt: skip


def reports_shown(config: DictConfig, folder: RunFolder) -> int:
    """The calibrated number of reports; the largest candidate where the calibration comes later or chose none."""
    chosen = chosen_k(folder) if folder.output("calibrate", "calibration") is not None else 0
    return chosen or max(int(k) for k in config.conf.calibration.candidates)


def _response(row: Sample, one: Label, prompt: dict) -> str | None:
    """What the labeller answered, in the prompt's form; "" where it gave no answer, None where it could not be asked."""
    if one.failed is not None:
        return None
    return target(dataclasses.replace(row, answer=one.answer, meta={}), prompt) if one.answer else ""


def _others(config: DictConfig, folder: RunFolder) -> dict[str, set[str]]:
    """The studies that pairs must not come from."""
    splits = OmegaConf.to_container(config.conf.retriever.splits, resolve=True)
    searched = retrievable(corpus_without(config, folder, corpus(folder.path / "data")), splits)
    calibration = training_rows(folder, drawn(config, folder).calibration, images=False)
    found = {
        "the retriever's corpus": {one.group or one.id for one in searched},
        "the calibration set": {group_of(row) for row in calibration},
    }
    for split in ("val", "test"):
        path = folder.path / "data" / f"{split}.parquet"
        if path.exists():
            found[f"the split {split}"] = {group_of(row) for row in read_samples(path, with_images=False)}
    return found
