"""The runs in one or several folders, a sweep's too: their settings, their results, what tells them apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medical_rl.config.settings import flatten
from medical_rl.errors import UserError
from medical_rl.evaluation.results import read_results

# Settings that make no result another one.
UNTOLD = ("conf.run_dir", "conf.stages", "conf.dry_run", "conf.data.num_proc", "conf.max_ckpt_to_keep")
# Settings that carry many others with them: where one differs, what differs in the same way need not be told.
ROOTS = ("conf.recipe", "conf.scale")
# The name of a row of an ablation: what differs between its rows and within none need not be told.
ROW = "conf.ablation"
MANY = 4  # settings of one group that differ in the same way: more are told by their first


@dataclass(frozen=True)
class Run:
    """A run folder: its flat settings ("$RUN" for its own path), its results.json (None where there is none) and why not."""

    path: Path
    settings: Mapping[str, Any]
    results: Mapping[str, Any] | None
    problem: str = ""

    def evaluations(self, data: str | None = None) -> list[dict]:
        """Its evaluations, on the set named `data` or on its own test rows."""
        wanted = data or self.settings.get("conf.data.name")
        return [row for row in (self.results or {}).get("evaluations", []) if row["dataset"] == wanted]


def find_runs(folders: Iterable[Path | str]) -> list[Run]:
    """The runs that `folders` are or hold at any depth, by path; UserError for a folder without any."""
    found: dict[Path, Run] = {}
    for folder in map(Path, folders):
        paths = sorted(_run_folders(folder.expanduser()))
        if not paths:
            raise UserError(
                f"There is no run in {folder}: a run folder has a config.yaml and a manifest.json."
            )
        found |= {path.resolve(): read_run(path) for path in paths}
    return list(found.values())


def read_run(path: Path) -> Run:
    """The run in `path`; UserError where its config.yaml cannot be read."""
    try:
        config = yaml.load(
            (path / "config.yaml").read_text(encoding="utf-8"),
            Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path / 'config.yaml'} cannot be read: {error}. It is written when a run starts."
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("conf"), dict):
        raise UserError(f"{path / 'config.yaml'} is not the configuration of a run: it has no conf.")
    own = str(config["conf"].get("run_dir"))
    settings = {k: v.replace(own, "$RUN") if isinstance(v, str) else v for k, v in flatten(config).items()}
    try:
        return Run(path, settings, read_results(path))
    except UserError as error:
        reached = _reached(path)
        return Run(path, settings, None, reached if not (path / "results.json").exists() else str(error))


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings that are not the same in all runs, apart from those that make no result another one."""
    names = sorted({name for run in runs for name in run.settings} - set(UNTOLD))
    return [name for name in names if len(set(_column(runs, name))) > 1]


def telling(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Those of `names` that a person would have typed: of settings that follow from each other the first alone.

    Of what differs in the same way, ours stand for verl's, a choice's name for what is in it, and conf.seed for the
    seeds that copy it.
    """
    alike: dict[tuple, list[str]] = {}
    names = [name for name in names if name in (ROW, "conf.seed") or not _follows(runs, name)]
    for name in sorted(names, key=lambda n: (n != "conf.seed", not n.startswith("conf."), n.count("."), n)):
        column = _column(runs, name)
        alike.setdefault(tuple(column.index(value) for value in column), []).append(name)
    kept = []
    for group in alike.values():
        ours = [name for name in group if name.startswith("conf.")] or group[:1]
        roots = [name for name in ours if name in ROOTS]
        ours = [name for name in ours if name in roots or name == "conf.seed"] if roots else ours
        chosen = {name.removesuffix(".name") for name in ours if name.endswith(".name")}
        ours = [n for n in ours if n.endswith(".name") or not any(n.startswith(f"{c}.") for c in chosen)]
        ours = [name for name in ours if _of_few(name, ours)]
        copies = [_column(runs, name) for name in ours]
        kept += [name for i, name in enumerate(ours) if copies[i] not in copies[:i]]
    return sorted(kept, key=lambda n: (n == "conf.seed", n))


def _follows(runs: Sequence[Run], name: str) -> bool:
    """True if the row of an ablation says what `name` is."""
    rows = _column(runs, ROW)
    return len(set(rows)) > 1 and len(set(zip(rows, _column(runs, name), strict=True))) == len(set(rows))


def _of_few(name: str, others: Sequence[str]) -> bool:
    """True unless more than `MANY` settings of the same group stand in `others` and this is not their first."""
    group = [one for one in others if one.split(".")[:2] == name.split(".")[:2]]
    return len(group) <= MANY or name == group[0]


def told(run: Run, names: Sequence[str]) -> str:
    """What `run` has for `names`, as one would type it.

    >>> told(Run(Path("."), {"conf.seed": 1, "conf.data.shots": None}, None), ["conf.data.shots", "conf.seed"])
    'conf.data.shots=null, conf.seed=1'
    """
    values = ((name, run.settings.get(name)) for name in names)
    return ", ".join(
        f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in values
    )


def following(runs: Sequence[Run], key: str) -> set[str]:
    """`key` and the settings that have its value in every run: what changes with it and with nothing else."""
    column = _column(runs, key)
    return {name for name in {n for run in runs for n in run.settings} if _column(runs, name) == column} | {
        key
    }


def phantom(run: Path, data: str | None = None) -> bool:
    """True if the card of the run's data, or of its further set `data`, says that they are phantoms."""
    for folder in (run / f"data_{data}", run / "data"):
        try:
            return bool(
                json.loads((folder / "card.json").read_text(encoding="utf-8"))["about"].get("phantom")
            )
        except (OSError, ValueError, KeyError):
            continue  # no such folder, or no card: nothing is said of it
    return False


def phantom_note(runs: Iterable[Run], data: str | None) -> list[str]:
    """[the sentence that goes with every figure of phantoms], or [] where none of the runs is of phantoms."""
    from medical_rl.evaluation.figures.plot import PHANTOM

    return [PHANTOM] if any(phantom(run.path, data) for run in runs) else []


def _column(runs: Sequence[Run], name: str) -> list[str]:
    return [json.dumps(run.settings.get(name, "(none)"), sort_keys=True, default=str) for run in runs]


def _run_folders(folder: Path) -> Iterable[Path]:
    for path, folders, files in os.walk(folder):
        if {"config.yaml", "manifest.json"} <= set(files):
            folders.clear()  # nothing in a run is another run
            yield Path(path)
        folders[:] = [name for name in folders if not name.startswith(".")]


def _reached(path: Path) -> str:
    """How far a run without results came, from its manifest."""
    try:
        stages = json.loads((path / "manifest.json").read_text(encoding="utf-8")).get("stages", {})
    except ValueError:
        stages = {}
    said = ", ".join(f"{name} {entry.get('status', 'unknown')}" for name, entry in stages.items())
    return f"no results ({said or 'no stage has begun'})"
