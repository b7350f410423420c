"""Settings that verl would refuse after minutes are refused by its own dataclasses before anything starts."""

import json

import pytest
from omegaconf import OmegaConf

from medical_rl.config.compose import choices, compose
from medical_rl.engine.checks import settings_problems
from medical_rl.stages import reinforces, supervised_arms

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

TINY = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu")
SUPERVISED = ("conf.stages=[prepare,warm_start,rl]",)
# {override: what a sentence of the answer has to say}; several wrong ones of one child process each
WRONG = {
    "actor_rollout_ref.actor.optim.lr=fast": "actor_rollout_ref.actor.optim.lr=fast",
    "trainer.total_training_steps=abc": "trainer.total_training_steps=abc",
    "conf.model.lora_rank=abc": "conf.model.lora_rank=abc",
    "data.max_prompt_length=1.5": "data.max_prompt_length=1.5",
    "trainer.save_freq=often": "trainer.save_freq=often",
    "conf.engine.agreement_at_least=high": "conf.engine.agreement_at_least=high",
    "actor_rollout_ref.rollout.temperature=warm": "actor_rollout_ref.rollout.temperature=warm",
}
WRONG_VALUES = {
    "actor_rollout_ref.rollout.n=0": "actor_rollout_ref.rollout.n=0",
    "algorithm.adv_estimator=gropo": "Did you mean 'grpo'?",
    "trainer.logger=[console,wandbb]": "'wandbb'. Did you mean 'wandb'?",
    "trainer.v1.trainer_mode=separate_async": "trainer.v1.trainer_mode=separate_async",
    "actor_rollout_ref.actor.policy_loss.loss_mode=vanila": "Did you mean 'vanilla'?",
    "actor_rollout_ref.actor.optim.optimizer=Adamm": "Adamm",
    "actor_rollout_ref.actor.kl_loss_type=k9": "'k9'",
    "trainer.resume_mode=maybe": "'maybe'",
    "actor_rollout_ref.rollout.calculate_log_probs=false": "conf.engine.agreement_steps=0",
    "actor_rollout_ref.rollout.temperature=0": "actor_rollout_ref.rollout.temperature=0: it must be at least 0.01",
    "actor_rollout_ref.rollout.top_p=1.5": "actor_rollout_ref.rollout.top_p=1.5: it must be at most 1",
    "trainer.total_training_steps=0": "trainer.total_training_steps=0: it must be at least 1",
}


def asked(base, overrides):
    config = compose([*base, *overrides])
    supervised = ["warm_start"] if "warm_start" in config.conf.stages else []
    supervised += ["sft"] if supervised_arms(config.conf.stages) else []
    return config, reinforces(config.conf.stages), supervised


def problems(*overrides, base=TINY):
    """The answer of the child process, given in this one: the imports are made once."""
    import medical_rl.engine.verl.plugin  # noqa: F401
    from medical_rl.engine.checks.settings import all_problems

    return all_problems(*asked(base, overrides))


def test_the_child_process_answers_as_its_function_does():
    config, reinforced, supervised = asked(TINY, ["trainer.total_training_steps=abc"])
    assert settings_problems(config, reinforced, supervised) == [
        "trainer.total_training_steps=abc: it takes a whole number."
    ]


@pytest.mark.parametrize("wrong", [WRONG, WRONG_VALUES])
def test_each_wrong_setting_is_named(wrong):
    answer = problems(*wrong)
    for override, sentence in wrong.items():
        assert any(sentence in problem for problem in answer), (override, answer)
    assert len(answer) == len(wrong), answer  # and nothing besides


def test_a_supervised_stage_names_its_own_setting():
    wrong = ("conf.warm_start.lr=fast", "conf.warm_start.batch_size=0", "conf.warm_start.lr_schedule=cosin")
    answer = problems(*SUPERVISED, *wrong)
    for name in ("conf.warm_start.lr=fast", "conf.warm_start.batch_size=0", "Did you mean 'cosine'?"):
        assert any(name in problem for problem in answer), (name, answer)
    assert len(answer) == 3, answer


def test_the_supervised_arm_alone_is_checked_by_verls_schema_of_its_own():
    answer = problems("conf.arm=sft", "conf.model.lora_alpha=abc", base=TINY)
    sentence = "model.lora_alpha=abc: it takes a whole number."
    assert answer == [f"conf.{group}: {sentence}" for group in ("warm_start", "sft")]
    assert problems("conf.arm=sft") == []


def test_a_group_of_one_is_refused_where_responses_are_compared():
    answer = problems("actor_rollout_ref.rollout.n=1")
    assert len(answer) == 1 and "compares the responses to one prompt" in answer[0], answer
    # reinforce_plus_plus compares over the batch
    assert problems("actor_rollout_ref.rollout.n=1", "algorithm.adv_estimator=reinforce_plus_plus") == []


def test_verls_own_refusal_is_a_sentence():
    # verl: a mini-batch may not be larger than the batch, without dynamic batch sizes
    answer = problems(
        "data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.actor.use_dynamic_bsz=false", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1",
    )  # fmt: skip
    assert len(answer) == 1 and "train_batch_size (4) must be >=" in answer[0], answer


@pytest.mark.parametrize("scale", ["tiny", "paper"])
@pytest.mark.parametrize("recipe", choices())
def test_every_recipe_is_accepted_as_it_is(recipe, scale):
    engine = "cpu" if scale == "tiny" else "gpu_node"
    base = (f"conf={recipe}", f"conf/scale={scale}", f"conf/engine={engine}")
    config = compose(list(base))
    missing = [f"{key}=given" for key in OmegaConf.missing_keys(config)]
    assert problems(*missing, base=base) == [], json.dumps(missing)


@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_every_algorithm_is_accepted(algorithm):
    assert problems(base=(*TINY, f"conf/algorithm={algorithm}")) == []
