"""A real preference tuning of a tiny labeller that believes reports more than its eyes, and one that goes wrong on purpose."""

import importlib
import json
import subprocess
import types

import pytest
from omegaconf import OmegaConf

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")

from medical_rl.errors import UserError  # noqa: E402
from medical_rl.pseudo_label.alignment import align as alignment  # noqa: E402
from medical_rl.pseudo_label.alignment.align import AlignmentRun, align, skip_reason  # noqa: E402

TINY = {
    "lora": {"r": 16, "alpha": 32, "dropout": 0.0}, "lr": 5e-4, "epochs": None, "steps": 40, "batch_size": 16, "micro_batch": 16,
    "precision": "fp32", "gradient_checkpointing": False, "workers": 0, "max_new_tokens": 16, "measure_batch": 64, "log_every": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(root):
    return OmegaConf.to_container(OmegaConf.load(root / "conf" / "alignment" / "dpo.yaml")) | TINY


@pytest.fixture(scope="module")
def here():
    """`alignment` without processes of its own, whose imports would take half of the suite's time: the same modules, in this one."""

    def run(command, env):
        module = importlib.import_module(command[command.index("-m") + 1])
        return subprocess.CompletedProcess(command, module.main(command[-1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "subprocess", types.SimpleNamespace(run=run))
        yield


def place(phantom, folder, **changes):
    engine = {"device": "cpu", "dtype": "float32", "ranks": 1}
    return AlignmentRun(
        folder,
        folder / "checkpoints" / "huggingface",
        phantom.LIMITS,
        engine,
        seed=0,
        phantom=True,
        **changes,
    )


@pytest.fixture(scope="module")
def aligned(here, phantom, labeller, pairs, settings, tmp_path_factory):
    """(report, folder) of an alignment with its control."""
    folder = tmp_path_factory.mktemp("aligned")
    return align(settings, labeller, pairs, place(phantom, folder)), folder


def test_this_labeller_is_misled_by_reports(pairs):
    counts = pairs.counts
    assert counts["right_wrong"] > 100 > counts["wrong_wrong"], "it sees, and half of the reports mislead it"
    assert counts["train_pairs"] + counts["held_out_pairs"] == counts["right_wrong"]


def test_the_margin_rises_and_nothing_that_counts_falls(aligned):
    report, _ = aligned
    before, after = (report["figures"]["arms"][name] for name in ("before", "after"))
    assert after["margin"]["low"] > 0 and after["pair_accuracy"]["value"] > 0.9
    for name in ("chosen_logprob", "gold_logprob", "well_formed", "accuracy"):
        assert after[name]["change"] >= 0, (name, before[name], after[name])
    # Half of the held-out reports are right: it did not just learn to contradict.
    assert after["accuracy"]["change_low"] > 0
    assert report["verdict"] == "aligned" and report["kept"] == "aligned"
    assert report["model"].endswith("checkpoints/huggingface")


def test_the_control_stands_beside_it(aligned):
    report, folder = aligned
    control = report["figures"]["arms"]["control"]
    assert (
        control["accuracy"]["n"]
        == report["figures"]["arms"]["after"]["accuracy"]["n"]
        == report["counts"]["held_out_rows"]
    )
    facts = json.loads((folder / "control" / "huggingface" / "alignment.json").read_text())
    assert facts["settings"]["loss_type"] == ["sft"] and facts["steps"] == 40
    text = (folder / "alignment.md").read_text()
    assert "control: SFT on the chosen alone" in text and "phantom" in text
    assert json.loads((folder / "alignment.json").read_text())["verdict"] == "aligned"


def test_the_same_call_again_trains_and_measures_nothing(
    aligned, here, phantom, labeller, pairs, settings, monkeypatch
):
    from medical_rl.pseudo_label.alignment import dpo, pair_scores

    report, folder = aligned
    monkeypatch.setattr(dpo, "build", lambda *_: pytest.fail("trained a second time"))
    monkeypatch.setattr(pair_scores, "Scorer", lambda *_: pytest.fail("measured a second time"))
    again = align(settings, labeller, pairs, place(phantom, folder))
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(report))


@pytest.fixture(scope="module")
def harmful(settings):
    """Plain DPO at twice the rate, for longer: the negative control."""
    plain = {"loss_type": ["sigmoid"], "loss_weights": [1.0], "lr": 1e-3, "steps": 60, "control": False}
    return {**settings, **plain}


def test_plain_dpo_at_a_high_rate_collapses_behind_a_rising_margin_and_the_labeller_is_kept(
    here, phantom, labeller, pairs, harmful, tmp_path
):
    report = align(harmful, labeller, pairs, place(phantom, tmp_path))
    after = report["figures"]["arms"]["after"]
    assert after["margin"]["low"] > 3 and after["pair_accuracy"]["value"] > 0.9, (
        "by its margin it is a success"
    )
    assert report["verdict"] == "collapsed"
    assert after["gold_logprob"]["change"] < -1, "answers that were right before have become unlikely"
    assert report["kept"] == "reference" and report["model"] == str(labeller)
    assert "kept as it was before alignment" in report["notes"][0]
    with pytest.raises(UserError, match="did harm: .*_logprob fell by.*on_collapse=keep_reference"):
        align({**harmful, "on_collapse": "stop"}, labeller, pairs, place(phantom, tmp_path))


def test_too_few_pairs_and_unknown_ways_end_before_anything_is_trained(
    phantom, labeller, pairs, settings, tmp_path
):
    with pytest.raises(UserError, match="right/wrong"):
        align({**settings, "min_pairs": 10_000}, labeller, pairs, place(phantom, tmp_path))
    with pytest.raises(UserError, match="Available: keep_reference, stop"):
        align({**settings, "on_collapse": "go_on"}, labeller, pairs, place(phantom, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind, says", [("rule", "no weights"), ("endpoint", "not ours"), ("local", None)])
def test_only_a_local_labeller_is_aligned(kind, says):
    reason = skip_reason({"kind": kind})
    assert reason is None if says is None else says in reason
