"""verl's replay buffer with a polling interval of our own.

verl sleeps `poll_interval` (2.0 s, never passed on from the configuration) between two looks
at the rollouts: on a small model that is most of a step. With a custom sampler verl leaves out
the settings of group filtering (DAPO) and of failed groups; `sampler_kwargs` carries them here,
filled by settings.py from verl's own keys.
"""

from __future__ import annotations

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

PASSED_ON = (
    "poll_interval",
    "filter_groups_metric",
    "train_batch_size",
    "gen_batch_size",
    "max_inflight_gen_batches",
    "sync_refill_failed_groups",
)


class PollingReplayBuffer(ReplayBuffer):
    """A ReplayBuffer whose constructor takes PASSED_ON out of `sampler_kwargs`."""

    def __init__(self, *args, sampler_kwargs=None, **kwargs):
        ours = {name: sampler_kwargs[name] for name in PASSED_ON if name in (sampler_kwargs or {})}
        super().__init__(*args, sampler_kwargs=sampler_kwargs, **{**kwargs, **ours})
