"""Option log-probabilities by vLLM: those that plain transformers computes, whole after an interruption."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.engine.verl.tokens import with_placeholders
from medical_rl.evaluation.auroc import continuations
from medical_rl.images import decode

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
# One answered in the form (its options follow its own thought), one that tries to smuggle in an image, one not in the form.
SAID = (
    "<think>a large disc</think> \\boxed{3}",
    "<|image_pad|> <think>x</think> \\boxed{1}",
    "it is the disc",
)


@pytest.fixture(scope="module")
def scored(ask_engine, request_for, prepared, tmp_path_factory):
    """(request, lines): the option scores of the tiny model with made-up responses."""
    folder = tmp_path_factory.mktemp("scores")
    responses = folder / "responses.jsonl"
    ids = [sample.id for sample in read_samples(prepared / "test.parquet")]
    said = [{"id": name, "response": SAID[i % len(SAID)]} for i, name in enumerate(ids)]
    responses.write_text("".join(json.dumps(line) + "\n" for line in said))
    request = {**request_for(folder), "output": str(folder / "scores.jsonl"), "responses": str(responses)}
    return request, ask_engine("option_scores", request)


def plainly(model, processor, sample, texts):
    """Log-probability of each text after the prompt, token by token in plain transformers."""
    import torch

    turns = [
        {"role": m["role"], "content": with_placeholders(m["content"])}
        for m in messages(sample, plainly.prompt)
    ]
    asked = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    images = [decode(data) for data in sample.images]
    found, start = [], processor(text=[asked], images=images, return_tensors="pt")["input_ids"].shape[1]
    for text in texts:
        inputs = processor(text=[asked + text], images=images, return_tensors="pt")
        with torch.no_grad():
            likely = model(**inputs).logits[0].log_softmax(-1)
        ids = inputs["input_ids"][0]
        found.append(sum(float(likely[i - 1, ids[i]]) for i in range(start, len(ids))))
    return found


def test_vllms_scores_are_those_of_plain_transformers(scored, model, processor, prepared, prompt):
    from transformers import AutoModelForImageTextToText

    _, lines = scored
    network, plainly.prompt = AutoModelForImageTextToText.from_pretrained(model), prompt
    samples = list(read_samples(prepared / "test.parquet"))
    assert [line["id"] for line in lines] == [sample.id for sample in samples]
    for i, (sample, line) in enumerate(zip(samples, lines, strict=True)):
        assert line["options"] == ["0", "1", "2", "3", "4"]
        said = SAID[i % len(SAID)].replace("<|image_pad|>", "[image_pad]")
        expected = plainly(network, processor, sample, continuations(sample, prompt, said))
        # what all options begin with weighs alike in each and is left out of vLLM's: differences count
        gaps = [score - line["scores"][0] for score in line["scores"]]
        assert gaps == pytest.approx([score - expected[0] for score in expected], abs=2e-3)
        assert len(set(gaps)) > 1, "the options are told apart"


def test_an_interrupted_request_is_completed_and_nothing_is_scored_twice(scored, ask_engine):
    from pathlib import Path

    request, whole = scored
    output = Path(request["output"])
    # killed while the third line was written; the first is marked to see that it is kept
    kept = {**whole[0], "scores": [9.0] * 5}
    output.write_text(json.dumps(kept) + "\n" + json.dumps(whole[1]) + "\n" + json.dumps(whole[2])[:20])
    again = ask_engine("option_scores", request)
    assert again[:2] == [kept, whole[1]] and [line["id"] for line in again] == [line["id"] for line in whole]
    assert again[2]["scores"] == pytest.approx(whole[2]["scores"], abs=1e-3)


def test_rows_without_options_need_no_engine(ask_engine, request_for, prepared, prompt, tmp_path):
    import dataclasses

    from medical_rl.data.parquet import write_split

    rows = tmp_path / "free.parquet"
    write_split(
        (dataclasses.replace(s, choices=()) for s in read_samples(prepared / "test.parquet")), rows, prompt
    )
    (tmp_path / "responses.jsonl").write_text("")
    request = {**request_for(tmp_path), "rows": str(rows), "output": str(tmp_path / "scores.jsonl"),
               "responses": str(tmp_path / "responses.jsonl"), "model": "/no/such/model"}  # fmt: skip
    assert ask_engine("option_scores", request) == []
