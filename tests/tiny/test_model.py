"""The tiny model: a real Qwen2.5-VL, built once for the same content, with Qwen's chat format."""

import time

from medical_rl.tiny.model import SPECIAL_TOKENS, build_tiny_model

TEXTS = ["What is the grade of the disc?", "<think>the size</think> \\boxed{2}"]


def test_the_same_content_is_built_once_and_other_content_anew(tmp_path):
    first = build_tiny_model(TEXTS, cache=tmp_path)
    start = time.monotonic()
    assert build_tiny_model(list(reversed(TEXTS)) * 2, cache=tmp_path) == first
    assert time.monotonic() - start < 1
    assert build_tiny_model(TEXTS, seed=2, cache=tmp_path) != first
    assert not list((tmp_path / "tiny").glob(".*")), "no half-built folder is left"


def test_it_is_a_qwen2_5_vl_that_plain_transformers_loads(tmp_path):
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = build_tiny_model(TEXTS, cache=tmp_path)
    model, processor = (
        AutoModelForImageTextToText.from_pretrained(folder),
        AutoProcessor.from_pretrained(folder),
    )
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen2_5_VLProcessor"
    assert 1.5e6 < sum(p.numel() for p in model.parameters()) < 3e6
    assert model.config.text_config.vocab_size == len(processor.tokenizer)
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Grade?"}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Grade?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = processor(text=[text], images=[Image.new("L", (56, 56))], return_tensors="pt")["input_ids"]
    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert int((ids == pad).sum()) == 4, "56 x 56 pixels are four visual tokens"


def test_the_tokenizer_keeps_every_byte_and_qwens_special_tokens(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(build_tiny_model(TEXTS, cache=tmp_path))
    for text in ("Ärzte prüfen 肺炎 \u0001 \\boxed{３}", "a<|im_end|>b", "  two  spaces\n\nlines"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert all(len(tokenizer(token)["input_ids"]) == 1 for token in SPECIAL_TOKENS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
