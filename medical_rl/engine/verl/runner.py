"""GRPO by verl's v1 trainer: the entry that mirrors `verl.trainer.main_ppo`, with our trainer inside."""

import os
import shutil
import tempfile

import ray
from omegaconf import DictConfig, OmegaConf, open_dict
from ray.exceptions import RayTaskError
from verl.trainer.main_ppo import run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from medical_rl.engine.host import allocation
from medical_rl.engine.host.environment import names_for_workers
from medical_rl.errors import StageFailed, UserError


@ray.remote(num_cpus=1)
class MedicalTaskRunner:
    """The Ray actor that owns the trainer (verl's TaskRunnerV1, an actor itself, has no subclasses)."""

    def run(self, config: DictConfig) -> None:
        """Train to the last step. TransferQueue is closed and trackers are ended on every path."""
        import transfer_queue as tq
        import verl.trainer.ppo.v1.trainer_base as trainer_base

        from medical_rl.engine.verl.agent_loop import SharedImageManager
        from medical_rl.engine.verl.rollout_server import use_grid_servers
        from medical_rl.engine.verl.tracking import RunTracking
        from medical_rl.engine.verl.trainer import MedicalTrainer

        trainer_base.Tracking = RunTracking
        use_grid_servers()
        config.transfer_queue.enable = True
        OmegaConf.resolve(config)
        tq.init(config.transfer_queue)
        trainer, exit_code = None, 1
        try:
            trainer = MedicalTrainer(config=config)
            trainer.init()
            loops = SharedImageManager.create(
                config=config,
                llm_client=trainer.get_llm_client(),
                teacher_client=trainer.get_teacher_client(),
                reward_loop_worker_handles=trainer.get_reward_handles(),
            )
            trainer.fit(loops)
            exit_code = 0
        finally:
            tracking = getattr(trainer, "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=exit_code)
            tq.close()


def run_grpo(config: DictConfig) -> None:
    """Run GRPO as `config` (verl's schema plus `conf`) says. Ray is shut down on every path.

    Raises the trainer's own UserError or StageFailed as it is.
    """
    auto_set_device(config)
    validate_config(
        config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config)
    )
    with open_dict(config):
        variables = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") or {}
        config.ray_kwargs.ray_init.runtime_env.env_vars = {**names_for_workers(os.environ), **variables}
        config.ray_kwargs.ray_init, folder = ray_init_settings(config)
    try:
        run_ppo(config, task_runner_class=MedicalTaskRunner)
    except RayTaskError as error:
        if isinstance(error.cause, UserError | StageFailed):
            raise error.cause from None
        raise
    finally:
        ray.shutdown()
    if folder:  # left in place after a failure: Ray's own logs are in it
        shutil.rmtree(folder, ignore_errors=True)


def ray_init_settings(config: DictConfig) -> tuple[dict, str | None]:
    """(ray.init's settings, fitted to what Slurm gave a job; the folder made for this Ray alone)."""
    ray_init = OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True)
    units = OmegaConf.select(config, "transfer_queue.backend.SimpleStorage.num_data_storage_units") or 1
    settings = allocation.ray_settings(
        ray_init,
        allocation.slurm_allocation(os.environ),
        device=str(config.conf.engine.device),
        needed=allocation.needed_cores(int(config.conf.engine.ranks), int(units)),
        folder=tempfile.gettempdir(),
        shared_memory=allocation.free_shared_memory(),
    )
    return settings, None if "_temp_dir" in ray_init else settings.get("_temp_dir")
