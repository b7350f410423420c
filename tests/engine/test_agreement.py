"""Rollout and trainer must be one policy that sees one image: what stops a run, and what does not."""

import math
from types import SimpleNamespace

import pytest
import torch

from medical_rl.engine.verl.agreement import (
    CORRELATION,
    LARGEST,
    AgreementWatch,
    grid_difference,
    refuse_differing_images,
)
from medical_rl.errors import StageFailed


def step(correlation, largest=0.4):
    return {CORRELATION: correlation, LARGEST: largest}


@pytest.mark.parametrize("correlation", [0.98, 0.9999, 1.0])
def test_agreement_goes_on(correlation):
    AgreementWatch(0.98, 5).check(step(correlation), 1)


@pytest.mark.parametrize(
    "metrics, said",
    [
        (step(0.5633), "at step 2 .* is 0.563, below conf.engine.agreement_at_least=0.98"),
        (step(math.nan), "is not a number"),
        (step(math.nan, math.nan), "is not a number"),
        ({}, "is not there .*calculate_log_probs must be true"),
    ],
)
def test_disagreement_stops_the_run_and_says_what_it_means(metrics, said):
    with pytest.raises(StageFailed, match=said) as failure:
        AgreementWatch(0.98, 5).check(metrics, 2)
    assert "is not the model that is trained" in str(failure.value)
    assert "conf.engine.agreement_steps=0" in str(failure.value)


@pytest.mark.parametrize("correlation", [0.3, math.nan])
def test_a_policy_that_is_certain_of_every_token_is_no_disagreement(correlation):
    # probabilities 1.0 and 0.9998: nothing varies, and the correlation is that of rounding
    AgreementWatch(0.98, 5).check(step(correlation, largest=2e-4), 1)


def test_only_the_first_steps_are_watched():
    watch = AgreementWatch(0.98, 2)
    watch.check(step(1.0), 1)
    watch.check(step(1.0), 2)
    watch.check(step(0.1), 3)
    AgreementWatch(0.98, 0).check({}, 1)


def test_grids_are_compared_image_by_image():
    assert grid_difference([(1, 4, 4), (1, 2, 8)], [[1, 4, 4], [1, 2, 8]]) is None
    assert "image 2 has 2 x 8 patches" in grid_difference([(1, 4, 4), (1, 2, 8)], [[1, 4, 4], [1, 8, 2]])
    assert "2 images in the rollout and 1" in grid_difference([(1, 4, 4), None], [[1, 4, 4]])


def test_the_row_whose_images_differ_is_named():
    refuse_differing_images({})
    with pytest.raises(StageFailed, match="of the row patient-7, image 1 .*1 more rows of this step"):
        refuse_differing_images({"patient-7": "image 1 has ...", "patient-9": "image 1 has ..."})


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_vllms_request_tells_how_its_images_were_cut(verl):
    import asyncio

    from medical_rl.engine.verl.rollout_server import noting_grids

    added, grids = [], {}

    async def add_request(request, *rest):
        added.append((request, rest))

    cut = SimpleNamespace(data={"image_grid_thw": SimpleNamespace(data=torch.tensor([1, 2, 8]))})
    request = SimpleNamespace(
        mm_features=[cut, SimpleNamespace(data=None)], external_req_id="a", request_id="a-1"
    )
    asyncio.run(noting_grids(add_request, grids)(request, "prompt"))
    assert grids == {"a": [(1, 2, 8), None]} and added == [(request, ("prompt",))]


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_a_response_whose_inputs_are_asked_for_twice_keeps_its_difference(verl, processor):
    # verl computes the inputs of a response to score it and again to train on it
    from PIL import Image
    from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput

    from medical_rl.engine.verl.agent_loop import IMAGES_DIFFER, SharedImageWorker
    from medical_rl.engine.verl.rollout_server import GRIDS

    image = Image.new("RGB", (112, 28))
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which grade?"}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = list(processor(text=[text], images=[image])["input_ids"][0])
    worker = object.__new__(SharedImageWorker.__ray_metadata__.modified_class)
    worker.processor, worker.tokenizer = processor, processor.tokenizer
    output = AgentLoopOutput(
        prompt_ids=ids, response_ids=[1, 2], response_mask=[1, 1], num_turns=2, metrics=AgentLoopMetrics(),
        multi_modal_data={"images": [image]}, mm_processor_kwargs={}, extra_fields={GRIDS: [(1, 8, 2)]},
    )  # fmt: skip
    for _ in range(2):
        worker._compute_multi_modal_inputs(output, torch.tensor([*ids, 1, 2]))
        assert output.as_dict()["extra_fields"][IMAGES_DIFFER] == (
            "image 1 has 8 x 2 patches in the rollout and 2 x 8 in training"
        )
