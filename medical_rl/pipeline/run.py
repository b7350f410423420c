"""Run a recipe's stages in order, each in a process of its own; resume, and leave nothing behind.

A stage is skipped when its manifest entry is done, what it depends on is unchanged and its outputs' hashes
hold. A half-done stage goes on from its checkpoint; one whose settings changed is moved to superseded/ and
run anew, and what changed is said.
"""

import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from medical_rl.config.settings import plain
from medical_rl.engine.host.versions import engine_versions
from medical_rl.loop.rounds import run_loop
from medical_rl.pipeline.engine_checks import check_prompt_once, check_settings_once
from medical_rl.pipeline.fingerprint import changes, fingerprint, only_grew, stage_config, supersede
from medical_rl.pipeline.stage_process import now, run_stage_process
from medical_rl.run import processes
from medical_rl.run.files import replacing, write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.progress import duration
from medical_rl.stages import LOOP, declared, needs, planned


def run(config: DictConfig, console: Console) -> RunFolder:
    """Run every planned stage and return the run folder; else a UserError or StageFailed."""
    folder = RunFolder(config.conf.run_dir)
    folder.create()
    lock = folder.lock()
    try:
        config = _save_config(config, folder)
        count = processes.end_all(folder.id)
        if count:
            message = f"  ended {count} processes that an earlier, killed run of this folder had left"
            console.print(message, style="yellow")
        check_settings_once(config, folder)
        for stage in planned(config.conf):
            if stage == LOOP:
                run_loop(config, folder, console, lambda step: _run_stage(step, config, folder, console))
            else:
                _run_stage(stage, config, folder, console)
            if stage == "prepare":
                note = check_prompt_once(config, folder)
                if note:
                    console.print(f"  {note}", highlight=False)
    finally:
        processes.end_all(folder.id)
        lock.release()
    return folder


def _save_config(config: DictConfig, folder: RunFolder) -> DictConfig:
    """Save config.yaml for the stages, resolved and with an absolute run folder, and return it."""
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    OmegaConf.set_struct(config, False)
    config.conf.run_dir = str(folder.path)
    resolved = OmegaConf.create(plain(config))
    with replacing(folder.path / "config.yaml") as scratch:
        OmegaConf.save(resolved, scratch)
    manifest = folder.manifest()
    for name in ("recipe", "scale", "seed"):
        manifest[name] = config.conf[name]
    manifest["engine"] = config.conf.engine.name
    write_json(folder.manifest_file, manifest)
    return resolved


def _inputs(stage: str, config: DictConfig, folder: RunFolder) -> dict[str, str]:
    """The hashes of what `stage` takes: {"<stage>/<output>": sha256}, and the data source's state."""
    manifest = folder.manifest()["stages"]
    inputs = {}
    for need in needs(stage, config.conf):
        entry = manifest.get(need, {})
        left_out = need == "warm_start" and not config.conf.warm_start.enabled
        if entry.get("status") == "done" and not left_out:
            for name, output in entry.get("outputs", {}).items():
                inputs[f"{need}/{name}"] = output["sha256"]
    source = config.conf.data.get("source")
    if stage == "prepare" and source and (path := Path(str(source)).expanduser()).exists():
        inputs["source"] = f"{path.stat().st_size} bytes, changed {path.stat().st_mtime_ns}"
    return inputs


def _run_stage(stage: str, config: DictConfig, folder: RunFolder, console: Console) -> None:
    """Skip the stage where it is done and current, else run it and keep what it gave in the manifest."""
    settings, inputs = stage_config(config, stage), _inputs(stage, config, folder)
    key, before = fingerprint(settings, inputs), folder.manifest()["stages"].get(stage, {})
    title = declared(stage).title
    if before.get("hash") == key and before.get("status") == "done":
        if all(map(folder.holds, before["outputs"].values())):
            console.print(f"[green]✓[/green] {stage} ({title}): done before, skipped", highlight=False)
            return
        message = f"  {stage}: an output was changed or removed since; the stage runs again"
        console.print(message, style="yellow")
    elif before:
        _resume_or_supersede(stage, before, settings, inputs, key, folder, console)
    console.print(f"[bold]▶ {stage}[/bold] ({title})  log: {_short(folder.log(stage))}", highlight=False)
    start = time.monotonic()
    try:
        folder.update_stage(
            stage, status="running", hash=key, settings=settings, inputs=inputs, outputs={},
            attempts=before.get("attempts", 0) + 1, started=now(), versions=engine_versions(),
            seed=int(config.conf.seed),
        )  # fmt: skip
        result = run_stage_process(stage, config, folder, console)
        outputs = {name: folder.describe(path) for name, path in result["outputs"].items()}
    except (KeyboardInterrupt, SystemExit):
        # Ctrl-C, SIGTERM or Slurm's time limit, at whatever moment: while the child starts, runs or is hashed
        folder.update_stage(stage, status="interrupted", finished=now())
        raise
    wall = time.monotonic() - start
    notes = result.get("notes", [])
    fields = {"outputs": outputs, "notes": notes, "wall_s": round(wall, 1), "finished": now()}
    fields |= {name: result[name] for name in ("judge", "figures") if result.get(name)}
    folder.update_stage(stage, status="done", **fields)
    for note in notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"[green]✓[/green] {stage} in {duration(wall)}", highlight=False)


def _resume_or_supersede(
    stage: str, before: dict, settings: dict, inputs: dict, key: str, folder: RunFolder, console: Console
) -> None:
    """Leave what an earlier attempt saved to be continued, or set it aside; say which, and why."""
    if before.get("hash") == key:
        status = before.get("status")
        console.print(f"  {stage}: an earlier attempt ended as {status}; continuing from what it saved")
        return
    differing = changes(before.get("settings", {}), settings)
    changed_inputs = changes(before.get("inputs", {}), inputs)
    if only_grew(before.get("settings", {}), settings) and not changed_inputs:
        console.print(f"  {stage}: taken further ({'; '.join(differing)})")
        return
    if changed_inputs and not differing:
        names = [line.split(":")[0] for line in changed_inputs]
        differing = [f"what it takes from earlier stages: {', '.join(names)}"]
    old = supersede(folder, stage)
    place = f" What it had is kept in {_short(old)}." if old else ""
    further = f"; and {len(differing) - 6} more" if len(differing) > 6 else ""
    console.print(
        f"  {stage} is invalid now and runs anew, and so does what follows it. Changed: "
        f"{'; '.join(differing[:6])}{further}.{place}",
        style="yellow",
        highlight=False,
    )


def _short(path: Path) -> Path:
    """The path from here where it lies below, else whole."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
