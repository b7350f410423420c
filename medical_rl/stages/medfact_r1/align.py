"""Stage `align`: the local labeller is tuned not to be misled by reports where it knew better (RULE)."""

import dataclasses
from collections.abc import Mapping, Sequence
from operator import attrgetter

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages, target
from medical_rl.evaluation.results import has_phantom_data
from medical_rl.pseudo_label.alignment.align import AlignmentRun, align
from medical_rl.pseudo_label.alignment.pairs import Pairs, make_pairs, refuse_overlap
from medical_rl.pseudo_label.alignment.rule_pairs import rule_pairs
from medical_rl.pseudo_label.answering import questions_with_reports
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.labellers.instructions import local_prompt, prompt_sample
from medical_rl.pseudo_label.retrieval.corpus import corpus, retrievable
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample, group_key
from medical_rl.stages.common.models import chosen, image_limits
from medical_rl.stages.medfact_r1 import labelling
from medical_rl.stages.medfact_r1.labelling import HOME, training_rows
from medical_rl.stages.stage import VLLM_ENGINE, Stage

MODEL = "checkpoints/align/huggingface"


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write checkpoints/align/huggingface (unless the labeller is kept) and pseudo_label/alignment."""
    source = labelling.borrowed_labels(config)
    reason = f"the labels of {source} are taken" if source else labelling.reason_not_aligned(config)
    if reason is not None:
        return {"outputs": {}, "notes": [f"nothing is aligned: {reason}"]}
    conf = config.conf
    settings = plain(conf.alignment)
    if settings["pairs"]:
        pairs, said = rule_pairs(
            settings["pairs"], settings["images"], local_prompt(), float(settings["held_out"]), int(conf.seed)
        )
        samples = list(map(attrgetter("sample"), pairs.train + pairs.held_out))
        refuse_overlap(samples, _other_studies(config, folder))
    else:
        rows, said = training_rows(folder, labelling.drawn_parts(config, folder).pairs), []
        refuse_overlap(rows, _other_studies(config, folder))
        pairs = _pairs(config, folder, rows, settings)
    engine = chosen(conf.engine, ("device", "dtype", "ranks"))
    work = AlignmentRun(
        folder.path / HOME / "alignment", folder.path / MODEL, image_limits(config), engine, int(conf.seed),
        has_phantom_data(folder.path),
    )  # fmt: skip
    report = align(settings, labelling.labeller_model(config, folder), pairs, work)
    outputs = {"model": MODEL} if report["kept"] == "aligned" else {}
    outputs["report"] = f"{HOME}/alignment/alignment.json"
    outputs["page"] = f"{HOME}/alignment/alignment.md"
    figures = chosen(report, ("verdict", "kept", "counts"))
    return {"outputs": outputs, "notes": report["notes"] + said, "figures": figures}


def _pairs(config: DictConfig, folder: RunFolder, rows: Sequence[Sample], settings: dict) -> Pairs:
    """The pairs and the measured rows, each row answered without reports and with as many as labels get."""
    k, prompt = reports_shown(config, folder), local_prompt()
    labels = labelling.label_rows(config, folder, rows, [0, k], "pairs")
    retrieved, reports = labelling.retrieved_reports(folder)
    prompts, without, with_reports = {}, {}, {}
    for row, question in zip(rows, questions_with_reports(rows, retrieved, reports, k), strict=True):
        prompts[row.id] = messages(prompt_sample(question), prompt)
    for responses, of_k in ((without, labels[0]), (with_reports, labels[k])):
        for row, label in zip(rows, of_k, strict=True):
            responses[row.id] = _response(row, label, prompt)
    return make_pairs(
        rows, without, with_reports, lambda row: prompts[row.id], prompt,
        held_out=float(settings["held_out"]), seed=int(config.conf.seed),
    )  # fmt: skip


def reports_shown(config: DictConfig, folder: RunFolder) -> int:
    """The calibrated number of reports; the largest candidate where it comes later or is 0."""
    is_calibrated = folder.output("calibrate", "calibration") is not None
    chosen = labelling.chosen_k(folder) if is_calibrated else 0
    return chosen or max(map(int, config.conf.calibration.candidates))


def _response(row: Sample, label: Label, prompt: dict) -> str | None:
    """The labeller's answer in the prompt's form; "" for none, None where it could not be asked."""
    if label.failed is not None:
        return None
    if not label.answer:
        return ""
    return target(dataclasses.replace(row, answer=label.answer, meta={}), prompt)


def _other_studies(config: DictConfig, folder: RunFolder) -> dict[str, set[str]]:
    """The studies that pairs must not come from.

    Pairs of a file carry their reports, so that the corpus may hold their studies; the rows to label may not.
    """
    parts, studies = labelling.drawn_parts(config, folder), {}
    named = {"the calibration set": parts.calibration}
    if config.conf.alignment.pairs:
        named["the questions that are to be labelled"] = parts.labelled
    else:
        splits = plain(config.conf.retriever.splits)
        reports = labelling.corpus_with_pairs_apart(config, folder, corpus(folder.path / "data"))
        studies["the retriever's corpus"] = set(map(group_key, retrievable(reports, splits)))
    for name, ids in named.items():
        studies[name] = set(map(group_key, training_rows(folder, ids, images=False)))
    for split in ("val", "test"):
        if (path := folder.path / "data" / f"{split}.parquet").exists():
            studies[f"the split {split}"] = set(map(group_key, read_samples(path, with_images=False)))
    return studies


def needs(conf: Mapping) -> tuple[str, ...]:
    """Preparation, retrieval, and the calibration where it comes first and says how many reports."""
    return ("prepare", "retrieve") + labelling.before(conf, "align", "calibrate")


STAGE = Stage(
    "align", "preference alignment of the labeller", run, needs=needs,
    reads=(
        "conf.alignment", "conf.calibration", "conf.labeller", "conf.pseudo_label.path", "conf.prompt",
        "conf.seed", "conf.model", *VLLM_ENGINE, "conf.engine.ranks",
    ),
)  # fmt: skip
