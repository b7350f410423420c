"""verl's vLLM server that says of each request how vLLM's own processor cut its images.

Rollout and trainer each process the images of a prompt, and their decoders obey different things: vLLM turns
an image by its EXIF tag, the trainer does not. The grids of both are compared in agent_loop.py.
"""

import ray
from verl.workers.rollout.replica import RolloutReplicaRegistry
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer, vLLMReplica

GRIDS = "rollout_image_grids"


class GridServer(vLLMHttpServer):
    """verl's server; the extra fields of its answer hold GRIDS, [(t, h, w) or None] by image."""

    async def generate(self, *args, **kwargs):
        """verl's answer to `request_id`, with the grids of its images."""
        if not kwargs.get("image_data"):
            return await super().generate(*args, **kwargs)
        if "_grids" not in self.__dict__:
            self._grids = {}
            if hasattr(self.engine, "_add_request"):
                self.engine._add_request = noting_grids(self.engine._add_request, self._grids)
            else:
                print("not checked: the grids of rollout and trainer, as this vLLM does not show its own")
        output = await super().generate(*args, **kwargs)
        output.extra_fields[GRIDS] = self._grids.pop(kwargs["request_id"], None)
        return output


def noting_grids(add_request, grids: dict):
    """vLLM's `_add_request`, which sees a processed request, noting its images' grids by the request's id.

    An image that vLLM has processed before is not sent again: its grid is None, and was noted then.
    """

    async def add(request, *rest, **named):
        cut = []
        for feature in request.mm_features or ():
            grid = (feature.data or {}).get("image_grid_thw")
            cut.append(None if grid is None else tuple(grid.data.flatten().tolist()))
        grids[getattr(request, "external_req_id", None) or request.request_id] = cut
        return await add_request(request, *rest, **named)

    return add


class GridReplica(vLLMReplica):
    """verl's replica of vLLM, its servers GridServers."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.server_class = ray.remote(GridServer)


def use_grid_servers() -> None:
    """Make verl start GridServers where it is asked for vLLM in this process."""
    RolloutReplicaRegistry.register("vllm", lambda: GridReplica)
