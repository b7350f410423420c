"""The runs in one or several folders, a sweep's too: settings, results, what tells them apart."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medical_rl.config.settings import flatten
from medical_rl.errors import UserError
from medical_rl.evaluation.results import read_results
from medical_rl.evaluation.wording import PHANTOM_NOTE

# Settings that make no result another one.
IRRELEVANT = {"conf.run_dir", "conf.stages", "conf.dry_run", "conf.data.num_proc", "conf.max_ckpt_to_keep"}
# Settings that carry many others with them: where one differs, what differs in the same way need not be told.
ROOTS = ("conf.recipe", "conf.scale")
# The name of a row of an ablation: what differs between its rows and within none need not be told.
ROW = "conf.ablation"
SEED = "conf.seed"
MANY = 4  # settings of one group that differ in the same way: more are told by their first


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

    def evaluations(self, data: str | None = None) -> list[dict]:
        """Its evaluations on the set named `data` or on its own test rows."""
        wanted = data or self.settings.get("conf.data.name")
        return [row for row in self.all_evaluations() if row["dataset"] == wanted]

    def last_evaluation(self, model: str, data: str | None = None) -> dict | None:
        """The evaluation of `model` on `data`, of the last round if there are several; None without one."""
        rows = [row for row in self.evaluations(data) if row["model"] == model]
        return max(rows, key=lambda row: row.get("round") or 0, default=None)


def find_runs(folders: Iterable[Path | str]) -> list[Run]:
    """The runs that `folders` are or hold at any depth, by path.

    Raises UserError for a folder without any.
    """
    runs: dict[Path, Run] = {}
    for folder in map(Path, folders):
        paths = sorted(_run_folders(folder.expanduser()))
        if not paths:
            needs = "a run folder has a config.yaml and a manifest.json"
            raise UserError(f"There is no run in {folder}: {needs}.")
        for path in paths:
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
        problem = str(error) if (path / "results.json").exists() else _progress(path)
        return Run(path, settings, None, problem)


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
    for name in sorted(names, key=lambda n: (n != SEED, not n.startswith("conf."), n.count("."), n)):
        if name in (ROW, SEED) or not _follows_from_ablation(runs, name):
            column = _column(runs, name)
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


def _follows_from_ablation(runs: Sequence[Run], name: str) -> bool:
    """True if the row of an ablation says what `name` is."""
    rows = _column(runs, ROW)
    pairs = zip(rows, _column(runs, name), strict=True)
    return len(set(rows)) > 1 and len(set(pairs)) == len(set(rows))


def settings_text(run: Run, names: Iterable[str]) -> str:
    """What `run` has for `names`, as one would type it.

    >>> run = Run(Path("."), {"conf.seed": 1, "conf.data.shots": None}, None)
    >>> settings_text(run, ["conf.data.shots", "conf.seed"])
    'conf.data.shots=null, conf.seed=1'
    """
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


def has_phantom_data(run: Path, data: str | None = None) -> bool:
    """True if the card of the run's data, or of its further set `data`, says that they are phantoms."""
    for folder in (run / f"data_{data}", run / "data"):
        try:
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            return bool(card["about"].get("phantom"))
        except (OSError, ValueError, KeyError):
            continue  # no such folder, or no card: nothing is said of it
    return False


def phantom_notes(runs: Iterable[Run], data: str | None = None) -> list[str]:
    """[the sentence that goes with every figure of phantoms], or [] where none of the runs is of phantoms."""
    return [PHANTOM_NOTE] if any(has_phantom_data(run.path, data) for run in runs) else []


def _column(runs: Iterable[Run], name: str) -> list[str]:
    """The setting `name` of each run as JSON, by which values are compared."""
    return [json.dumps(run.settings.get(name, "(none)"), sort_keys=True, default=str) for run in runs]


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        if {"config.yaml", "manifest.json"} <= set(files):
            folders.clear()  # nothing in a run is another run
            yield Path(path)
        folders[:] = [name for name in folders if not name.startswith(".")]


def _progress(path: Path) -> str:
    """How far a run without results came, from its manifest."""
    try:
        stages = json.loads((path / "manifest.json").read_text(encoding="utf-8")).get("stages", {})
    except ValueError:
        stages = {}
    states = [f"{name} {stage.get('status', 'unknown')}" for name, stage in stages.items()]
    return f"no results ({', '.join(states) or 'no stage has begun'})"
