"""The judges' desk as an actor of the run's Ray cluster: one for the reward workers of all nodes."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from omegaconf import OmegaConf

from medical_rl.judges.desk.rules import CallRequest, CallResult, Grant
from medical_rl.run.processes import RUN


@ray.remote(num_cpus=0)
class DeskActor:
    """A SqliteDesk in one process of the cluster: no locks, which a network's file system may lack."""

    def __init__(self, settings: Mapping[str, Any], run_dir: str):
        from medical_rl.judges.judge import checked_settings, sqlite_desk

        self.desk = sqlite_desk(checked_settings(settings), Path(run_dir))

    async def exchange(self, results: list[CallResult], requests: list[CallRequest]) -> list[Grant]:
        """See `judges.desk.rules.Desk`."""
        return await self.desk.exchange(results, requests)

    async def totals(self) -> dict[str, Any]:
        """See `judges.desk.rules.Desk`."""
        return self.desk.totals()


class RayDesk:
    """The desk of this run's cluster: the same protocol, each exchange one call of the actor."""

    def __init__(self, actor):
        self.actor = actor

    @classmethod
    def of_run(cls, conf) -> "RayDesk":
        """The run's desk, started by whichever reward worker asks first."""
        judge = conf["judge"]
        settings = OmegaConf.to_container(judge, resolve=True) if OmegaConf.is_config(judge) else dict(judge)
        name = f"medical_rl-judge-{os.environ.get(RUN, 'run')}"
        actor = DeskActor.options(name=name, get_if_exists=True).remote(settings, str(conf["run_dir"]))
        return cls(actor)

    async def exchange(self, results: list[CallResult], requests: list[CallRequest]) -> list[Grant]:
        """One grant for each of `requests`, in order, after `results` were settled."""
        # awaiting the reference itself would bind it to Ray's own loop; a judge may be used from several
        return await asyncio.wrap_future(self.actor.exchange.remote(results, requests).future())

    def totals(self) -> dict[str, Any]:
        """The totals of everyone in the run (see Desk)."""
        return ray.get(self.actor.totals.remote())
