"""Stage `evaluate`: greedy predictions of every model on the same test rows, and results.{json,md}."""

import json
import shutil
from collections.abc import Mapping
from itertools import chain, islice, product
from operator import itemgetter
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import in_pixels
from medical_rl.engine.vllm.requests import VllmRequest, run_requests
from medical_rl.evaluation import metrics
from medical_rl.evaluation.auroc import auroc, option_probabilities
from medical_rl.evaluation.metrics import sample_groups
from medical_rl.evaluation.results import entry, write_results
from medical_rl.loop import plan
from medical_rl.parsing.response import gold, parse, parse_lenient, read
from medical_rl.pseudo_label.label import read_labels
from medical_rl.rewards.terms.accuracy import right
from medical_rl.run.files import write_text
from medical_rl.run.folder import RunFolder
from medical_rl.sample import Sample
from medical_rl.stages import that_train
from medical_rl.stages.common.evaluated import EvalSet, EvaluatedModel, eval_sets, evaluated_models
from medical_rl.stages.common.models import engine_request
from medical_rl.stages.stage import VLLM_ENGINE, Stage

BASELINE = "retrieve_then_answer"
BOXES = "boxes"  # pictures of boxes, below the run folder


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Write results.json and results.md, set by set and model by model; draw boxes where rows have them."""
    evaluation = config.conf.evaluation
    models, stale = evaluated_models(config, folder)
    sets = eval_sets(config, folder)
    shutil.rmtree(folder.path / BOXES, ignore_errors=True)  # pictures of an earlier evaluation
    entries, notes = [], []
    for eval_set in sets:
        notes += eval_set.notes
    notes += stale
    scores_options = bool(evaluation.get("option_scores"))
    pairs = list(product(sets, models))
    run_requests([response_request(config, folder, model, eval_set) for eval_set, model in pairs])
    if scores_options:
        requests = [option_score_request(config, folder, model, eval_set) for eval_set, model in pairs]
        run_requests(requests, "option_scores")
    for eval_set in sets:
        by_model: dict[str, list[dict]] = {}
        for model in models:
            responses = response_request(config, folder, model, eval_set).output
            records = score(eval_set, responses, evaluation.limit)
            if scores_options:
                scores = option_score_request(config, folder, model, eval_set).output
                records = with_option_scores(records, scores)
                notes.append(f"AUROC on {eval_set.name}: {auroc(records)[1]}.")
            entries.append(entry(model.name, eval_set.name, str(evaluation.split), records, model.round))
            write_predictions(predictions_file(folder, model, eval_set), records)
            by_model[model.file] = records
        draw_boxes(folder, eval_set, by_model, int(config.conf.seed))
        labels = folder.output("pseudo_label", "test_labels")
        if eval_set is sets[0] and labels is not None:
            records = labelled(eval_set, labels, evaluation.limit)
            entries.append(entry(BASELINE, eval_set.name, str(evaluation.split), records))
            write_predictions(folder.path / "predictions" / f"{BASELINE}.jsonl", records)
    notes = list(dict.fromkeys(notes)) + metrics.yes_no_notes(entries)
    conf = config.conf
    write_results(folder.path, str(conf.recipe), str(conf.scale), int(conf.seed), entries, notes)
    outputs = {"results": "results.json", "table": "results.md", "predictions": "predictions"}
    if (folder.path / BOXES).is_dir():
        outputs["boxes"] = BOXES
    return {"outputs": outputs, "notes": notes}


def draw_boxes(
    folder: RunFolder, eval_set: EvalSet, answered: dict[str, list[dict]], seed: int
) -> Path | None:
    """Draw boxes/<data>.png, some test images with the true boxes and each model's; None without boxes."""
    if set(map(itemgetter("kind"), chain.from_iterable(answered.values()))) - {"box"}:
        return None
    from medical_rl.evaluation.figures import boxes
    from medical_rl.evaluation.figures.plot import save_figure
    from medical_rl.evaluation.results import has_phantom_data
    from medical_rl.evaluation.wording import PHANTOM_NOTE

    notes = boxes.overlap_notes(answered) + [boxes.LEGEND]
    if has_phantom_data(folder.path, eval_set.folder or None):
        notes.append(PHANTOM_NOTE)
    picture = boxes.draw(boxes.box_sheet(eval_set.rows, answered, seed=seed))
    title = f"{eval_set.name}: true and predicted boxes"
    return save_figure(picture, folder.path / BOXES / f"{eval_set.name}.png", title, notes)


def labelled(eval_set: EvalSet, labels_file: Path, limit: int | None) -> list[dict]:
    """The records of the tested rows as the labeller answers them; an abstention is an unparsed answer."""
    labels = {label.id: label for label in read_labels(labels_file)}
    records = []
    for sample in islice(read_samples(eval_set.rows, with_images=False), limit):
        if sample.id not in eval_set.left_out and sample.id in labels:
            label = labels[sample.id]
            correct = label.answer == gold(sample)
            records.append(prediction(sample, label.rationale, label.answer, correct))
    return records


def prediction(sample: Sample, response: str, answer: str | None, correct: bool) -> dict:
    """The record of one answered row, as it stands in predictions/."""
    return {
        "id": sample.id, "kind": sample.kind, "gold": gold(sample), "pred": answer,
        "choices": list(sample.choices), "response": response, "correct": correct,
        "groups": sample_groups(sample.meta),
    }  # fmt: skip


def predictions_file(folder: RunFolder, model: EvaluatedModel, eval_set: EvalSet) -> Path:
    """The file predictions/<model>.jsonl; for a further set predictions/<data>/<model>.jsonl."""
    return folder.path / "predictions" / eval_set.folder / f"{model.file}.jsonl"


def response_request(
    config: DictConfig, folder: RunFolder, model: EvaluatedModel, eval_set: EvalSet
) -> VllmRequest:
    """The request for the model's responses; those to the same model, rows and settings are completed."""
    home = predictions_file(folder, model, eval_set).parent
    file = home / f"{model.file}.request.json"
    return VllmRequest(request(config, model, eval_set), file, home / f"{model.file}.responses.jsonl")


def option_score_request(
    config: DictConfig, folder: RunFolder, model: EvaluatedModel, eval_set: EvalSet
) -> VllmRequest:
    """The request for the model's log-probabilities of each row's options, given its own responses."""
    responses = response_request(config, folder, model, eval_set).output
    file = responses.with_name(f"{model.file}.option_scores.request.json")
    output = responses.with_name(f"{model.file}.option_scores.jsonl")
    return VllmRequest(request(config, model, eval_set), file, output, {"responses": responses})


def with_option_scores(records: list[dict], scores: Path) -> list[dict]:
    """The records with "option_scores" {option: probability}; a row without options has none."""
    by_id = {}
    for line in map(json.loads, scores.read_text(encoding="utf-8").splitlines()):
        by_id[line["id"]] = option_probabilities(line["options"], line["scores"])
    for record in records:
        if record["id"] in by_id:
            record["option_scores"] = by_id[record["id"]]
    return records


def request(config: DictConfig, model: EvaluatedModel, eval_set: EvalSet) -> dict:
    """The request to medical_rl.engine.vllm.generate, without where the answers go."""
    tokens, limit = int(config.conf.evaluation.max_new_tokens), config.conf.evaluation.limit
    return engine_request(config, model.model, eval_set.rows, eval_set.prompt, tokens) | {"limit": limit}


def score(eval_set: EvalSet, responses: Path, limit: int | None) -> list[dict]:
    """The records of the rows: gold, answer read from the response (None: unparsed), whether it is right.

    `lenient_pred` and `lenient_correct` are the same of the lenient reading.
    """
    texts = {}
    # not `splitlines`: a response may hold separators that JSON leaves as they are
    with responses.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            texts[line["id"]] = line["response"]
    records = []
    for sample in islice(read_samples(eval_set.rows), limit):
        if sample.id not in eval_set.left_out:
            response = texts[sample.id]
            answer = in_pixels(read(parse(response), sample), sample, eval_set.prompt)
            lenient = in_pixels(read(parse_lenient(response), sample), sample, eval_set.prompt)
            record = prediction(sample, response, answer, right(answer, sample))
            records.append(record | {"lenient_pred": lenient, "lenient_correct": right(lenient, sample)})
    return records


def write_predictions(path: Path, records: list[dict]) -> None:
    """Write one scored row a line, the file whole or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def needs(conf: Mapping) -> tuple[str, ...]:
    """The stages that prepare, pseudo-label or train a policy, those of the loop's rounds included."""
    rounds = plan.policy_stages(conf["loop"]) if "loop" in conf["stages"] else ()
    return ("prepare", "pseudo_label") + tuple(that_train()) + tuple(rounds)


STAGE = Stage(
    "evaluate", "greedy evaluation", run, needs=needs,
    reads=("conf.evaluation", "conf.model", "conf.prompt.frame", "conf.seed") + VLLM_ENGINE,
    splits=lambda config, prepared: (str(config.conf.evaluation.split),),
)  # fmt: skip
