"""Rollouts that process a prompt's image once a group instead of several times a response.

verl's agent loop decodes, resizes and tokenises the same image for every one of a group's n
responses, and again for scoring and for training inputs. Here the work is shared among the
responses to one prompt; what each response gets is equal to what verl would have computed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import ray
import torch
from verl.experimental.agent_loop.agent_loop import register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.trainer.ppo.v1 import AgentLoopManagerTQ, AgentLoopWorkerTQ

from medical_rl.engine.verl.agreement import grid_difference
from medical_rl.engine.verl.rollout_server import GRIDS

REMEMBERED = 32  # prompts of a worker: those in flight; pixel values of a large image take 12 MB
IMAGES_DIFFER = "images_differ"  # in a trajectory's extra fields: how, or None
KINDS = 3  # results a prompt: its images, its tokens, its pixel values


class GroupCache:
    """Results by the identity of an object that a group's responses have in common."""

    def __init__(self, size: int = REMEMBERED * KINDS):
        self.size, self.results = size, OrderedDict()

    def get(self, kind: str, owner: object, make: Callable):
        """The result of `make()`, made once for `owner`, which is held: its id is not used again meanwhile."""
        key = (kind, id(owner))
        if key not in self.results:
            self.results[key] = (owner, make())
            while len(self.results) > self.size:
                self.results.popitem(last=False)
        self.results.move_to_end(key)
        return self.results[key][1]

    async def wait(self, kind: str, owner: object, make: Callable[[], Awaitable]):
        """The same for an awaitable: the first response starts it, the others wait for it."""
        return await self.get(kind, owner, lambda: asyncio.ensure_future(make()))


CACHE = GroupCache()


@register("medical_single_turn")
class SharedImageLoop(SingleTurnAgentLoop):
    """verl's single-turn loop; a group's messages are the same objects, and so its image work is shared."""

    async def process_multi_modal_info(self, messages: list[dict]) -> dict:
        """Images of `messages`, decoded and resized once a group."""
        process = super().process_multi_modal_info
        return dict(await CACHE.wait("images", messages[0], lambda: process(messages)))

    async def ct_build_initial_tokens(
        self, messages, tools=None, images=None, videos=None, audios=None, mm_inputs_out=None
    ):
        """Prompt tokens of `messages`, built once a group."""
        build = super().ct_build_initial_tokens

        async def ids_and_inputs():
            inputs: dict = {}
            media = {"images": images, "videos": videos, "audios": audios}
            return await build(messages, tools=tools, **media, mm_inputs_out=inputs), inputs

        ids, inputs = await CACHE.wait("tokens", messages[0], ids_and_inputs)
        if mm_inputs_out is not None:
            mm_inputs_out.update(inputs)
        return list(ids)


@ray.remote
class SharedImageWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):
    """verl's agent loop worker; a group's pixel values are computed once, its grids compared with vLLM's."""

    def _compute_multi_modal_inputs(self, output, input_ids):
        data = output.multi_modal_data or {}
        images = data.get("images")
        compute = super()._compute_multi_modal_inputs
        if not images or data.get("videos") or data.get("audios"):
            return compute(output, input_ids)
        inputs = dict(CACHE.get("pixels", images, lambda: compute(output, input_ids)))
        if inputs.get("mm_token_type_ids") is not None:
            # Depends on the response's length; verl only tests its presence and then computes its own.
            inputs["mm_token_type_ids"] = torch.zeros_like(input_ids).reshape(1, -1)
        grids = inputs.get("image_grid_thw")
        of_trainer = None if grids is None else grids.tolist()
        # the trainer reads it (trainer.py): an error here would only pad the group, in silence; and verl asks
        # for a response's inputs twice, to score it and to train on it
        output.extra_fields[IMAGES_DIFFER] = grid_difference(output.extra_fields.get(GRIDS), of_trainer)
        return inputs


class SharedImageManager(AgentLoopManagerTQ):
    """verl's agent loop manager with workers that share image work."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = SharedImageWorker
