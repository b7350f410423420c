"""Training R_phi: interrupted and resumed it ends in the same weights; rows and losses are what was asked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from medical_rl.errors import StageFailed, UserError  # noqa: E402
from medical_rl.reward_model.graded import write_graded  # noqa: E402
from medical_rl.reward_model.model import read_facts  # noqa: E402
from medical_rl.reward_model.score import score  # noqa: E402
from medical_rl.reward_model.training import train  # noqa: E402
from medical_rl.reward_model.training.request import Request  # noqa: E402
from medical_rl.training.saved_states import SavedStates  # noqa: E402

LIMITS = {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
COMMAND = [sys.executable, "-m", "medical_rl.reward_model.training.train"]
PHASE = {"steps": 4, "batch_size": 8, "lr": 1e-3}


def asked(folder: Path, model, parquet, **changes) -> dict:
    settings = {"model": str(model), "rows": str(parquet), "out": str(folder / "out"), "work": str(folder / "work"),
                "metrics": str(folder / "metrics.jsonl"), "sft": PHASE, "fit": PHASE, "max_length": 512, "save_every": 2,
                "log_every": 1, "micro_batch": 4, **LIMITS}  # fmt: skip
    return settings | changes


def run(folder: Path, model, parquet, **changes) -> dict:
    return train.train(Request.of(asked(folder, model, parquet, **changes)))


def weights(folder: Path) -> dict:
    return load_file(folder / "out" / "model.safetensors")


def losses(folder: Path) -> dict[int, float]:
    """{step: its loss}, the last line of a step that was taken again after a kill."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tiny, parquet, tmp_path_factory):
    """(folder of an uninterrupted training, its facts)."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, tiny, parquet)


def test_facts_say_what_was_trained(whole, parquet):
    folder, facts = whole
    assert read_facts(folder / "out") == json.loads(json.dumps(facts))
    assert facts["rows"] == 48 and facts["steps"] == {"sft": 4, "fit": 4} and facts["outputs"] == ["total"]
    assert facts["made_by"] == {"original": 12, "synonym": 12, "deletion": 12, "irrelevant": 12}
    assert not list((folder / "work").glob("*step_*")), "states are removed once the model is exported"


def test_every_step_is_logged_for_the_progress_bar(whole, monkeypatch):
    lines = [json.loads(line) for line in (whole[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {"stage", "time", "reward_model/sft/loss"} <= lines[0].keys() and "reward_model/fit/loss" in lines[
        -1
    ]


@pytest.mark.parametrize(
    "stops_after", [2, 4, 6], ids=["in the warm-up", "between the phases", "in the grades"]
)
def test_an_interrupted_training_goes_on_to_the_same_weights(
    whole, tiny, parquet, tmp_path, monkeypatch, stops_after
):
    save = SavedStates.save

    def stopping(states, accelerator, total_steps, **record):
        save(states, accelerator, total_steps, **record)
        if total_steps == stops_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(SavedStates, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tiny, parquet)
    monkeypatch.setattr(SavedStates, "save", save)
    (tmp_path / "work" / ".step_00000099.tmp").mkdir()  # what a kill in the middle of a save leaves
    assert not (tmp_path / "out").exists()
    run(tmp_path, tiny, parquet)
    assert same(weights(tmp_path), weights(whole[0]))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8], "no step was run a second time"


def test_a_killed_process_goes_on_too(tiny, parquet, tmp_path, one_thread):
    longer = {"fit": PHASE | {"steps": 120}, "save_every": 20, "workers": 1}
    request = tmp_path / "request.json"
    request.write_text(json.dumps(asked(tmp_path, tiny, parquet, **longer)))
    child = subprocess.Popen([*COMMAND, str(request)], start_new_session=True, env=one_thread)
    until = time.monotonic() + 120
    while not (saved := list((tmp_path / "work").glob("step_*"))) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait(timeout=20) == -signal.SIGKILL and saved
    other = tmp_path / "other"
    other.mkdir()
    (other / "request.json").write_text(json.dumps(asked(other, tiny, parquet, **longer)))
    for file in (request, other / "request.json"):
        subprocess.run([*COMMAND, str(file)], check=True, env=one_thread)
    assert read_facts(tmp_path / "out")["steps"]["fit"] == 120
    assert same(weights(tmp_path), weights(other))
    resumed, uninterrupted = losses(tmp_path), losses(other)
    assert sorted(resumed) == sorted(uninterrupted) == list(range(1, 4 + 120 + 1))
    assert resumed[124] == uninterrupted[124]
    assert read_facts(tmp_path / "out")["last_loss"] == read_facts(other / "out")["last_loss"]


def test_a_training_that_ends_early_is_not_done(tiny, parquet, tmp_path, monkeypatch):
    batches = train.batches
    monkeypatch.setattr(train, "batches", lambda *asked: list(batches(*asked))[:-1])
    with pytest.raises(StageFailed, match="phase fit of R_phi's training ended at step 3 of 4"):
        run(tmp_path, tiny, parquet, sft=None)
    assert not (tmp_path / "out").exists()


def test_a_different_seed_gives_other_weights(whole, tiny, parquet, tmp_path):
    run(tmp_path, tiny, parquet, seed=1)
    assert not same(weights(tmp_path), weights(whole[0]))


def test_the_size_of_a_micro_batch_is_no_setting_of_the_result(whole, tiny, parquet, tmp_path):
    run(tmp_path, tiny, parquet, micro_batch=8, sft=None)
    (tmp_path / "two").mkdir()
    run(tmp_path / "two", tiny, parquet, micro_batch=2, sft=None)
    one, two = weights(tmp_path), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=2e-4) for name in one)


def test_a_finished_training_is_left_as_it_is(whole, tiny, parquet, monkeypatch):
    monkeypatch.setattr(train, "optimise", lambda *_: pytest.fail("trained a second time"))
    assert run(whole[0], tiny, parquet)["identity"] == whole[1]["identity"]


def test_a_state_of_another_training_is_not_taken_up(tiny, parquet, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "export", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tiny, parquet)
    with pytest.raises(UserError, match="other settings"):
        run(tmp_path, tiny, parquet, seed=5)


def test_a_later_round_goes_on_with_the_head_it_had(whole, tiny, parquet, rows, tmp_path):
    earlier = whole[0] / "out"
    standing = {"sft": None, "fit": PHASE | {"lr": 0.0}}
    run(tmp_path, earlier, parquet, **standing)
    pairs = [(row.sample, row.text) for row in rows[:4]]
    assert list(score(tmp_path / "out", pairs)) == pytest.approx(list(score(earlier, pairs)), abs=1e-5)
    for wrong in ({"sft": PHASE}, {"criteria": ["format"]}):
        (folder := tmp_path / str(len(str(wrong)))).mkdir()
        with pytest.raises(UserError, match="is a reward model with the outputs total"):
            run(folder, earlier, parquet, **(standing | wrong))


def test_overlong_rows_are_dropped_and_counted_or_an_error(tiny, parquet, encoder, rows, tmp_path):
    lengths = sorted(encoder.length(row.sample, row.text) for row in rows)
    limit = lengths[30]
    facts = run(tmp_path, tiny, parquet, max_length=limit, sft=None)
    kept = sum(length <= limit for length in lengths)
    assert 0 < kept < 48 and (facts["rows"], facts["dropped_overlong"]) == (kept, 48 - kept)
    with pytest.raises(UserError, match=rf"row 'phantom_vqa/0/train/\d+' has \d+ tokens.*takes {limit}"):
        run(tmp_path, tiny, parquet, max_length=limit, overlong="error")
    with pytest.raises(UserError, match="None of the 48"):
        run(tmp_path, tiny, parquet, max_length=10)


def test_a_row_that_cannot_be_encoded_is_named_before_training(tiny, rows, tmp_path):
    import dataclasses

    broken = dataclasses.replace(rows[0].sample, id="phantom/broken", images=(b"no image",))
    write_graded([*rows, dataclasses.replace(rows[0], sample=broken)], tmp_path / "graded.parquet")
    request = tmp_path / "request.json"
    request.write_text(json.dumps(asked(tmp_path, tiny, tmp_path / "graded.parquet")))
    assert train.main(str(request)) == 2
    with pytest.raises(UserError, match="phantom/broken"):
        train.train(Request.read(request))


def test_a_diverging_loss_ends_the_training(tiny, rows, tmp_path):
    import dataclasses

    write_graded([dataclasses.replace(row, grade=float("inf")) for row in rows], tmp_path / "graded.parquet")
    with pytest.raises(StageFailed, match="lower its learning rate"):
        run(tmp_path, tiny, tmp_path / "graded.parquet", sft=None)


def test_regression_learns_and_pairs_learn_the_order(tiny, rows, tmp_path):
    """Twelve texts of three pictures are learned by heart; that it generalises is proved with more rows (`make accept`)."""
    from medical_rl.reward_model.calibration import order_accuracy

    few = list({row.sample.id: None for row in rows})[:3]
    rows = [row for row in rows if row.sample.id in few]
    write_graded(rows, parquet := tmp_path / "few.parquet")
    pairs, found = [(row.sample, row.text) for row in rows], {}
    for loss in ("mse", "pairwise"):
        (folder := tmp_path / loss).mkdir()
        fit = {"steps": 80, "batch_size": 12, "lr": 3e-3, "head_lr_ratio": 100}
        facts = run(
            folder, tiny, parquet, loss=loss, fit=fit, sft=None, micro_batch=24, save_every=1000, log_every=20
        )
        found[loss] = facts["last_loss"], order_accuracy(rows, list(score(folder / "out", pairs)))
        assert facts["loss"] == loss
    assert found["mse"][0] < 0.7 and found["mse"][1] > 0.75  # a constant has loss 1.1 and accuracy 0.5
    assert (
        found["pairwise"][0] < 0.45 and found["pairwise"][1] > 0.75
    )  # a constant has loss log 2 and accuracy 0.5
    assert "scale has none" in (tmp_path / "pairwise" / "out" / "README.md").read_text()


def test_criteria_have_outputs_of_their_own(tiny, parquet, rows, tmp_path):
    fit = {"steps": 60, "batch_size": 16, "lr": 2e-3, "head_lr_ratio": 50}
    run(
        tmp_path,
        tiny,
        parquet,
        criteria=["factual", "format"],
        criteria_weight=1.0,
        fit=fit,
        sft=None,
        micro_batch=16,
    )
    found = list(score(tmp_path / "out", [(row.sample, row.text) for row in rows]))
    assert all(len(outputs) == 3 for outputs in found)
    # format is only known as 10, so its output goes there whatever the total is
    assert sum(abs(outputs[2] - 10) for outputs in found) / len(found) < 4
