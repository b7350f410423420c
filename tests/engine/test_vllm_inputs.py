"""Greedy answers by vLLM from a model of another family than ours, through its own processor."""

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.engine.verl.tokens import with_placeholders
from medical_rl.errors import UserError
from medical_rl.images import decode


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_another_vision_language_model_answers_as_in_plain_transformers(
    ask_engine, request_for, other_model, prepared, prompt, tmp_path
):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    request = {
        **request_for(tmp_path),
        "model": str(other_model),
        "max_new_tokens": 6,
        "output": str(tmp_path / "out.jsonl"),
    }
    lines = ask_engine("generate", request)
    samples = list(read_samples(prepared / "test.parquet"))
    assert [line["id"] for line in lines] == [sample.id for sample in samples]
    processor = AutoProcessor.from_pretrained(other_model)
    network = AutoModelForImageTextToText.from_pretrained(other_model)
    for sample, line in zip(samples[:2], lines, strict=False):
        turns = [
            {"role": m["role"], "content": with_placeholders(m["content"])} for m in messages(sample, prompt)
        ]
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=[decode(b) for b in sample.images], return_tensors="pt")
        tokens = network.generate(**inputs, max_new_tokens=6, do_sample=False)[
            :, inputs["input_ids"].shape[1] :
        ]
        assert line["response"] == processor.batch_decode(tokens, skip_special_tokens=True)[0]


def test_only_the_qwen_family_is_resized_to_the_runs_limits(model, other_model, prepared):
    from medical_rl.engine.vllm.inputs import load_processor, resized_image, takes_limits

    own, other = load_processor(str(model)), load_processor(str(other_model))
    assert takes_limits(own) and not takes_limits(other)
    data, limits = (
        next(iter(read_samples(prepared / "test.parquet"))).images[0],
        {"min_pixels": 112 * 112, "max_pixels": 112 * 112},
    )
    assert resized_image(data, own, limits).size == (112, 112)
    assert resized_image(data, other, limits).size == decode(data).size == (56, 56)


def test_a_model_without_images_or_a_chat_format_is_refused_by_name(other_model, tmp_path):
    import shutil

    from medical_rl.engine.vllm.inputs import load_processor

    folder = tmp_path / "silent"
    shutil.copytree(other_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="silent cannot be evaluated: it has no chat template"):
        load_processor(str(folder))
