"""Stage `retrieve`: the reports nearest to every training and test question, never the question's own."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from medical_rl.pseudo_label.retrieval.reports import corpus
from medical_rl.pseudo_label.retrieval.retrieve import FILE, Rows, retrieve
from medical_rl.run.folder import RunFolder
from medical_rl.stages.medfact_r1.labelling import HOME, corpus_without, taken


def run(config: DictConfig, folder: RunFolder) -> dict:
    """pseudo_label/retrieved.jsonl: as many reports as the largest candidate of the calibration, for every row."""
    if (given := taken(config)) is not None:
        return {"outputs": {}, "notes": [f"nothing is retrieved: the labels of {given} are taken"]}
    settings = OmegaConf.to_container(config.conf.retriever, resolve=True)
    splits = ["train", *([str(config.conf.evaluation.split)] if config.conf.pseudo_label.baseline else [])]
    paths = [path for split in splits if (path := folder.path / "data" / f"{split}.parquet").exists()]
    most = max(1, *config.conf.calibration.candidates)
    reports = corpus_without(config, folder, corpus(folder.path / "data"))
    counts = retrieve(settings, Rows(*paths, settings=settings), reports, int(most), folder.path / HOME)
    notes = [
        f"{counts['k']} reports for each of {counts['rows']:,} questions, out of {counts['retrievable']:,} by {settings['name']}",
        f"a question's own report stood in {counts['own']:,} places of the rankings and was left out",
    ]
    return {"outputs": {"retrieved": f"{HOME}/{FILE}"}, "notes": notes, "figures": counts}
