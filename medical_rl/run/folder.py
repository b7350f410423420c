"""The folder of a run: its layout, its manifest (written atomically), its lock.

manifest.json  config.yaml  checkpoints/<stage>/huggingface/  rollouts/  logs/
metrics.jsonl  tensorboard/  results.json  results.md  data/  superseded/  round_<k>/ (of a loop)
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.run.files import digest, stamp, write_json
from medical_rl.run.stage_names import split_stage


class RunFolder:
    """Paths and manifest of one run; `stage` is the one that this process works on ("" in the driver)."""

    def __init__(self, path: str | Path, stage: str = ""):
        self.stage = stage
        self.path = Path(path).expanduser().resolve()
        self.id = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        self.manifest_file = self.path / "manifest.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.logs = self.path / "logs"

    def create(self) -> None:
        """None; makes the folder, or raises UserError saying why it cannot be written."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"ok")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"The run folder {self.path} cannot be written: {error.strerror or error}. Choose another with conf.run_dir=FOLDER."
            ) from None

    def rows(self, split: str = "train") -> Path:
        """The prepared file of `split`; pseudo-labelled rows where there are any, and in a round of the loop rows of its own."""
        round_, _ = split_stage(self.stage)
        if split == "train" and round_ is not None:
            return self.round(round_) / "train.parquet"
        if (labelled := self.output("pseudo_label", split)) is not None:
            return labelled
        return self.path / "data" / f"{split}.parquet"

    def round(self, number: int) -> Path:
        """The folder of a round's own files."""
        return self.path / f"round_{number}"

    def log(self, stage: str) -> Path:
        """logs/<stage>.log, its folder made (a round's stages have one of their own)."""
        path = self.logs / f"{stage}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self):
        """An open file whose lock holds while it lives; UserError if another process works in this folder."""
        file = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise UserError(
                f"Another process ({file.read().strip() or 'unknown'}) is working in {self.path}. Wait for it, end it, or choose another conf.run_dir."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()}")
        file.flush()
        os.set_inheritable(file.fileno(), False)
        return file

    def manifest(self) -> dict:
        """The manifest; an empty one where there is none; UserError if it is not readable JSON."""
        if not self.manifest_file.exists():
            return {"stages": {}}
        try:
            return json.loads(self.manifest_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self.manifest_file} is not valid JSON ({error}). Move it away to start this run anew."
            ) from None

    def update_stage(self, stage: str, **fields) -> dict:
        """The stage's manifest entry after merging `fields` into it and writing the manifest."""
        manifest = self.manifest()
        entry = manifest["stages"].setdefault(stage, {})
        entry.update(fields)
        write_json(self.manifest_file, manifest)
        return entry

    def describe(self, relative: str) -> dict:
        """{"path", "sha256", "stamp"} of an output below the run folder."""
        path = self.path / relative
        return {"path": relative, "sha256": digest(path), "stamp": stamp(path)}

    def holds(self, output: dict) -> bool:
        """True if an output described earlier is there unchanged."""
        path = self.path / output["path"]
        if not path.exists():
            return False
        return stamp(path) == output["stamp"] or digest(path) == output["sha256"]

    def output(self, stage: str, name: str) -> Path | None:
        """Path of a done stage's output, None where the stage is not done or has no such output."""
        entry = self.manifest()["stages"].get(stage, {})
        found = entry.get("outputs", {}).get(name)
        return self.path / found["path"] if entry.get("status") == "done" and found else None

    def is_current(self, stage: str) -> bool:
        """True if what a done stage took from stages before it is what they give now."""
        stages = self.manifest()["stages"]
        for name, sha in stages[stage].get("inputs", {}).items():
            need, _, output = name.rpartition("/")
            now = stages.get(need, {})
            if output and (
                now.get("status") != "done" or now["outputs"].get(output, {}).get("sha256") != sha
            ):
                return False
        return True
