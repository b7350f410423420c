"""What the pseudo-label stages of MEDFACT-R1 share: rows, labeller, the reports retrieved for them."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.data.reports import Report
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.align import skip_reason
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.parts import Parts, training_parts
from medical_rl.pseudo_label.retrieval.corpus import corpus
from medical_rl.pseudo_label.retrieval.retrieve import FILE, read_retrieved
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample, group_key
from medical_rl.stages.common.models import base_model, chosen, image_limits, resolve_model

HOME = "pseudo_label"


def borrowed_labels(config: DictConfig) -> Path | None:
    """The folder of another run's labels that this run takes, or None; a UserError where it holds none."""
    path = config.conf.pseudo_label.path
    if not path:
        return None
    folder = Path(str(path)).expanduser()
    if not (folder / "train.parquet").is_file():
        raise UserError(
            f"conf.pseudo_label.path={folder} holds no train.parquet. It is the folder pseudo_label/ of a "
            "run whose stage pseudo_label is done."
        )
    return folder


def training_rows(folder: RunFolder, ids: Iterable[str] | None = None, images: bool = True) -> list[Sample]:
    """The prepared training rows (those named by `ids`), without the copies that fill a batch."""
    wanted = None if ids is None else set(ids)
    rows = read_samples(folder.path / "data" / "train.parquet", images)
    return [row for row in rows if not row.meta.get("copy") and (wanted is None or row.id in wanted)]


def reason_not_aligned(config: DictConfig) -> str | None:
    """Why no labeller is aligned, as a clause; None where one is."""
    return skip_reason(config.conf.labeller) if config.conf.alignment.enabled else "conf/alignment=none"


def drawn_parts(config: DictConfig, folder: RunFolder) -> Parts:
    """The run's three parts of the training rows; where pairs are given as a file none of them makes any."""
    conf = config.conf
    rows = training_rows(folder, images=False)
    calibration = plain(conf.calibration)
    makes_pairs = not reason_not_aligned(config) and not conf.alignment.pairs
    pairs_share = float(conf.alignment.share) if makes_pairs else 0.0
    return training_parts(rows, calibration, pairs_share, int(conf.seed))


def corpus_with_pairs_apart(config: DictConfig, folder: RunFolder, reports: Sequence[Report]) -> list[Report]:
    """The reports, those of studies that give preference pairs in a split `pairs`, never retrieved (RULE)."""
    if reason_not_aligned(config):
        return list(reports)
    pairs = drawn_parts(config, folder).pairs
    studies = set(map(group_key, training_rows(folder, pairs, images=False)))
    reports = list(reports)
    for number, report in enumerate(reports):
        if report.group in studies:
            reports[number] = dataclasses.replace(report, split="pairs")
    return reports


def labeller_model(config: DictConfig, folder: RunFolder) -> str:
    """The local labeller's folder: conf.labeller.model or the base model, aligned where that came before."""
    stage = folder.stage
    before_alignment = stage == "calibrate" and not before(config.conf, stage, "align")
    if stage != "align" and not before_alignment:
        aligned = folder.output("align", "model")
        if aligned is not None:
            return str(aligned)
    model = config.conf.labeller.model
    if model:
        return resolve_model(str(model), setting="conf.labeller.model")
    return base_model(config, folder)


def retrieved_reports(folder: RunFolder) -> tuple[dict[str, list[str]], dict[str, Report]]:
    """({row id: ids of its reports, best first}, {report id: report})."""
    rankings = read_retrieved(folder.path / HOME / FILE)
    retrieved = {row: list(map(attrgetter("id"), hits)) for row, hits in rankings.items()}
    return retrieved, {report.id: report for report in corpus(folder.path / "data")}


def label_rows(
    config: DictConfig, folder: RunFolder, rows: Sequence[Sample], ks: Sequence[int], name: str,
    settings: dict[str, Any] | None = None,
) -> dict[int, list[Label]]:  # fmt: skip
    """{k: labels of `rows`} by conf.labeller (or other `settings` of one), kept in pseudo_label/<name>/."""
    conf = config.conf
    if settings is None:
        settings = plain(conf.labeller)
        if conf.labeller.kind == "local":
            settings["model"] = labeller_model(config, folder)
    home = folder.path / HOME / name
    home.mkdir(parents=True, exist_ok=True)
    engine = chosen(conf.engine, ("device", "dtype", "gpu_memory_utilization"))
    work = RoundContext(1, int(conf.seed), home, folder.path / "labeller", image_limits(config), engine)
    retrieved, reports = retrieved_reports(folder)
    return answers_per_k(settings, rows, retrieved, reports, ks, work)


def chosen_k(folder: RunFolder) -> int:
    """How many reports the calibration chose. Raises UserError where none is done."""
    path = folder.output("calibrate", "calibration")
    if path is None:
        raise UserError(
            "The pseudo-labels need the number of reports that the stage `calibrate` chooses: put it before "
            "in conf.stages."
        )
    return int(json.loads(path.read_text(encoding="utf-8"))["chosen"])


def before(conf: Mapping, stage: str, other: str) -> tuple[str, ...]:
    """(other,) where the recipe has it before `stage`, else ()."""
    stages = list(conf["stages"])
    return (other,) if other in stages and stages.index(other) < stages.index(stage) else ()
