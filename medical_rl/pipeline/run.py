"""Runs a recipe's stages in order, each heavy one in a process of its own; resumes, and leaves nothing behind.

A stage is skipped when its manifest entry is done, what it depends on is unchanged and its
outputs' hashes hold. A half-done stage goes on from its checkpoint; one whose settings changed
is moved to superseded/ and run anew, and what changed is said.
"""

from __future__ import annotations

import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from medical_rl.engine.host.versions import engine_versions
from medical_rl.errors import UserError, unknown
from medical_rl.loop.summary import run_loop
from medical_rl.pipeline.fingerprint import changes, fingerprint, only_grew, stage_config
from medical_rl.pipeline.stage_process import attend, now
from medical_rl.pipeline.superseded import supersede
from medical_rl.run import processes
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.progress import duration
from medical_rl.run.stage_names import split_stage
from medical_rl.stages import IN_LOOP_ONLY, LOOP, STAGES, TITLES, needs


def planned(config: DictConfig) -> list[str]:
    """The stages to run; UserError for an unknown one."""
    stages = list(config.conf.stages)
    available = [LOOP, *(s for s in STAGES if s not in IN_LOOP_ONLY)]
    for stage in stages:
        if stage not in available:
            raise unknown("stage", stage, available)
    if LOOP in stages and not config.conf.get("loop"):
        raise UserError("conf.stages has loop, and this recipe has no conf/loop. conf=medgr2 has one.")
    return [s for s in stages if s != "warm_start" or config.conf.warm_start.enabled]


def run(config: DictConfig, console: Console) -> RunFolder:
    """The run folder after every planned stage is done. Raises UserError or StageFailed."""
    folder = RunFolder(config.conf.run_dir)
    folder.create()
    held = folder.lock()
    try:
        config = _remember(config, folder)
        left = processes.end_all(folder.id)
        if left:
            console.print(
                f"  ended {left} processes that an earlier, killed run of this folder had left",
                style="yellow",
            )
        for stage in planned(config):
            if stage == LOOP:
                run_loop(config, folder, console, lambda step: _stage(step, config, folder, console))
            else:
                _stage(stage, config, folder, console)
    finally:
        processes.end_all(folder.id)
        held.close()
    return folder


def _remember(config: DictConfig, folder: RunFolder) -> DictConfig:
    """The configuration with an absolute run folder, saved as config.yaml for the stages."""
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    OmegaConf.set_struct(config, False)
    config.conf.run_dir = str(folder.path)
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    scratch = folder.path / ".config.yaml.tmp"
    OmegaConf.save(resolved, scratch)
    scratch.replace(folder.path / "config.yaml")
    manifest = folder.manifest()
    manifest.update({k: config.conf[k] for k in ("recipe", "scale", "seed")}, engine=config.conf.engine.name)
    write_json(folder.manifest_file, manifest)
    return resolved


def _inputs(stage: str, config: DictConfig, folder: RunFolder) -> dict[str, str]:
    """{"<stage>/<output>": sha256} of what `stage` takes from stages before it, and the data source's state."""
    manifest = folder.manifest()["stages"]
    found = {}
    for need in needs(stage, config.conf):
        if need == "warm_start" and not config.conf.warm_start.enabled:
            continue
        entry = manifest.get(need, {})
        for name, output in (entry.get("outputs", {}) if entry.get("status") == "done" else {}).items():
            found[f"{need}/{name}"] = output["sha256"]
    source = config.conf.data.get("source")
    if stage == "prepare" and source and (path := Path(str(source)).expanduser()).exists():
        found["source"] = f"{path.stat().st_size} bytes, changed {path.stat().st_mtime_ns}"
    return found


def _stage(stage: str, config: DictConfig, folder: RunFolder, console: Console) -> None:
    settings, inputs = stage_config(config, stage), _inputs(stage, config, folder)
    key, before = fingerprint(settings, inputs), folder.manifest()["stages"].get(stage, {})
    title = TITLES.get(split_stage(stage)[1], stage)
    if before.get("hash") == key and before.get("status") == "done":
        if all(folder.holds(o) for o in before["outputs"].values()):
            console.print(f"[green]✓[/green] {stage} ({title}): done before, skipped", highlight=False)
            return
        console.print(
            f"  {stage}: an output was changed or removed since; the stage runs again", style="yellow"
        )
    elif before:
        _settle(stage, before, settings, inputs, key, folder, console)
    console.print(f"[bold]▶ {stage}[/bold] ({title})  log: {_short(folder.log(stage))}", highlight=False)
    attempts = before.get("attempts", 0) + 1
    start = time.monotonic()
    try:
        folder.update_stage(stage, status="running", hash=key, settings=settings, inputs=inputs, outputs={}, attempts=attempts,
                            started=now(), versions=engine_versions(), seed=int(config.conf.seed))  # fmt: skip
        result = attend(stage, config, folder, console)
        outputs = {name: folder.describe(path) for name, path in result["outputs"].items()}
    except (KeyboardInterrupt, SystemExit):
        # Ctrl-C, SIGTERM or Slurm's time limit, at whatever moment: while the child starts, runs, or is hashed
        folder.update_stage(stage, status="interrupted", finished=now())
        raise
    wall = time.monotonic() - start
    folder.update_stage(
        stage, status="done", outputs=outputs, notes=result.get("notes", []), wall_s=round(wall, 1), finished=now(),
        **{name: result[name] for name in ("judge", "figures") if result.get(name)},
    )  # fmt: skip
    for note in result.get("notes", []):
        console.print(f"  {note}", highlight=False)
    console.print(f"[green]✓[/green] {stage} in {duration(wall)}", highlight=False)


def _settle(stage, before, settings, inputs, key, folder: RunFolder, console: Console) -> None:
    """None; what was left of an earlier attempt is continued, or set aside with the reason said."""
    if before.get("hash") == key:
        console.print(
            f"  {stage}: an earlier attempt ended as {before.get('status')}; continuing from what it saved"
        )
        return
    differing = changes(before.get("settings", {}), settings)
    if only_grew(before.get("settings", {}), settings) and before.get("inputs") == inputs:
        console.print(f"  {stage}: taken further ({'; '.join(differing)})")
        return
    if before.get("inputs") != inputs and not differing:
        differing = [
            "what it takes from earlier stages: "
            + ", ".join(c.split(":")[0] for c in changes(before.get("inputs", {}), inputs))
        ]
    moved = supersede(folder, stage)
    kept = f" What it had is kept in {_short(moved)}." if moved else ""
    shown = "; ".join(differing[:6]) + (f"; and {len(differing) - 6} more" if len(differing) > 6 else "")
    console.print(
        f"  {stage} is invalid now and runs anew, and so does what follows it. Changed: {shown}.{kept}",
        style="yellow",
        highlight=False,
    )


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
