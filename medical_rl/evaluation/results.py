"""What evaluations leave in run folders, and the runs of one or several folders, a sweep's too.

predictions/*.jsonl holds the scored answers, a file a model. results.json is the contract that tools read;
results.md has the same figures for people.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medical_rl.config.settings import flatten
from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import (
    Record,
    accuracy_interval,
    group_metrics,
    macro_accuracy,
    metrics,
    per_class,
)
from medical_rl.evaluation.tables.results_table import results_markdown
from medical_rl.evaluation.wording import LABELS, LEAK_NOTE, PHANTOM_NOTE
from medical_rl.run.files import write_text

# Settings that make no result another one.
IRRELEVANT = {"conf.run_dir", "conf.stages", "conf.dry_run", "conf.data.num_proc", "conf.max_ckpt_to_keep"}
# Settings that carry many others with them: where one differs, what differs in the same way need not be told.
ROOTS = ("conf.recipe", "conf.scale")
# The name of a row of an ablation: what differs between its rows and within none need not be told.
ROW = "conf.ablation"
SEED = "conf.seed"
MANY = 4  # settings of one group that differ in the same way: more are told by their first
_STAGE = re.compile(r"(?:round_(\d+)[/.])?(\w+)")


def entry(
    model: str, dataset: str, split: str, records: Sequence[Record], round: int | None = None
) -> dict[str, Any]:
    """One element of "evaluations": `model` measured on `records`, also per group and class.

    groups          {"modality": {name: {"n", metrics, "interval"}}, ...}, see `group_metrics`
    macro_accuracy  {"modality": mean accuracy over its groups, ...}; metrics["accuracy"] is micro
    """
    groups = group_metrics(records)
    return {
        "model": model,
        "round": round,
        "dataset": dataset,
        "split": split,
        "n": len(records),
        "metrics": metrics(records),
        "interval": accuracy_interval(records),
        "groups": groups,
        "macro_accuracy": macro_accuracy(groups),
        "per_class": per_class(records),
    }


def write_results(
    run_dir: Path | str,
    recipe: str,
    scale: str,
    seed: int,
    entries: Sequence[dict],
    notes: Sequence[str] = (),
) -> Path:
    """Write results.json, whose path is returned, and results.md beside it.

    Both texts are made before either is written, and each file is replaced whole: a failure leaves the old
    one.
    """
    results = {
        "recipe": recipe, "scale": scale, "seed": seed, "evaluations": list(entries), "notes": list(notes),
    }  # fmt: skip
    as_json = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    as_markdown = results_markdown(results)
    path = Path(run_dir) / "results.json"
    write_text(path, as_json)
    write_text(path.with_suffix(".md"), as_markdown)
    return path


def read_results(run_dir: Path | str) -> dict[str, Any]:
    """The contents of `run_dir`/results.json.

    Raises UserError where it is absent or not what `write_results` writes.
    """
    path = Path(run_dir) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no {path}. It is written when the recipe's evaluation is done.") from None
    except ValueError as error:  # broken JSON or broken UTF-8
        advice = "Rerun the recipe to write it again."
        raise UserError(f"{path} cannot be read as JSON ({error}). {advice}") from error
    present = results if isinstance(results, dict) else {}
    missing = [key for key in ("recipe", "scale", "seed", "evaluations") if key not in present]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: it is not a results file. Rerun the recipe.")
    evaluations = results["evaluations"] if isinstance(results["evaluations"], list) else [None]
    for row in evaluations:
        if not isinstance(row, dict) or not {"model", "dataset", "split", "n", "metrics"} <= set(row):
            lacking = "model, dataset, split, n or metrics"
            raise UserError(f"{path} has evaluations without {lacking}. Rerun the recipe.")
    return results


def file_stem(name: str, round: int | None = None) -> str:
    """What a model's files begin with; for a model that is no stage of the run a name of its own.

    >>> file_stem("rl"), file_stem("rl", 2), file_stem("Qwen/Qwen2-VL-7B-Instruct")
    ('rl', 'round_2.rl', 'model.Qwen--Qwen2-VL-7B-Instruct.c83bd5')
    """
    if name in LABELS:
        return name if round is None else f"round_{round}.{name}"
    plain = re.sub(r"[^\w.-]+", "--", name).strip("-.")[-80:]
    return f"model.{plain}.{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def stem_of_spec(model: str) -> str:
    """The stem of a model as a person names it: rl, round_2/rl, or the id that the results show.

    >>> stem_of_spec("round_2/rl"), stem_of_spec("base"), stem_of_spec("a/b") == file_stem("a/b")
    ('round_2.rl', 'base', True)
    """
    match = _STAGE.fullmatch(model)
    if match and match[2] in LABELS:
        return file_stem(match[2], int(match[1]) if match[1] else None)
    return file_stem(model)


def predicted_models(run: Path, data: str | None = None) -> list[str]:
    """The stems of the models with predictions on the run's test rows, or on the set `data`, by name."""
    files = (run / "predictions" / (data or "")).glob("*.jsonl")
    return sorted(file.stem for file in files if not file.stem.endswith((".responses", ".option_scores")))


def read_predictions(run: Path, model: str, data: str | None = None) -> list[Record]:
    """The records of `model` on the run's own test rows, or on the further set `data`.

    Raises UserError where there are none.
    """
    folder = run / "predictions" / (data or "")
    models = predicted_models(run, data)
    path = folder / f"{model if model in models else stem_of_spec(model)}.jsonl"
    if not path.is_file():
        raise UserError(
            f"There are no predictions of {model!r} in {folder}. Available: {', '.join(models) or 'none'}. "
            "They are written by the stage evaluate."
        )
    try:
        return list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
    except ValueError as error:
        advice = "Run the stage evaluate again."
        raise UserError(f"{path} cannot be read as JSON lines ({error}). {advice}") from error


@dataclass(frozen=True)
class Run:
    """A run folder: flat settings ("$RUN" for its own path), results.json, or None and why not."""

    path: Path
    settings: Mapping[str, Any]
    results: Mapping[str, Any] | None
    problem: str = ""

    def all_evaluations(self) -> list[dict]:
        """Its evaluations on all data; [] where it has no results."""
        return (self.results or {}).get("evaluations", [])

    def last_evaluation(self, model: str, data: str | None = None) -> dict | None:
        """The evaluation of `model` on `data` or its own test rows, the last round's; None without one."""
        asked = (data or self.settings.get("conf.data.name"), model)
        rows = [row for row in self.all_evaluations() if (row["dataset"], row["model"]) == asked]
        return max(rows, key=lambda row: row.get("round") or 0, default=None)


def find_runs(folders: Iterable[Path | str]) -> list[Run]:
    """The runs that `folders` are or hold at any depth, by path.

    Raises UserError for a folder without any.
    """
    runs: dict[Path, Run] = {}
    for folder in map(Path, folders):
        paths = []
        for path, below, files in os.walk(folder.expanduser()):
            if {"config.yaml", "manifest.json"} <= set(files):
                below.clear()  # nothing in a run is another run
                paths.append(Path(path))
            below[:] = [name for name in below if not name.startswith(".")]
        if not paths:
            needs = "a run folder has a config.yaml and a manifest.json"
            raise UserError(f"There is no run in {folder}: {needs}.")
        for path in sorted(paths):
            runs[path.resolve()] = read_run(path)
    return list(runs.values())


def read_run(path: Path) -> Run:
    """The run in `path`.

    Raises UserError where its config.yaml cannot be read.
    """
    file = path / "config.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}. It is written when a run starts.") from error
    if not isinstance(config, dict) or not isinstance(config.get("conf"), dict):
        raise UserError(f"{file} is not the configuration of a run: it has no conf.")
    own_path = str(config["conf"].get("run_dir"))
    settings = flatten(config)
    for name, value in settings.items():
        if isinstance(value, str):
            settings[name] = value.replace(own_path, "$RUN")
    try:
        return Run(path, settings, read_results(path))
    except UserError as error:
        if (path / "results.json").exists():
            return Run(path, settings, None, str(error))
        try:
            stages = json.loads((path / "manifest.json").read_text(encoding="utf-8")).get("stages", {})
        except ValueError:
            stages = {}
        states = [f"{name} {stage.get('status', 'unknown')}" for name, stage in stages.items()]
        return Run(path, settings, None, f"no results ({', '.join(states) or 'no stage has begun'})")


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """The settings that are not the same in all runs, apart from those that make no result another one."""
    names = setting_names(runs) - IRRELEVANT
    return [name for name in sorted(names) if len(set(_column(runs, name))) > 1]


def distinguishing_settings(runs: Sequence[Run], names: Iterable[str]) -> list[str]:
    """Those of `names` that a person would have typed.

    Of settings that follow from each other the first alone stands. Of what differs in the same way, ours
    stand for verl's, a choice's name for what is in it, and conf.seed for the seeds that copy it.
    """
    alike: dict[tuple, list[str]] = {}
    rows = _column(runs, ROW)
    for name in sorted(names, key=lambda n: (n != SEED, not n.startswith("conf."), n.count("."), n)):
        column = _column(runs, name)
        row_says_it = len(set(rows)) > 1 and len(set(zip(rows, column, strict=True))) == len(set(rows))
        if name in (ROW, SEED) or not row_says_it:
            alike.setdefault(tuple(map(column.index, column)), []).append(name)
    typed = []
    for group in alike.values():
        by_column: dict[tuple, str] = {}
        for name in _representatives(group):
            by_column.setdefault(tuple(_column(runs, name)), name)
        typed += by_column.values()
    return sorted(typed, key=lambda name: (name == SEED, name))


def _representatives(group: Sequence[str]) -> list[str]:
    """Of settings that differ in the same way those that stand for all."""
    ours = [name for name in group if name.startswith("conf.")] or group[:1]
    if set(ours) & set(ROOTS):
        ours = [name for name in ours if name in ROOTS or name == SEED]
    choices = tuple(name.removesuffix("name") for name in ours if name.endswith(".name"))
    of_group: dict[tuple, list[str]] = {}
    for name in ours:
        if name.endswith(".name") or not name.startswith(choices):
            of_group.setdefault(tuple(name.split(".")[:2]), []).append(name)
    chosen = []
    for names in of_group.values():
        chosen += names if len(names) <= MANY else names[:1]
    return sorted(chosen, key=ours.index)


def settings_text(run: Run, names: Iterable[str]) -> str:
    """What `run` has for `names`, as one would type it."""
    parts = []
    for name in names:
        value = run.settings.get(name)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        parts.append(f"{name}={text}")
    return ", ".join(parts)


def settings_following(runs: Sequence[Run], key: str) -> set[str]:
    """`key` and the settings that have its value in every run: what changes with it and with nothing else."""
    column = _column(runs, key)
    return {name for name in setting_names(runs) | {key} if _column(runs, name) == column}


def setting_names(runs: Iterable[Run]) -> set[str]:
    """The names of all settings of all runs."""
    names = set()
    for run in runs:
        names.update(run.settings)
    return names


def data_card(run: Path, data: str | None = None) -> dict:
    """The card of the run's data, or of its further set `data`; {} where there is none that can be read."""
    for folder in (run / f"data_{data}", run / "data"):
        try:
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            return card if isinstance(card["about"], dict) else {}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no such folder, or no card: nothing is said of it
    return {}


def has_phantom_data(run: Path, data: str | None = None) -> bool:
    """True if the card of the run's data, or of its further set `data`, says that they are phantoms."""
    return bool(data_card(run, data).get("about", {}).get("phantom"))


def data_notes(runs: Iterable[Run], data: str | None = None) -> list[str]:
    """The sentences that go with every figure of these runs: of phantoms, and of splits that share groups."""
    runs = list(runs)
    notes = [PHANTOM_NOTE] if any(has_phantom_data(run.path, data) for run in runs) else []
    for run in runs:
        folders = [folder.name for folder in sorted(run.path.glob("data_*"))] if data is None else []
        for further in (data, *(name.removeprefix("data_") for name in folders)):
            card = data_card(run.path, further)
            for both, count in (card.get("leaks") or {}).items():
                notes.append(LEAK_NOTE.format(name=card.get("name"), count=count, both=both))
    return list(dict.fromkeys(notes))


def _column(runs: Iterable[Run], name: str) -> list[str]:
    """The setting `name` of each run as JSON, by which values are compared."""
    return [json.dumps(run.settings.get(name, "(none)"), sort_keys=True, default=str) for run in runs]
