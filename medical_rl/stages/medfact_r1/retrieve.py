"""Stage `retrieve`: the reports nearest to every training and test question, never the question's own."""

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.pseudo_label.retrieval.corpus import corpus
from medical_rl.pseudo_label.retrieval.retrieve import FILE, PreparedRows, retrieve
from medical_rl.run.folder import RunFolder
from medical_rl.stages.medfact_r1.labelling import HOME, borrowed_labels, corpus_with_pairs_apart
from medical_rl.stages.stage import Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write pseudo_label/retrieved.jsonl: for every row as many reports as the largest candidate k."""
    source = borrowed_labels(config)
    if source is not None:
        return {"outputs": {}, "notes": [f"nothing is retrieved: the labels of {source} are taken"]}
    conf, data = config.conf, folder.path / "data"
    settings = plain(conf.retriever)
    splits = ["train"]
    if conf.pseudo_label.baseline:
        splits.append(str(conf.evaluation.split))
    paths = [data / f"{split}.parquet" for split in splits if (data / f"{split}.parquet").exists()]
    k = max(1, max(map(int, conf.calibration.candidates)))
    reports = corpus_with_pairs_apart(config, folder, corpus(data))
    counts = retrieve(settings, PreparedRows(*paths, settings=settings), reports, k, folder.path / HOME)
    notes = [
        f"{counts['k']} reports for each of {counts['rows']:,} questions, out of {counts['retrievable']:,} "
        f"by {settings['name']}",
        f"a question's own report stood in {counts['own']:,} places of the rankings and was left out",
    ]
    return {"outputs": {"retrieved": f"{HOME}/{FILE}"}, "notes": notes, "figures": counts}


STAGE = Stage(
    "retrieve", "reports for every question", run, needs=("prepare",),
    reads=(
        "conf.retriever", "conf.calibration", "conf.alignment.enabled", "conf.alignment.share",
        "conf.alignment.pairs", "conf.labeller.kind", "conf.seed", "conf.pseudo_label", "conf.evaluation.split",
    ),
)  # fmt: skip
