"""Which settings each stage of an end-to-end run took, against those that it declares to read."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

RECORDER = Path(__file__).parent / "recorder"


def environment(folder: Path) -> dict[str, str]:
    """The variables under which a run's stages note their settings in <folder>.settings."""
    recorded = recorded_in(folder)
    recorded.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, (str(RECORDER), os.environ.get("PYTHONPATH"))))
    return {"RECORD_SETTINGS_IN": str(recorded), "PYTHONPATH": path}


def recorded_in(folder: Path) -> Path:
    """The folder beside a run's own that holds what its stages took."""
    return folder.with_name(f"{folder.name}.settings")


def below(name: str, prefixes) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def undeclared_and_unread(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """({stage: settings it took and does not declare}, {stage: declared settings that it never took})."""
    from medical_rl.pipeline.fingerprint import NEUTRAL
    from medical_rl.stages import declared

    config = OmegaConf.load(folder / "config.yaml")
    undeclared, unread = {}, {}
    for file in sorted(recorded_in(folder).glob("*.keys")):
        taken = {line.removesuffix(".*") for line in file.read_text().splitlines()}
        stage = declared(file.stem.rpartition(".")[2])
        strange = [name for name in taken if not below(name, (*stage.reads, *NEUTRAL))]
        # a group taken whole, of which parts are declared
        strange = [name for name in strange if not any(below(read, [name]) for read in stage.reads)]
        there = [name for name in stage.reads if OmegaConf.select(config, name) is not None]
        idle = [name for name in there if not any(below(one, [name]) or below(name, [one]) for one in taken)]
        if strange:
            undeclared[stage.name] = sorted({*undeclared.get(stage.name, []), *strange})
        if idle:
            unread[stage.name] = sorted({*unread.get(stage.name, []), *idle})
    return undeclared, unread
