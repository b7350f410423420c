"""The guard: rows under a data use agreement (MIMIC-CXR, FairVLMed) never go to an endpoint not declared fit for them."""

from __future__ import annotations

from medical_rl.errors import UserError
from medical_rl.judges.endpoint import Endpoint


def refuse_restricted(
    endpoint: Endpoint, restricted: bool, source: str, setting: str = "conf.judge.endpoint"
) -> None:
    """None; UserError if a restricted row would be sent to an endpoint that is neither local nor covered.

    `endpoint` is anything with base_url, local and covered; `setting` is where its configuration stands.

    >>> refuse_restricted(Endpoint("http://localhost:8000/v1", "m", local=True), True, "mimic_cxr")
    """
    if not restricted or endpoint.local or endpoint.covered:
        return
    raise UserError(
        f"A row of {source or 'a restricted source'} may not be sent to {endpoint.base_url}: its data use agreement forbids third "
        f"parties. Either serve the model on your own hardware and say so ({setting}.local=true; conf/judge=local does), or, if an "
        f"agreement covers this endpoint for these data, declare it: {setting}.covered=true."
    )
