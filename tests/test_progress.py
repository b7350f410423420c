"""What a person sees: steps with a pace, a heartbeat, the later of two lines of a step that ran twice."""

import io
import json

import pytest
from rich.console import Console

from medical_rl.run import progress
from medical_rl.run.progress import StageProgress, read_metrics


@pytest.fixture
def metrics(tmp_path):
    """Appends a line to metrics.jsonl."""
    path = tmp_path / "metrics.jsonl"

    def write(step, stage="rl", **values):
        with path.open("a") as file:
            file.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")

    write.path = path
    return write


def test_a_step_that_ran_twice_counts_as_its_later_line(metrics):
    metrics(3, loss=1.0, only_first=2.0)
    metrics(3, loss=0.5)
    metrics(3, stage="warm_start", loss=9.0)
    with metrics.path.open("a") as file:
        file.write('{"stage": "rl", "st')  # cut short while being written
    assert read_metrics(metrics.path, "rl") == {3: {"stage": "rl", "step": 3, "loss": 0.5, "only_first": 2.0}}


def shown(metrics, tmp_path, monkeypatch, seconds, writes, **options):
    """Text printed while the clock runs `seconds` and `writes` ({second: step}) happen."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    text = io.StringIO()
    with StageProgress(
        Console(file=text, width=150, **options), "rl", metrics.path, tmp_path / "rl.log", 20
    ) as bar:
        for second in range(seconds):
            clock[0] = 100.0 + second
            if second in writes:
                metrics(writes[second], **{"reward/total": 0.5})
            bar.look()
    return text.getvalue()


def test_steps_are_shown_with_their_figures_and_the_time_left(metrics, tmp_path, monkeypatch):
    # steps 1 to 3, six seconds each: 17 steps left are 102 s
    text = shown(metrics, tmp_path, monkeypatch, 20, {6: 1, 12: 2, 18: 3})
    assert "step 3/20: reward 0.500, about 1 min 42 s left" in text


def test_there_is_a_line_at_least_every_ten_seconds(metrics, tmp_path, monkeypatch):
    text = shown(metrics, tmp_path, monkeypatch, 65, {})
    assert text.count("so far") == 6


def test_steps_of_an_earlier_attempt_are_not_progress_of_this_one(metrics, tmp_path, monkeypatch):
    metrics(7)
    text = shown(metrics, tmp_path, monkeypatch, 12, {})
    assert "step 7" not in text


def test_the_heartbeat_of_a_preparation_tells_how_far_it_is(metrics, tmp_path, monkeypatch):
    now = iter([0.0, 0.0, 0.0, 20.0, 25.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with (tmp_path / "rl.log").open("w") as log:
        list(progress.Progress(Console(file=log)).count("train", range(3)))
    text = shown(metrics, tmp_path, monkeypatch, 12, {})
    # two rows in 20 s when the line was due; the third came before the next one was
    assert "train, 2 rows read, 0.1 a second, 10 s so far" in text


def test_a_terminal_gets_a_bar(metrics, tmp_path, monkeypatch):
    text = shown(metrics, tmp_path, monkeypatch, 10, {6: 1}, force_terminal=True)
    assert "1/20" in text
