"""Every job of the scripts at the paper's scale has the paper's settings: read from what Hydra composes, job by job."""

from __future__ import annotations

import collections
import importlib.util
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import compose
from medical_rl.pipeline.validate import check_config

_spec = importlib.util.spec_from_file_location("examples_conftest", Path(__file__).parents[1] / "conftest.py")
_examples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_examples)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def called(recorded, sources, model):
    """{script: [(what a command sweeps, the overrides of one of its jobs)]} at the paper's scale."""
    found = {}
    for name, calls in recorded("paper", f"conf.model.path={model}", **sources).items():
        found[name] = [(swept(call), job) for call in calls for job in _examples.jobs(call)]
    return found


@pytest.fixture(scope="module")
def composed(called):
    """{script: [the composed configuration of each job]}; of the shots, which change nothing else, one number."""
    return {
        name: [
            compose(job)
            for _, job in found
            if not {"conf.data.shots=20", "conf.data.shots=256"} & set(job) or name != "table1"
        ]
        for name, found in called.items()
    }


def swept(call) -> set[str]:
    """The keys that a command gives several values."""
    return {a.partition("=")[0] for a in call if "," in a.partition("=")[2] and "[" not in a}


def arm(config) -> str:
    """What a job is of: its stages without preparing and evaluating."""
    return "+".join(s for s in config.conf.stages if s not in ("prepare", "evaluate"))


def everywhere(composed, *wanted: str) -> list:
    return [config for configs in composed.values() for config in configs if arm(config) in wanted]


def test_the_scripts_ask_for_as_many_jobs_as_the_paper_has_cells(composed):
    counted = {name: collections.Counter(map(arm, configs)) for name, configs in composed.items()}
    # Table 1: 8 sets x 3 shots (one composed), of SFT once and of RL twice (class names, PA_P); two models zero-shot
    assert counted["table1"] == {"sft": 8, "rl": 16, "": 16}
    # Table 2: 8 sets at 256 shots; RL without, with rewarded and with punished recitation
    assert counted["table2"] == {"sft": 8, "rl": 24}
    # Table 3: two sets; V-RFT, and PA_P with either reward
    assert counted["table3"] == {"sft": 2, "rl": 6, "": 4}
    # Figure 3: two sets, four trained arms, and five numbers M of boxes
    assert counted["figure3"] == {"sft": 2, "rl": 2, "localize_sft": 2, "localize_rl": 12}
    assert counted["figure4"] == {"rl": 3}


def test_no_two_jobs_write_into_one_folder(called):
    """A multirun adds what it sweeps to conf.run_dir, in which the set's name may stand: with that the folders differ."""
    seen = collections.Counter()
    for keys, job in (one for found in called.values() for one in found):
        given = dict(one.split("=", 1) for one in job)
        # the sweeper writes what a job is to resolve with its braces escaped
        folder = (
            given["conf.run_dir"].replace("\\", "").replace("${conf.data.name}", given.get("conf/data", ""))
        )
        seen[folder, tuple(f"{key}={given[key]}" for key in sorted(keys))] += 1
    assert max(seen.values()) == 1 and len(seen) == 88 + 32 + 12 + 18 + 3


def test_grpo_has_the_papers_settings_in_every_job(composed):
    for config in everywhere(composed, "rl", "localize_rl"):
        rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
        assert config.conf.model.name == "qwen2_5_vl_3b" and config.conf.model.lora_rank == 0
        assert not config.conf.warm_start.enabled, "V-RFT begins from the Instruct model"
        assert (rollout.n, rollout.temperature) == (8, 0.9)
        assert (actor.use_kl_loss, actor.kl_loss_coef) == (True, 0.04)
        assert actor.optim.lr == 1e-6 and actor.optim.lr_scheduler_type == "constant"
        assert (
            config.algorithm.adv_estimator == "grpo"
            and actor.ppo_mini_batch_size == config.data.train_batch_size
        )


def test_classification_takes_120_steps_of_256(composed):
    jobs = everywhere(composed, "rl", "sft")
    assert len(jobs) == 8 + 16 + 8 + 24 + 2 + 6 + 2 + 2 + 3
    for config in jobs:
        assert config.data.train_batch_size == 256
        if arm(config) == "rl":
            assert config.trainer.total_training_steps == 120


def test_the_supervised_arm_takes_the_same_steps_rows_and_rate_and_learns_the_boxed_label(composed):
    for config in everywhere(composed, "sft"):
        sft = config.conf.sft
        assert (sft.steps, sft.batch_size, sft.lr, sft.lr_schedule, sft.lr_warmup_ratio) == (
            120,
            256,
            1e-6,
            "constant",
            0,
        )
        assert sft.target == r'\boxed{{ "{" }}{{ answer }}{{ "}" }}' and config.conf.model.lora_rank == 0
        assert not config.conf.warm_start.enabled


def test_localisation_takes_two_epochs_of_four_prompts_a_step(composed):
    for config in everywhere(composed, "localize_rl"):
        # 1 a device x 2 devices x 2 accumulation
        assert config.data.train_batch_size == 4 and config.conf.engine.ranks == 2
        assert (config.trainer.total_epochs, config.trainer.total_training_steps) == (2, None)
        assert set(config.conf.rewards.terms) == {"detection", "format"}
        terms = config.conf.rewards.terms
        assert (terms.detection.weight, terms.detection.threshold, terms.detection.compare) == (0.9, 0.5, ">")
        assert (terms.detection.continuous, terms.detection.frame, terms.format.form) == (
            False,
            "original",
            "json",
        )
    for config in everywhere(composed, "localize_sft"):
        sft = config.conf.sft
        assert (sft.epochs, sft.steps, sft.batch_size, sft.lr) == (
            2,
            None,
            4,
            1e-6,
        ) and config.conf.engine.ranks == 2


def test_localisation_is_tested_on_boxes_and_then_on_the_classes_of_the_same_set_in_the_rivals_prompt(
    composed,
):
    for config in everywhere(composed, "localize_rl", "localize_sft"):
        (classes,) = OmegaConf.to_container(config.conf.evaluation.data, resolve=True)
        assert (
            config.conf.data.name == f"{classes['choice']}_boxes"
            and classes["source"] == config.conf.data.source
        )
        assert classes["prompt"] == "class_names"
    rivals = [c for c in composed["figure3"] if arm(c) in ("rl", "sft")]
    assert {c.conf.prompt.name for c in rivals} == {"class_names"}
    limits = sorted({c.conf.data.limit for c in everywhere(composed, "localize_rl") if c.conf.data.limit})
    assert limits == [128, 256, 512, 1024, 2048]


def test_the_outcome_is_accuracy_but_for_mfrs_on_the_ordinal_sets(composed):
    for name, configs in composed.items():
        for config in (c for c in configs if arm(c) == "rl"):
            terms = config.conf.rewards.terms
            assert (terms.outcome.weight, terms.format.weight) == (0.9, 0.1)
            by = {"retinamnist": "mfrs", "covid_severity": "mfrs"}.get(config.conf.data.name, "accuracy")
            if name != "table3":
                assert terms.outcome.by == by, (name, config.conf.data.name)
    third = collections.Counter((c.conf.data.name, c.conf.prompt.name, c.conf.rewards.terms.outcome.by)
                                for c in composed["table3"] if arm(c) == "rl")  # fmt: skip
    assert third == {
        (data, *of): 1
        for data in ("retinamnist", "covid_severity")
        for of in (("class_names", "mfrs"), ("visual_attributes", "accuracy"), ("visual_attributes", "mfrs"))
    }


def test_recitation_is_rewarded_by_a_fifth_and_punished_by_two(composed):
    for name, each in (("table2", 8), ("figure4", 1)):
        found = collections.Counter(
            OmegaConf.select(c, "conf.rewards.terms.recitation.delta")
            for c in composed[name]
            if arm(c) == "rl"
        )
        assert found == {None: each, 0.2: each, -2.0: each}
    assert {c.conf.data.name for c in composed["figure4"]} == {"bloodmnist"}


def test_shots_and_test_rows_are_the_papers(composed, called):
    asked = [dict(one.split("=", 1) for one in job) for _, job in called["table1"]]
    cells = collections.Counter(
        (job["conf/data"], job["conf.data.shots"]) for job in asked if "conf.data.shots" in job
    )
    assert (
        set(cells.values()) == {3}
        and len(cells) == 8 * 3
        and {shots for _, shots in cells} == {"10", "20", "256"}
    )
    table1 = [c for c in composed["table1"] if arm(c)]
    assert {c.conf.data.shots for c in table1} == {10}
    assert {c.conf.data.name for c in table1 if c.conf.data.whole_from == 256} == {
        "breastmnist",
        "retinamnist",
    }
    per_class = {c.conf.data.name: c.conf.data.test_per_class for c in table1}
    # 64 x 4, 8, 8 and 11 classes are 256, 512, 512 and 704; Derma's 357 = 23 + 29 + 5 x 61; the others are tested whole
    assert per_class == {
        "breastmnist": None, "pneumoniamnist": None, "retinamnist": None, "dermamnist": 61,
        "octmnist": 64, "bloodmnist": 64, "tissuemnist": 64, "organamnist": 64,
    }  # fmt: skip
    assert {c.conf.data.shots for c in composed["table2"]} == {256}


def test_pa_p_tells_the_visual_attributes_of_every_set(composed):
    for config in everywhere(composed, "rl", "sft"):
        if config.conf.prompt.name == "visual_attributes":
            assert config.conf.knowledge.name == config.conf.data.name and config.conf.knowledge.attributes


def test_what_would_be_refused_is_refused_in_none(composed):
    for config in (c for configs in composed.values() for c in configs):
        check_config(config)


def test_the_tiny_scale_of_each_script_composes_too(recorded):
    for name, calls in recorded("tiny").items():
        configs = [compose(_examples.jobs(call)[-1]) for call in calls]  # of each command the last job
        assert configs and all(c.conf.scale == "tiny" and c.conf.warm_start.enabled for c in configs), name
        for config in configs:
            check_config(config)
            assert str(config.conf.data.name).startswith("phantom_")
