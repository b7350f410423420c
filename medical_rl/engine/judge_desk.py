"""The judge's desk as an actor of the run's Ray cluster: one book of limits and budget for all reward workers, on all nodes."""

from __future__ import annotations


class RayDesk:
    """placeholder until the judges' protocol is merged"""

    @classmethod
    def of_run(cls, conf):
        return None
