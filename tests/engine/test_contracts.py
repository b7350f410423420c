"""The seams of verl 0.9.1 that this package plugs into: a bump of verl must fail here, not at a user's."""

import inspect

import pytest
import torch


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_the_installed_verl_is_the_tested_one_and_another_is_refused(monkeypatch):
    from medical_rl.engine.host import versions
    from medical_rl.errors import UserError

    versions.check_verl_version()
    monkeypatch.setattr(versions, "version", lambda name: "0.10.0")
    with pytest.raises(UserError, match="0.10.0.*0.9.1"):
        versions.check_verl_version()


def test_our_trainer_overrides_methods_that_verl_has_with_the_same_parameters(verl):
    from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls

    from medical_rl.engine.verl.trainer import MedicalTrainer

    assert get_trainer_cls("sync") is PPOTrainerSync
    for name in (
        "_compute_advantage",
        "_compute_metrics",
        "_log_rollout_data",
        "_dump_generations",
        "_validate",
    ):
        assert parameters(getattr(MedicalTrainer, name)) == parameters(getattr(PPOTrainerSync, name)), name


def test_verls_replay_buffer_still_takes_what_we_pass_on(verl):
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    from medical_rl.engine.verl.trainer import FORWARDED

    assert set(FORWARDED) <= set(parameters(ReplayBuffer.__init__))


def test_the_replay_buffer_polls_at_our_interval_and_knows_dapos_filter(verl, config):
    from omegaconf import OmegaConf

    from medical_rl.engine.verl.settings import rl_config
    from medical_rl.engine.verl.trainer import PollingReplayBuffer

    dapo = OmegaConf.merge(config, {"algorithm": {"filter_groups": {"enable": True, "metric": "reward"}}})
    settings, _ = rl_config(dapo, "/model")
    buffer = PollingReplayBuffer(
        trainer_mode="sync",
        trainer_config={},
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=settings.trainer.v1.sampler.sampler_kwargs,
        refill_fn=lambda n: n,
    )
    assert buffer.poll_interval == 0.05
    assert (buffer.filter_groups_metric, buffer.gen_batch_size, buffer.train_batch_size) == ("reward", 1, 16)


def test_verl_resolves_our_replay_buffer_and_dataset_by_path(verl, config):
    from verl.utils.dataset.rl_dataset import get_dataset_class
    from verl.utils.import_utils import load_extern_object

    from medical_rl.engine.verl.dataset import MedicalDataset
    from medical_rl.engine.verl.trainer import PollingReplayBuffer

    assert get_dataset_class(config.data) is MedicalDataset
    sampler = config.trainer.v1.sampler.custom_sampler
    assert load_extern_object(sampler.path, sampler.name) is PollingReplayBuffer


def test_the_composed_configuration_passes_verls_own_validation(verl, config):
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    from medical_rl.engine.verl.settings import rl_config

    settings, _ = rl_config(config, "/model")
    validate_config(
        config=settings,
        use_reference_policy=need_reference_policy(settings),
        use_critic=need_critic(settings),
    )


@pytest.mark.parametrize("lengths", [(5, 5, 5), (5, 7, 6), (4, 4), (9,)])
def test_mrope_position_ids_survive_a_batch_of_equally_long_sequences(verl, lengths):
    import verl.utils.tensordict_utils as tensordict_utils
    from tensordict import TensorDict

    rows = [torch.arange(4 * n).reshape(4, n) for n in lengths]
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    data = TensorDict({"position_ids": nested}, batch_size=len(lengths))
    tensordict_utils.maybe_fix_3d_position_ids(data)
    fixed = data["position_ids"]
    assert fixed._ragged_idx == 2
    assert fixed._values.shape == (4, sum(lengths))
    for found, expected in zip(fixed.unbind(), rows, strict=True):
        assert torch.equal(found, expected)


def test_verls_own_fix_garbles_equally_long_sequences_so_the_patch_is_needed(verl):
    # The control of the test above: verl 0.9.1 declares length ragged without moving the data.
    nested = torch.nested.as_nested_tensor([torch.arange(20).reshape(4, 5)] * 3, layout=torch.jagged)
    nested._ragged_idx = 2
    assert nested._values.shape != (4, 15)


def test_process_groups_start_on_the_cpu_platform(verl):
    import verl.utils.distributed as distributed

    from medical_rl.engine.host.environment import has_accelerator

    if has_accelerator():
        pytest.skip("this host has an accelerator: the CPU patches do not act")
    assert (
        f"cpu:gloo,{distributed.get_device_name()}:{distributed.get_nccl_backend()}" == "cpu:gloo,cuda:gloo"
    )


def test_the_reference_model_asks_for_no_pinned_memory_on_cpu(verl):
    from medical_rl.engine.host.environment import has_accelerator

    if has_accelerator():
        pytest.skip("this host has an accelerator: the CPU patches do not act")
    from torch.distributed.fsdp import CPUOffloadPolicy

    assert CPUOffloadPolicy(pin_memory=True).pin_memory is False


def test_the_best_checkpoint_is_kept_and_a_later_equal_one_wins(verl, tmp_path):
    from medical_rl.engine.verl.trainer import keep_best

    def save(step, text):
        folder = tmp_path / f"global_step_{step}" / "actor" / "huggingface"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(text)

    assert not keep_best(tmp_path, 0, 0.9, "acc"), "a step that was never saved cannot be kept"
    for step, score, kept in ((2, 0.5, True), (4, 0.4, False), (6, 0.5, True)):
        save(step, str(step))
        assert keep_best(tmp_path, step, score, "acc") is kept
    assert (tmp_path / "best" / "model.safetensors").read_text() == "6"


@pytest.mark.parametrize("engine", ["gpu_single", "gpu_node", "multi_node"])
def test_the_gpu_engines_pass_verls_own_validation_at_the_papers_scale(verl, engine):
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    from medical_rl.config.compose import compose
    from medical_rl.engine.verl.settings import rl_config

    composed = compose(["conf=vrft_aug", "conf/scale=paper", f"conf/engine={engine}"])
    settings, _ = rl_config(OmegaConf.create(OmegaConf.to_container(composed, resolve=True)), "/model")
    validate_config(
        config=settings,
        use_reference_policy=need_reference_policy(settings),
        use_critic=need_critic(settings),
    )
    for part in (settings.actor_rollout_ref.rollout, settings.actor_rollout_ref.actor.fsdp_config):
        omega_conf_to_dataclass(part)  # refuses a key that verl's own dataclass does not have


@pytest.mark.parametrize("scale, engine", [("tiny", "cpu"), ("paper", "gpu_node")])
def test_localisation_passes_verls_own_validation_where_the_steps_follow_from_the_epochs(verl, scale, engine):
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    from medical_rl.config.compose import compose
    from medical_rl.engine.verl.settings import rl_config

    chosen = [
        "conf=vrft_aug_localize",
        f"conf/scale={scale}",
        f"conf/engine={engine}",
        "conf.data.source=/data/x",
    ]
    composed = OmegaConf.to_container(compose([*chosen, "conf.engine.ranks=2"]), resolve=True)
    settings, _ = rl_config(OmegaConf.create(composed), "/model")
    validate_config(
        config=settings,
        use_reference_policy=need_reference_policy(settings),
        use_critic=need_critic(settings),
    )
    assert settings.trainer.default_local_dir == "runs/vrft_aug_localize/checkpoints/localize_rl"
    assert settings.trainer.total_training_steps == (24 if scale == "tiny" else None)
