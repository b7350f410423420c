"""What the stages of MEDFACT-R1's pseudo-labels share: their rows, their labeller, the reports found for them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.grouped import group_of
from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.align import skip_reason
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.parts import Parts, parts
from medical_rl.pseudo_label.retrieval.reports import Report, corpus
from medical_rl.pseudo_label.retrieval.retrieve import FILE, read_retrieved
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages.common.models import base_model, image_limits, resolve_model

HOME = "pseudo_label"


def taken(config: DictConfig) -> Path | None:
    """The folder of another run's pseudo-labels that this run takes (conf.pseudo_label.path); UserError where it has none."""
    given = config.conf.pseudo_label.path
    if not given:
        return None
    folder = Path(str(given)).expanduser()
    if not (folder / "train.parquet").is_file():
        raise UserError(
            f"conf.pseudo_label.path={folder} holds no train.parquet. It is the folder pseudo_label/ of a run whose stage pseudo_label is done."
        )
    return folder


def training_rows(folder: RunFolder, ids: Iterable[str] | None = None, images: bool = True) -> list[Sample]:
    """The prepared training rows (those named by `ids`), without the copies that fill a batch."""
    wanted = None if ids is None else set(ids)
    found = read_samples(folder.path / "data" / "train.parquet", images)
    return [s for s in found if not s.meta.get("copy") and (wanted is None or s.id in wanted)]


def unaligned(config: DictConfig) -> str | None:
    """Why no labeller is aligned, as a clause; None where one is."""
    if not config.conf.alignment.enabled:
        return "conf/alignment=none"
    return skip_reason(config.conf.labeller)


def drawn(config: DictConfig, folder: RunFolder) -> Parts:
    """The run's three parts of the training rows."""
    conf = config.conf
    return parts(
        training_rows(folder, images=False),
        OmegaConf.to_container(conf.calibration, resolve=True),
        0.0 if unaligned(config) else float(conf.alignment.share),
        int(conf.seed),
    )


def corpus_without(config: DictConfig, folder: RunFolder, reports: Sequence[Report]) -> list[Report]:
    """The reports, those of the studies that give preference pairs in a split of their own: RULE's retriever never uses them."""
    if unaligned(config):
        return list(reports)
    pairs = set(drawn(config, folder).pairs)
    studies = {group_of(row) for row in training_rows(folder, pairs, images=False)}
    return [dataclasses.replace(one, split="pairs") if one.group in studies else one for one in reports]


def labeller_model(config: DictConfig, folder: RunFolder) -> str:
    """The local labeller's folder: conf.labeller.model or the base model, after its alignment where that has come before."""
    stages, stage = list(config.conf.stages), folder.stage
    early = stage == "calibrate" and not ("align" in stages and stages.index("align") < stages.index(stage))
    aligned = None if stage == "align" or early else folder.output("align", "model")
    if aligned is not None:
        return str(aligned)
    given = config.conf.labeller.model
    return resolve_model(str(given), setting="conf.labeller.model") if given else base_model(config, folder)


def retrieved(folder: RunFolder) -> tuple[dict[str, list[str]], dict[str, Report]]:
    """({row id: ids of its reports, best first}, {report id: report})."""
    hits = read_retrieved(folder.path / HOME / FILE)
    return {row: [hit.id for hit in found] for row, found in hits.items()}, {
        one.id: one for one in corpus(folder.path / "data")
    }


def answer(
    config: DictConfig,
    folder: RunFolder,
    rows: Sequence[Sample],
    ks: Sequence[int],
    name: str,
    settings: Any = None,
) -> dict[int, list[Label]]:
    """{k: labels of `rows`} by conf.labeller (or by other `settings` of a labeller), kept in pseudo_label/<name>/."""
    conf = config.conf
    own = settings is None and conf.labeller.kind == "local"
    settings = settings or OmegaConf.to_container(conf.labeller, resolve=True)
    if own:
        settings["model"] = labeller_model(config, folder)
    place = folder.path / HOME / name
    place.mkdir(parents=True, exist_ok=True)
    engine = {k: conf.engine[k] for k in ("device", "dtype", "gpu_memory_utilization")}
    work = Work(1, int(conf.seed), place, folder.path / "labeller", image_limits(config), engine)
    return answers_per_k(settings, rows, *retrieved(folder), ks, work)


def chosen_k(folder: RunFolder) -> int:
    """How many reports the calibration chose; UserError where none is done."""
    path = folder.output("calibrate", "calibration")
    if path is None:
        raise UserError(
            "The pseudo-labels need the number of reports that the stage `calibrate` chooses: put it before in conf.stages."
        )
    return int(json.loads(path.read_text(encoding="utf-8"))["chosen"])
