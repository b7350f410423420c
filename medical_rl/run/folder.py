"""The folder of a run: its layout, its manifest (written atomically), its lock.

manifest.json  config.yaml  checkpoints/<stage>/huggingface/  rollouts/  logs/
metrics.jsonl  tensorboard/  results.json  results.md  data/  superseded/  round_<k>/ (of a loop)
"""

import hashlib
import json
import os
from pathlib import Path

from filelock import FileLock

from medical_rl.errors import UserError
from medical_rl.run.files import digest, stamp, try_lock, write_json


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
        """Make the folder. Raises UserError saying why it cannot be written."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"ok")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"The run folder {self.path} cannot be written: {error.strerror or error}. Choose another "
                "with conf.run_dir=FOLDER."
            ) from None

    def lock(self) -> FileLock:
        """The lock of this folder until its `release()`; a UserError if another process works here."""
        file = self.path / ".lock"
        lock = try_lock(file)
        if lock is None:
            raise UserError(
                f"Another process ({file.read_text().strip() or 'unknown'}) is working in {self.path}. Wait "
                "for it, end it, or choose another conf.run_dir."
            )
        file.write_text(f"pid {os.getpid()}")
        return lock

    def round(self, number: int) -> Path:
        """The folder of a round's own files."""
        return self.path / f"round_{number}"

    def log(self, stage: str) -> Path:
        """logs/<stage>.log, its folder made (a round's stages have one of their own)."""
        path = self.logs / f"{stage}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def manifest(self) -> dict:
        """The manifest, an empty one where there is none; a UserError if it is not readable JSON."""
        if not self.manifest_file.exists():
            return {"stages": {}}
        try:
            return json.loads(self.manifest_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self.manifest_file} is not valid JSON ({error}). Move it away to start this run anew."
            ) from None

    def update_stage(self, stage: str, **fields) -> dict:
        """Merge `fields` into the stage's manifest entry, write the manifest, return the entry."""
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
        return path.exists() and (stamp(path) == output["stamp"] or digest(path) == output["sha256"])

    def output(self, stage: str, name: str) -> Path | None:
        """Path of a done stage's output, None where the stage is not done or has no such output."""
        entry = self.manifest()["stages"].get(stage, {})
        output = entry.get("outputs", {}).get(name)
        if output is None or entry.get("status") != "done":
            return None
        return self.path / output["path"]

    def is_current(self, stage: str) -> bool:
        """True if what a done stage took from stages before it is what they give now."""
        stages = self.manifest()["stages"]
        for name, sha in stages[stage].get("inputs", {}).items():
            need, _, output = name.rpartition("/")
            if not output:
                continue
            now = stages.get(need, {})
            if now.get("status") != "done" or now["outputs"].get(output, {}).get("sha256") != sha:
                return False
        return True
