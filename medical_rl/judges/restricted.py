"""The guard: rows under a data use agreement (MIMIC-CXR, FairVLMed) never go to an endpoint not declared fit for them."""

from __future__ import annotations

from collections.abc import Iterable

from medical_rl.errors import UserError
from medical_rl.judges.endpoint import Endpoint
from medical_rl.sample import Sample


def refuse_restricted(endpoint: Endpoint, restricted: bool, source: str) -> None:
    """None; UserError if a restricted row would be sent to an endpoint that is neither local nor covered.

    >>> refuse_restricted(Endpoint("http://localhost:8000/v1", "m", local=True), True, "mimic_cxr")
    """
    if not restricted or endpoint.local or endpoint.covered:
        return
    raise UserError(
        f"A row of {source or 'a restricted source'} may not be sent to {endpoint.base_url}: its data use agreement forbids third "
        "parties. Either judge with a model on your own hardware (conf/judge=local, which sets conf.judge.endpoint.local=true), or, if "
        "an agreement covers this endpoint for these data, declare it: conf.judge.endpoint.covered=true."
    )


def check_samples(endpoint: Endpoint, samples: Iterable[Sample]) -> None:
    """None; the same UserError ahead of training, if any of `samples` is restricted and the endpoint not fit for it."""
    if endpoint.local or endpoint.covered:
        return
    for sample in samples:
        refuse_restricted(endpoint, sample.restricted, sample.source)
