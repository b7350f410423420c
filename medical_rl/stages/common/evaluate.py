"""Stage `evaluate`: greedy predictions of every model on the same test rows, and results.{json,md}."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.data.box_frame import in_pixels
from medical_rl.data.parquet import read_samples
from medical_rl.engine.vllm.requests import Asked, respond_all
from medical_rl.evaluation import metrics
from medical_rl.evaluation.auroc import auroc, probabilities
from medical_rl.evaluation.groups import groups_of
from medical_rl.evaluation.results import entry, write_results
from medical_rl.parsing.response import gold, parse, read
from medical_rl.pseudo_label.label import read_labels
from medical_rl.rewards.terms.accuracy import right
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.eval_sets import MeasuredOn, measured_on
from medical_rl.stages.common.evaluated_models import Candidate, candidates
from medical_rl.stages.common.models import engine_request

BASELINE = "retrieve_then_answer"
BOXES = "boxes"  # pictures of boxes, below the run folder


def run(config: DictConfig, folder: RunFolder) -> dict:
    """results.json and results.md: each test set in turn, on it base, the run's models by round, then further ones; pictures of boxes."""
    models, stale = candidates(config, folder)
    sets = measured_on(config, folder)
    shutil.rmtree(folder.path / BOXES, ignore_errors=True)  # pictures of an earlier evaluation
    entries, notes = [], [*(note for one in sets for note in one.notes), *stale]
    scores_options = bool(config.conf.evaluation.get("option_scores"))
    everything = [(model, rows) for rows in sets for model in models]
    respond_all([asked(config, folder, *one) for one in everything])
    if scores_options:
        respond_all([asked_options(config, folder, *one) for one in everything], "option_scores")
    for rows in sets:
        answered: dict[str, list[dict]] = {}
        for model in models:
            records = score(rows, asked(config, folder, model, rows).output, config.conf.evaluation.limit)
            if scores_options:
                records = with_scores(records, asked_options(config, folder, model, rows).output)
                notes.append(f"AUROC on {rows.name}: {auroc(records)[1]}.")
            entries.append(
                entry(model.name, rows.name, str(config.conf.evaluation.split), records, model.round)
            )
            write_predictions(predictions_file(folder, model, rows), records)
            answered[model.file] = records
        draw_boxes(folder, rows, answered, int(config.conf.seed))
        if rows is sets[0] and (labels := folder.output("pseudo_label", "test_labels")) is not None:
            records = labelled(rows, labels, config.conf.evaluation.limit)
            entries.append(entry(BASELINE, rows.name, str(config.conf.evaluation.split), records))
            write_predictions(folder.path / "predictions" / f"{BASELINE}.jsonl", records)
    notes = [*dict.fromkeys(notes), *metrics.notes(entries)]
    write_results(
        folder.path, str(config.conf.recipe), str(config.conf.scale), int(config.conf.seed), entries, notes
    )
    outputs = {"results": "results.json", "table": "results.md", "predictions": "predictions"}
    outputs |= {"boxes": BOXES} if (folder.path / BOXES).is_dir() else {}
    return {"outputs": outputs, "notes": notes}


def draw_boxes(
    folder: RunFolder, rows: MeasuredOn, answered: dict[str, list[dict]], seed: int
) -> Path | None:
    """boxes/<data>.png, some test images with the true boxes and each model's; None where the rows ask for no boxes."""
    if not all(row["kind"] == "box" for records in answered.values() for row in records):
        return None
    from medical_rl.evaluation.figures import boxes
    from medical_rl.evaluation.figures.plot import PHANTOM, save
    from medical_rl.evaluation.runs import phantom

    shown = boxes.sheet(rows.rows, answered, seed=seed)
    notes = [
        *boxes.summary(answered),
        boxes.LEGEND,
        *([PHANTOM] if phantom(folder.path, rows.folder or None) else []),
    ]
    return save(
        boxes.draw(shown),
        folder.path / BOXES / f"{rows.name}.png",
        f"{rows.name}: true and predicted boxes",
        notes,
    )


def labelled(rows: MeasuredOn, labels: Path, limit: int | None) -> list[dict]:
    """One record a tested row, answered by the labeller from its retrieved reports; an abstention is an unparsed answer."""
    known = {one.id: one for one in read_labels(labels)}
    records = []
    for sample in islice(read_samples(rows.rows, with_images=False), limit):
        if sample.id in rows.left_out or sample.id not in known:
            continue
        one, truth = known[sample.id], gold(sample)
        records.append(
            {"id": sample.id, "kind": sample.kind, "gold": truth, "pred": one.answer, "choices": list(sample.choices),
             "response": one.rationale, "correct": one.answer == truth, "groups": groups_of(sample.meta)}
        )  # fmt: skip
    return records


def predictions_file(folder: RunFolder, model: Candidate, rows: MeasuredOn) -> Path:
    """predictions/<model>.jsonl for the run's own test rows, predictions/<data>/<model>.jsonl for a further set."""
    return folder.path / "predictions" / rows.folder / f"{model.file}.jsonl"


def asked(config: DictConfig, folder: RunFolder, model: Candidate, rows: MeasuredOn) -> Asked:
    """What the model is asked of the rows; responses to the same model, rows and settings are used as they are or completed."""
    place = predictions_file(folder, model, rows).parent
    return Asked(
        request(config, model, rows),
        place / f"{model.file}.request.json",
        place / f"{model.file}.responses.jsonl",
    )


def asked_options(config: DictConfig, folder: RunFolder, model: Candidate, rows: MeasuredOn) -> Asked:
    """The log-probabilities of each row's options that the model is asked for, given its own responses."""
    place, responses = predictions_file(folder, model, rows).parent, asked(config, folder, model, rows).output
    files = (place / f"{model.file}.option_scores.request.json", place / f"{model.file}.option_scores.jsonl")
    return Asked(request(config, model, rows), *files, {"responses": responses})


def with_scores(records: list[dict], scores: Path) -> list[dict]:
    """The records with "option_scores" {option: probability}; a row without options has none."""
    lines = map(json.loads, scores.read_text(encoding="utf-8").splitlines())
    found = {line["id"]: probabilities(line["options"], line["scores"]) for line in lines}
    return [{**row, "option_scores": found[row["id"]]} if row["id"] in found else row for row in records]


def request(config: DictConfig, model: Candidate, rows: MeasuredOn) -> dict:
    """What medical_rl.engine.vllm.generate is asked, without where the answers go."""
    asked = engine_request(config, model.model, rows.rows, rows.prompt)
    evaluation = config.conf.evaluation
    return {**asked, "limit": evaluation.limit, "max_new_tokens": int(evaluation.max_new_tokens)}


def score(rows: MeasuredOn, responses: Path, limit: int | None) -> list[dict]:
    """One record a row: gold answer, answer read from the response (None where unparsed), whether it is right."""
    # not `splitlines`: a response may hold separators that JSON leaves as they are
    with responses.open(encoding="utf-8") as lines:
        texts = {r["id"]: r["response"] for r in map(json.loads, lines)}
    records = []
    for sample in islice(read_samples(rows.rows), limit):
        if sample.id in rows.left_out:
            continue
        response = texts[sample.id]
        predicted, truth = in_pixels(read(parse(response), sample), sample, rows.prompt), gold(sample)
        records.append(
            {"id": sample.id, "kind": sample.kind, "gold": truth, "pred": predicted, "choices": list(sample.choices),
             "response": response, "correct": right(predicted, sample), "groups": groups_of(sample.meta)}
        )  # fmt: skip
    return records


def write_predictions(path: Path, records: list[dict]) -> None:
    """None; one scored row a line, written whole."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    scratch.replace(path)
