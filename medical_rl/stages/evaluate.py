"""Stage `evaluate`: greedy predictions of every model of the run on the same test rows, and results.{json,md}."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.answers import gold, parse, read
from medical_rl.data.parquet import read_samples
from medical_rl.evaluation.results import entry, write_results
from medical_rl.rewards.accuracy import right
from medical_rl.run_folder import RunFolder, digest, write_json
from medical_rl.stages.models import base_model

TRAINED = ("warm_start", "rl")


def run(config: DictConfig, folder: RunFolder) -> dict:
    """results.json and results.md of base, warm start and RL, those that are there."""
    evaluation = config.conf.evaluation
    rows = folder.path / "data" / f"{evaluation.split}.parquet"
    card = json.loads((folder.path / "data" / "card.json").read_text())
    models, stale = trained_models(config, folder)
    models = {"base": base_model(config, folder), **models}
    entries, notes = [], [*card["about"].get("notes", []), *card["notes"], *stale]
    for name, model in models.items():
        print(f"predicting with {name}: {model}", flush=True)
        responses = predict(config, folder, name, model, rows)
        records = score(rows, responses, evaluation.limit)
        entries.append(entry(name, config.conf.data.name, str(evaluation.split), records))
        write_predictions(folder, name, records)
    write_results(folder.path, str(config.conf.recipe), str(config.conf.scale), int(config.conf.seed), entries, notes)
    return {"outputs": {"results": "results.json", "table": "results.md", "predictions": "predictions"}, "notes": notes}


def trained_models(config: DictConfig, folder: RunFolder) -> tuple[dict[str, str], list[str]]:
    """({name: model folder}, notes): the trained models that follow from what the run folder holds now.

    A model whose own inputs have changed since (RL from an earlier warm start, say) is left out, with a note.
    """
    found, notes = {}, []
    for name in TRAINED:
        model = folder.output(name, "model")
        if model is None or (name == "warm_start" and not config.conf.warm_start.enabled):
            continue
        if folder.is_current(name):
            found[name] = str(model)
        else:
            notes.append(
                f"{name} was trained from inputs that have changed since, so it is left out: run that stage again."
            )
    return found, notes


def predict(config: DictConfig, folder: RunFolder, name: str, model: str, rows: Path) -> Path:
    """File of the model's responses; one of the same model, rows and settings is used as it is or completed."""
    conf = config.conf
    request = {
        "model": model,
        "rows": str(rows),
        "limit": conf.evaluation.limit,
        "prompt": OmegaConf.to_container(conf.prompt, resolve=True),
        "limits": {k: int(conf.model[k]) for k in ("min_pixels", "max_pixels")},
        "max_new_tokens": int(conf.evaluation.max_new_tokens),
        "batch": int(conf.evaluation.batch),
        "device": str(conf.engine.device),
        "dtype": str(conf.engine.dtype),
        "gpus": int(conf.evaluation.gpus),
        "gpu_memory_utilization": float(conf.engine.gpu_memory_utilization),
        "seed": int(conf.seed),
    }
    asked = folder.path / "predictions" / f"{name}.request.json"
    output = asked.with_name(f"{name}.responses.jsonl")
    asked.parent.mkdir(exist_ok=True)
    identity = {**request, "model": digest(Path(model)), "rows": digest(rows), "output": str(output)}
    before = json.loads(asked.read_text()) if asked.exists() else {}
    if before.get("identity") != identity:
        output.unlink(missing_ok=True)
    write_json(asked, {**request, "output": str(output), "identity": identity})
    subprocess.run([sys.executable, "-m", "medical_rl.engine.generate", str(asked)], check=True)
    return output


def score(rows: Path, responses: Path, limit: int | None) -> list[dict]:
    """One record a row: gold answer, answer read from the response (None where unparsed), whether it is right."""
    texts = {r["id"]: r["response"] for r in map(json.loads, responses.read_text(encoding="utf-8").splitlines())}
    records = []
    for sample in islice(read_samples(rows), limit):
        response = texts[sample.id]
        predicted, truth = read(parse(response), sample), gold(sample)
        records.append(
            {"id": sample.id, "kind": sample.kind, "gold": truth, "pred": predicted, "choices": list(sample.choices),
             "response": response, "correct": right(predicted, sample)}
        )  # fmt: skip
    return records


def write_predictions(folder: RunFolder, name: str, records: list[dict]) -> None:
    """None; predictions/<model>.jsonl, one scored row a line."""
    path = folder.path / "predictions" / f"{name}.jsonl"
    scratch = path.with_suffix(".tmp")
    scratch.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    scratch.replace(path)
