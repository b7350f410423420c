"""Rollouts that process a prompt's image once a group instead of several times a response.

verl's agent loop decodes, resizes and tokenises the same image for every one of a group's n
responses, and again for scoring and for training inputs. Here the work is shared among the
responses to one prompt; what each response gets is equal to what verl would have computed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import ray
import torch
from verl.experimental.agent_loop.agent_loop import register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.trainer.ppo.v1 import AgentLoopManagerTQ, AgentLoopWorkerTQ

KEPT = 32  # prompts remembered by a worker: those in flight; pixel values of a large image take 12 MB


class Shared:
    """Results by the identity of an object that a group's responses have in common."""

    def __init__(self, kept: int = KEPT):
        self.kept, self.found = kept, OrderedDict()

    def get(self, kind: str, owner: object, make: Callable):
        """The result of `make()` for `owner`, made once. The owner is held, so its id is not used again meanwhile."""
        key = (kind, id(owner))
        if key not in self.found:
            self.found[key] = (owner, make())
            while len(self.found) > 3 * self.kept:
                self.found.popitem(last=False)
        self.found.move_to_end(key)
        return self.found[key][1]

    async def wait(self, kind: str, owner: object, make: Callable[[], Awaitable]):
        """The same for an awaitable: the first response starts it, the others wait for it."""
        return await self.get(kind, owner, lambda: asyncio.ensure_future(make()))


SHARED = Shared()


@register("medical_single_turn")
class SharedImageLoop(SingleTurnAgentLoop):
    """verl's single-turn loop; a group's messages are the same objects, and so its image work is shared."""

    async def process_multi_modal_info(self, messages: list[dict]) -> dict:
        """Images of `messages`, decoded and resized once a group."""
        found = await SHARED.wait(
            "images", messages[0], lambda: super(SharedImageLoop, self).process_multi_modal_info(messages)
        )
        return dict(found)

    async def ct_build_initial_tokens(
        self, messages, tools=None, images=None, videos=None, audios=None, mm_inputs_out=None
    ):
        """Prompt tokens of `messages`, built once a group."""

        async def build():
            inputs: dict = {}
            ids = await super(SharedImageLoop, self).ct_build_initial_tokens(
                messages, tools=tools, images=images, videos=videos, audios=audios, mm_inputs_out=inputs
            )
            return ids, inputs

        ids, inputs = await SHARED.wait("tokens", messages[0], build)
        if mm_inputs_out is not None:
            mm_inputs_out.update(inputs)
        return list(ids)


@ray.remote
class SharedImageWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):
    """verl's agent loop worker; a group's pixel values are computed once."""

    def _compute_multi_modal_inputs(self, output, input_ids):
        data = output.multi_modal_data or {}
        images = data.get("images")
        if not images or data.get("videos") or data.get("audios"):
            return super()._compute_multi_modal_inputs(output, input_ids)
        compute = super()._compute_multi_modal_inputs
        found = dict(SHARED.get("pixels", images, lambda: compute(output, input_ids)))
        if found.get("mm_token_type_ids") is not None:
            # Depends on the response's length; verl only tests its presence and then computes its own.
            found["mm_token_type_ids"] = torch.zeros_like(input_ids).reshape(1, -1)
        return found


class SharedImageManager(AgentLoopManagerTQ):
    """verl's agent loop manager with workers that share image work."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = SharedImageWorker
