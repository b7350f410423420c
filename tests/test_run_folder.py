"""The run folder: atomic manifest, one process at a time, hashes that hold, nothing deleted."""

import json
import os

import pytest

from medical_rl.errors import UserError
from medical_rl.pipeline.fingerprint import supersede
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.create()
    return made


def test_a_failing_write_leaves_the_old_manifest_and_no_rest(folder, monkeypatch):
    folder.update_stage("rl", status="running")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        folder.update_stage("rl", status="done")
    assert folder.manifest()["stages"]["rl"] == {"status": "running"}
    assert not list(folder.path.glob(".*.tmp"))


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="cannot be written.*conf.run_dir"):
        RunFolder(blocked / "run").create()


def test_a_second_process_in_the_same_folder_is_refused(folder):
    lock = folder.lock()
    with pytest.raises(UserError, match=f"pid {os.getpid()}"):
        folder.lock()
    lock.release()
    folder.lock().release()


def test_an_output_holds_until_its_content_changes(folder):
    model = folder.path / "checkpoints" / "rl"
    model.mkdir(parents=True)
    (model / "weights").write_text("1")
    described = folder.describe("checkpoints/rl")
    assert folder.holds(described)
    os.utime(model / "weights", (1, 1))
    assert folder.holds(described), "a touched file has the same content"
    (model / "weights").write_text("2")
    assert not folder.holds(described)
    (model / "weights").unlink()
    assert not folder.holds(described)


def test_what_a_stage_left_is_set_aside_and_never_deleted(folder):
    kept = folder.path / "checkpoints" / "rl" / "global_step_3"
    kept.mkdir(parents=True)
    moved = supersede(folder, "rl")
    assert (moved / "checkpoints" / "rl" / "global_step_3").is_dir()
    assert supersede(folder, "rl") is None


def test_a_broken_manifest_is_said_so(folder):
    folder.manifest_file.write_text('{"stages":')
    with pytest.raises(UserError, match="not valid JSON"):
        folder.manifest()


def test_only_done_stages_have_outputs(folder):
    write_json(
        folder.manifest_file, {"stages": {"rl": {"status": "running", "outputs": {"model": {"path": "x"}}}}}
    )
    assert folder.output("rl", "model") is None
    folder.update_stage("rl", status="done")
    assert folder.output("rl", "model") == folder.path / "x"
    assert json.loads(folder.manifest_file.read_text())["stages"]["rl"]["status"] == "done"


def test_a_superseded_stage_takes_its_steps_and_curves_with_it(folder):
    lines = [
        '{"stage": "rl", "step": 1}\n',
        '{"stage": "warm_start", "step": 1}\n',
        '{"stage": "rl", "step": 2}\n',
    ]
    folder.metrics_file.write_text("".join(lines))
    for name in ("tensorboard/rl", "rollouts/validation", "rollouts/rl"):
        (folder.path / name).mkdir(parents=True)
    moved = supersede(folder, "rl")
    assert folder.metrics_file.read_text() == lines[1]
    assert (moved / "metrics.jsonl").read_text() == lines[0] + lines[2]
    assert all((moved / n).is_dir() for n in ("tensorboard/rl", "rollouts/validation", "rollouts/rl"))


def test_a_model_from_an_earlier_warm_start_is_not_current(folder):
    def done(sha):
        return {"status": "done", "outputs": {"model": {"path": "m", "sha256": sha}}}

    stages = {"warm_start": done("1"), "rl": {**done("9"), "inputs": {"warm_start/model": "1"}}}
    write_json(folder.manifest_file, {"stages": stages})
    assert folder.is_current("rl")
    write_json(folder.manifest_file, {"stages": {**stages, "warm_start": done("2")}})
    assert not folder.is_current("rl")
    write_json(folder.manifest_file, {"stages": {**stages, "warm_start": {**done("1"), "status": "running"}}})
    assert not folder.is_current("rl")
