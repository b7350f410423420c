"""Preference tuning by TRL: interrupted and resumed it ends in the same weights; what is merged is what was trained."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")

from safetensors.torch import load_file  # noqa: E402

from medical_rl.errors import StageFailed, UserError  # noqa: E402
from medical_rl.pseudo_label.alignment import dpo, export  # noqa: E402
from medical_rl.pseudo_label.alignment.dpo import Request  # noqa: E402
from medical_rl.pseudo_label.alignment.pairs import read_preferences, write_preferences  # noqa: E402
from medical_rl.training.saved_states import SavedStates  # noqa: E402

LORA = {"r": 4, "alpha": 8}


def asked(folder: Path, small, phantom, **changes) -> dict:
    settings = {"model": str(small[0]), "pairs": str(small[1]), "out": str(folder / "out"), "work": str(folder / "work"),
                "metrics": str(folder / "metrics.jsonl"), "lora": LORA, "lr": 1e-3, "epochs": None, "steps": 6, "batch_size": 8,
                "micro_batch": 4, "save_every": 2, **phantom.LIMITS}  # fmt: skip
    return settings | changes


def run(folder: Path, small, phantom, **changes) -> dict:
    return dpo.train(Request.of(asked(folder, small, phantom, **changes)))


def weights(folder: Path) -> dict:
    return load_file(folder / "out" / "model.safetensors")


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(small, phantom, tmp_path_factory):
    """(folder of an uninterrupted training, its facts)."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, small, phantom)


def test_facts_say_what_was_trained_and_states_are_gone(whole):
    folder, facts = whole
    assert json.loads((folder / "out" / "alignment.json").read_text()) == json.loads(json.dumps(facts))
    assert (facts["pairs"], facts["steps"]) == (24, 6) and facts["settings"]["loss_type"] == (
        "sigmoid",
        "sft",
    )
    assert facts["changed"] > 0.9
    assert not list((folder / "work").glob("checkpoint-*"))


def test_every_step_is_logged_for_the_progress_bar(whole):
    lines = [json.loads(line) for line in (whole[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    told = {
        "stage",
        "time",
        "train/loss",
        "alignment/dpo/loss",
        "alignment/dpo/reward_margin",
        "alignment/dpo/chosen_logprob",
    }
    assert told <= lines[0].keys()
    assert lines[0]["alignment/dpo/reward_margin"] == pytest.approx(0, abs=1e-5), (
        "the reference is the model it starts as"
    )


def test_the_language_model_changed_and_the_vision_tower_did_not(whole, small):
    before, after = load_file(Path(small[0]) / "model.safetensors"), weights(whole[0])
    assert before.keys() == after.keys(), "a folder of the same layout, which whatever loaded the one loads"
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and not [name for name in changed if "visual" in name or "embed" in name or "norm" in name]
    assert len(changed) == 14  # seven linear layers in each of two blocks


def test_settings_and_processor_are_the_models_own(whole, small):
    out = whole[0] / "out"
    for name in ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json"):
        assert json.loads((out / name).read_text()) == json.loads((Path(small[0]) / name).read_text()), name


def test_what_is_merged_equals_pefts_own_merge(small):
    import copy

    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    base = AutoModelForImageTextToText.from_pretrained(small[0], dtype=torch.float32)
    tuned = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=".*visual.*")
    )
    torch.manual_seed(0)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.1)
    expected = copy.deepcopy(tuned).merge_and_unload().state_dict()
    model, changed = export.merge(tuned, torch.float32)
    found = model.state_dict()
    assert changed > 0.99 and found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_change_too_small_for_the_saved_format_is_told(small, phantom, tmp_path):
    # A rate of 1e-9 over two steps moves weights of about 0.02 by some 1e-9; bfloat16 has steps of 1e-4 there.
    facts = run(tmp_path, small, phantom, lr=1e-9, steps=2, export_dtype="bfloat16")
    assert facts["changed"] < 1e-3
    assert all(weight.dtype == torch.bfloat16 for weight in weights(tmp_path).values())


def test_bf16_and_recomputed_activations_train_too(small, phantom, tmp_path):
    facts = run(tmp_path, small, phantom, precision="bf16", gradient_checkpointing=True, steps=2, lr=1e-2)
    assert facts["changed"] > 0.5 and facts["steps"] == 2
    assert all(weight.dtype == torch.float32 for weight in weights(tmp_path).values()), (
        "auto: as the model's folder has it"
    )


def test_the_mix_of_losses_is_the_one_asked_for(small, phantom, tmp_path):
    """At the first step DPO's loss is log 2, whatever the pair; with sft the chosen answer's loss a token is added."""
    first = {}
    for name, losses in (("plain", ["sigmoid"]), ("sft", ["sft"]), ("both", ["sigmoid", "sft"])):
        (tmp_path / name).mkdir()
        run(
            tmp_path / name,
            small,
            phantom,
            steps=1,
            loss_type=losses,
            loss_weights=[1.0] * len(losses),
            micro_batch=8,
        )
        first[name] = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])[
            "train/loss"
        ]
    assert first["plain"] == pytest.approx(0.6931, abs=2e-4)
    assert first["both"] == pytest.approx(first["plain"] + first["sft"], abs=2e-4)


def test_trl_sees_the_log_probabilities_that_are_reported(small, phantom, whole, tmp_path):
    """Two independent sums: TRL's on the first batch of all pairs, and pair_scores.py's, an answer at a time."""
    from medical_rl.pseudo_label.alignment.pair_scores import Scorer

    run(tmp_path, small, phantom, steps=1, batch_size=24, micro_batch=24)
    told = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    scorer, rows = Scorer(small[0], phantom.LIMITS), list(read_preferences(small[1]))
    for side in ("chosen", "rejected"):
        found = [scorer.logprobs([row], [getattr(row, side)])[0] for row in rows]
        assert told[f"alignment/dpo/{side}_logprob"] == pytest.approx(sum(found) / len(found), abs=1e-3)


@pytest.mark.parametrize("stops_after", [2, 4])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    whole, small, phantom, tmp_path, monkeypatch, stops_after
):
    mark = SavedStates.mark_whole

    def stopping(self, folder, step):
        mark(self, folder, step=step)
        if step == stops_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(SavedStates, "mark_whole", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, small, phantom)
    monkeypatch.setattr(SavedStates, "mark_whole", mark)
    (tmp_path / "work" / "checkpoint-5").mkdir()  # what a kill in the middle of a save leaves
    assert not (tmp_path / "out").exists()
    run(tmp_path, small, phantom)
    assert same(weights(tmp_path), weights(whole[0]))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6], "no step was run a second time"


def test_a_killed_process_goes_on_to_the_same_weights(small, phantom, tmp_path, one_thread):
    longer = {"steps": 40, "save_every": 4}
    request = tmp_path / "request.json"
    request.write_text(json.dumps(asked(tmp_path, small, phantom, **longer)))
    command = [sys.executable, "-m", "medical_rl.pseudo_label.alignment.dpo"]
    child = subprocess.Popen([*command, str(request)], start_new_session=True, env=one_thread)
    until = time.monotonic() + 120
    while (
        not (saved := list((tmp_path / "work").glob("checkpoint-*/whole.json"))) and time.monotonic() < until
    ):
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait(timeout=20) == -signal.SIGKILL and saved
    assert not (tmp_path / "out").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "request.json").write_text(json.dumps(asked(other, small, phantom, **longer)))
    for file in (request, other / "request.json"):
        subprocess.run([*command, str(file)], check=True, env=one_thread)
    assert json.loads((tmp_path / "out" / "alignment.json").read_text())["steps"] == 40
    assert same(weights(tmp_path), weights(other))
    losses = []
    for folder in (tmp_path, other):
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses.append({line["step"]: line["train/loss"] for line in lines})
    assert sorted(losses[0]) == sorted(losses[1]) == list(range(1, 41))
    assert losses[0][40] == losses[1][40]


def test_a_tuning_that_ends_early_is_not_done(small, phantom, tmp_path, monkeypatch):
    from transformers import TrainerCallback

    build = dpo.build

    class Stopping(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop = state.global_step == 3

    def stopping(*asked):
        trainer, dtype = build(*asked)
        trainer.add_callback(Stopping())
        return trainer, dtype

    monkeypatch.setattr(dpo, "build", stopping)
    with pytest.raises(StageFailed, match="Preference tuning ended at step 3 of 6"):
        run(tmp_path, small, phantom)
    assert not (tmp_path / "out").exists()


def test_another_seed_gives_other_weights(whole, small, phantom, tmp_path):
    run(tmp_path, small, phantom, seed=1)
    assert not same(weights(tmp_path), weights(whole[0]))


def test_a_finished_training_is_left_as_it_is(whole, small, phantom, monkeypatch):
    monkeypatch.setattr(dpo, "build", lambda *_: pytest.fail("trained a second time"))
    assert run(whole[0], small, phantom)["identity"] == whole[1]["identity"]


def test_a_state_of_another_training_is_not_taken_up(small, phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, small, phantom, steps=2)
    with pytest.raises(UserError, match="other settings or other pairs"):
        run(tmp_path, small, phantom, steps=2, beta=0.5)


def test_a_loss_that_is_no_number_ends_the_training(small, phantom, tmp_path):
    with pytest.raises(StageFailed, match="lower conf.alignment.lr"):
        run(tmp_path, small, phantom, lr=1e30, lr_warmup_ratio=0.0, max_grad_norm=1e30)
    assert not (tmp_path / "out").exists()


def test_unusable_pairs_end_with_the_users_exit_code(small, phantom, tmp_path, capsys):
    import dataclasses

    rows = list(read_preferences(small[1]))
    request = tmp_path / "request.json"
    broken = [dataclasses.replace(rows[0], id="phantom/broken", images=(b"no image",)), *rows[1:9]]
    unpaired = [dataclasses.replace(rows[0], rejected=None)]
    for pairs, says in (
        (broken, "phantom/broken"),
        (unpaired, "without a rejected answer"),
        ([], "no preference pairs"),
    ):
        write_preferences(pairs, tmp_path / "pairs.parquet")
        request.write_text(
            json.dumps(asked(tmp_path, small, phantom, pairs=str(tmp_path / "pairs.parquet"), batch_size=4))
        )
        assert dpo.main(str(request)) == 2
        assert says in capsys.readouterr().err
