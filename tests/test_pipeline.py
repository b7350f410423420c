"""The order of stages: skipping, resuming, invalidating, failing. Stages here are small functions of this file."""

import io
import time

import psutil
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from medical_rl import stages
from medical_rl.config.compose import compose
from medical_rl.errors import StageFailed, UserError
from medical_rl.pipeline import run as pipeline
from medical_rl.run.folder import RunFolder

TOY = """
import os, pathlib, subprocess, sys, time
from medical_rl.errors import UserError
from medical_rl.stages.common.rl import STAGE as RL
from medical_rl.stages.stage import Stage

def note(run, text):
    with open(run.path / "calls.txt", "a") as file:
        file.write(text + "\\n")

def first(config, run):
    note(run, "first")
    (run.path / "one.txt").write_text(str(config.conf.seed))
    return {"outputs": {"one": "one.txt"}, "notes": ["first was here"]}

def second(config, run):
    note(run, "second")
    mode = (run.path / "mode.txt").read_text() if (run.path / "mode.txt").exists() else ""
    if mode == "fail":
        raise RuntimeError("Error: the toy broke")
    if mode == "user":
        raise UserError("The toy was given no key.")
    if mode == "orphan":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if mode == "sleep":
        time.sleep(600)
    (run.path / "two.txt").write_text("2")
    return {"outputs": {"two": "two.txt"}}

FIRST = Stage(name="first", title="first", run=first, reads=RL.reads)
SECOND = Stage(name="second", title="second", run=second, needs=("first",), reads=RL.reads)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the two toy stages in a folder with overrides; gives (run folder, printed text)."""
    (tmp_path / "toy_stages.py").write_text(TOY)
    (tmp_path / "sitecustomize.py").write_text(
        "import medical_rl.stages as s; s.STAGES.update(first='toy_stages:FIRST', second='toy_stages:SECOND')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(stages.STAGES, "first", "toy_stages:FIRST")
    monkeypatch.setitem(stages.STAGES, "second", "toy_stages:SECOND")
    monkeypatch.syspath_prepend(str(tmp_path))
    base = compose(["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"])

    def go(**settings):
        config = OmegaConf.create(OmegaConf.to_container(base, resolve=False))
        config.conf.run_dir, config.conf.stages = str(tmp_path / "run"), ["first", "second"]
        for name, value in settings.items():
            OmegaConf.update(config, name.replace("__", "."), value)
        text = io.StringIO()
        console = Console(file=text, width=200)
        try:
            return pipeline.run(config, console), text.getvalue()
        except (UserError, StageFailed) as error:
            return error, text.getvalue()

    go.folder = RunFolder(tmp_path / "run")
    go.calls = lambda: (tmp_path / "run" / "calls.txt").read_text().split()
    go.mode = lambda text: (go.folder.create(), (tmp_path / "run" / "mode.txt").write_text(text))
    return go


def test_done_stages_are_skipped_the_second_time(run):
    _, text = run()
    assert run.calls() == ["first", "second"] and "first was here" in text
    _, text = run()
    assert run.calls() == ["first", "second"]
    assert text.count("done before, skipped") == 2
    entry = run.folder.manifest()["stages"]["second"]
    assert (
        entry["status"] == "done"
        and entry["seed"] == 1
        and entry["versions"]["verl"]
        and entry["outputs"]["two"]["sha256"]
    )


def test_a_changed_setting_says_what_it_invalidates_and_runs_it_again(run):
    run()
    _, text = run(conf__rewards__combine="normalised_sum")
    assert "conf.rewards.combine: sum -> normalised_sum" in text
    assert run.calls() == ["first", "second"] * 2


def test_a_changed_output_of_an_earlier_stage_runs_the_later_one_again(run):
    run()
    (run.folder.path / "two.txt").write_text("edited")
    _, text = run()
    assert run.calls() == ["first", "second", "second"]
    assert "changed or removed" in text


def test_where_a_run_lies_and_how_it_is_watched_does_not_invalidate(run):
    run()
    run(conf__engine__stall_timeout_s=77, trainer__save_freq=3)
    assert run.calls() == ["first", "second"]


def test_more_steps_take_a_stage_further_and_fewer_run_it_anew(run):
    run()
    kept = run.folder.path / "checkpoints" / "second"
    kept.mkdir(parents=True)
    _, text = run(trainer__total_training_steps=40)
    assert "taken further" in text and kept.is_dir()
    _, text = run(trainer__total_training_steps=10)
    assert "runs anew" in text and not kept.exists()
    assert list((run.folder.path / "superseded").rglob("checkpoints/second"))


def test_a_failing_stage_names_its_log_and_keeps_what_was_done(run):
    run.mode("fail")
    error, _ = run()
    assert isinstance(error, StageFailed) and error.exit_code == 1
    assert "second" in str(error) and "second.log" in str(error) and "the toy broke" in str(error)
    assert {s: e["status"] for s, e in run.folder.manifest()["stages"].items()} == {
        "first": "done",
        "second": "failed",
    }
    run.mode("")
    _, text = run()
    assert run.calls() == ["first", "second", "second"] and "ended as failed" in text


def test_a_users_error_inside_a_stage_is_one_sentence_with_exit_code_two(run):
    run.mode("user")
    error, _ = run()
    assert isinstance(error, UserError) and str(error) == "The toy was given no key."


def test_no_process_of_a_stage_is_left_behind(run):
    run.mode("orphan")
    run()
    marked = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MEDICAL_RL_RUN") == run.folder.id:
                marked.append(process)
        except psutil.Error:
            continue
    assert marked == []


def test_a_stage_in_which_nothing_happens_is_ended_with_the_reason(run):
    run.mode("sleep")
    start = time.monotonic()
    error, _ = run(conf__engine__stall_timeout_s=4)
    assert isinstance(error, StageFailed) and "nothing happened" in str(error)
    assert time.monotonic() - start < 60


def test_a_silent_stage_shows_a_heartbeat(run, monkeypatch):
    monkeypatch.setattr("medical_rl.run.progress.LINE_S", 0.5)
    run.mode("sleep")
    _, text = run(conf__engine__stall_timeout_s=4)
    assert text.count("so far") >= 2


def test_the_saved_configuration_and_manifest_hold_no_environment(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-5678")
    run()
    written = [p for p in run.folder.path.rglob("*") if p.is_file()]
    assert written and not any(b"canary" in p.read_bytes() for p in written)


def test_the_last_error_shown_is_the_inner_one_of_this_attempt(tmp_path):
    from medical_rl.run.processes import last_error

    log = tmp_path / "rl.log"
    log.write_text("OldError: of an earlier attempt\n")
    begins = log.stat().st_size
    with log.open("a") as file:
        file.write(
            "ValueError: the rows are too long\nsubprocess.CalledProcessError: Command failed\nno error: here\n"
        )
    assert last_error(log, begins) == "The last error in its log: ValueError: the rows are too long "
    assert last_error(log, log.stat().st_size) == "" == last_error(tmp_path / "absent")


def test_a_stop_is_noted_at_whatever_moment_it_comes(run, monkeypatch):
    """SIGTERM between the child's start and the watch over it: a race that only this order of calls shows."""

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_stage_process", stopped)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert run.folder.manifest()["stages"]["first"]["status"] == "interrupted"
    _, text = run()
    assert "an earlier attempt ended as interrupted" in text and run.calls() == ["first", "second"]
