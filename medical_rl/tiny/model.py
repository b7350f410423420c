"""A tiny real Qwen2.5-VL with its processor, built locally in seconds and cached by content hash.

It is a `Qwen2_5_VLForConditionalGeneration` of about 2 million random parameters with Qwen's special tokens,
chat format and image processor, and a byte-level BPE tokenizer trained on the task's own texts. It knows
nothing: a recipe warms it up first.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
BUILT_IN_TEXT = (
    "system\nYou are a helpful assistant.", "user\n", "assistant\n",  # the chat format's own words
    "<think> </think> <answer> </answer> \\boxed{}",
    "yes no the image shows a finding of the patient; the grade is 0 1 2 3 4 5 6 7 8 9 [x1, y1, x2, y2]",
    "normal, benign, malignant, pneumonia, lesion, disease, category, reasoning",
)  # fmt: skip
# Qwen's chat format in our own words: turns between <|im_start|> and <|im_end|>, an image as one
# <|image_pad|> that the processor expands, and the default system turn where none is given.
CHAT_TEMPLATE = (
    "{%- if not messages or messages[0].role != 'system' -%}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{%- endif -%}"
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' or 'image' in part -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif part.type == 'video' or 'video' in part -%}<|vision_start|><|video_pad|><|vision_end|>"
    "{%- elif 'text' in part -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}<|im_end|>\n"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
).replace("\n", "{{ '\\n' }}")
SIZE = {
    "hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2,
    "intermediate_size": 384, "vision_depth": 3, "vision_hidden_size": 128, "vision_heads": 4,
    "vision_intermediate_size": 256, "min_pixels": 56 * 56, "max_pixels": 56 * 56,
}  # fmt: skip
MODEL_CARD = """# Tiny Qwen2.5-VL (random weights)

Built by medical_rl for tests and demonstrations: about 2 million random parameters, a
tokenizer of {vocabulary} tokens trained on the task's own texts. Not for clinical use.
"""


def build_tiny_model(
    texts: Iterable[str], *, seed: int = 0, vocab_size: int = 512, size: dict | None = None,
    cache: Path | None = None,
) -> Path:  # fmt: skip
    """Folder of a tiny Qwen2.5-VL whose tokenizer was trained on `texts` (and a few built-in lines).

    texts       prompts and answers of the task; order and repeats do not matter
    vocab_size  tokens including the 14 special ones and 256 bytes
    size        overrides of SIZE
    cache       parent folder; default the MEDICAL_RL_CACHE variable, else ~/.cache/medical_rl
    The same texts, seed and sizes give the same folder, built once.
    """
    corpus = sorted(set(texts) | set(BUILT_IN_TEXT))
    size = SIZE | dict(size or {})
    content = json.dumps([corpus, seed, vocab_size, size, CHAT_TEMPLATE, 1])
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    cache = cache or os.environ.get("MEDICAL_RL_CACHE") or Path.home() / ".cache" / "medical_rl"
    parent = Path(cache) / "tiny"
    folder = parent / key
    if (folder / "config.json").exists():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=parent, prefix=f".{key}-"))
    try:
        _save(scratch, corpus, seed, vocab_size, size)
        scratch.rename(folder)
    except OSError:
        if not (folder / "config.json").exists():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _save(folder: Path, corpus: list[str], seed: int, vocab_size: int, size: dict) -> None:
    import torch
    import transformers

    tokenizer = train_tokenizer(corpus, vocab_size)
    limits = {"min_pixels": size["min_pixels"], "max_pixels": size["max_pixels"]}
    processor = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**limits), tokenizer=tokenizer,
        video_processor=transformers.Qwen2VLVideoProcessor(**limits), chat_template=CHAT_TEMPLATE,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.Qwen2_5_VLForConditionalGeneration(_config(tokenizer, size))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(MODEL_CARD.format(vocabulary=len(tokenizer)))


def train_tokenizer(corpus: list[str], vocab_size: int):
    """A Qwen2 tokenizer of `vocab_size` tokens: bytes, merges learned on `corpus`, Qwen's special tokens."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    blank = Qwen2Tokenizer(vocab=dict(zip(alphabet, range(len(alphabet)), strict=True)), merges=[])
    learned = blank.train_new_from_iterator(corpus, vocab_size - len(SPECIAL_TOKENS), show_progress=False)
    model = json.loads(learned.backend_tokenizer.to_str())["model"]
    tokens = sorted(set(model["vocab"]) - set(SPECIAL_TOKENS), key=model["vocab"].get)
    vocab = dict(zip(tokens, range(len(tokens)), strict=True))
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        extra_special_tokens=SPECIAL_TOKENS[3:], model_max_length=32768,
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL_TOKENS[1:2] + SPECIAL_TOKENS[3:]})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _config(tokenizer, size: dict):
    from transformers import Qwen2_5_VLConfig

    ids = {}
    for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end", "endoftext"):
        ids[name] = tokenizer.convert_tokens_to_ids(f"<|{name}|>")
    head = size["hidden_size"] // size["num_attention_heads"]
    # mRoPE splits half a head's dimensions over time, height and width
    sections = [head // 2 - 2 * (head // 6), head // 6, head // 6]
    text = {
        "hidden_size": size["hidden_size"], "intermediate_size": size["intermediate_size"],
        "num_hidden_layers": size["num_hidden_layers"], "num_attention_heads": size["num_attention_heads"],
        "num_key_value_heads": size["num_key_value_heads"],
        "vocab_size": len(tokenizer), "max_position_embeddings": 4096, "tie_word_embeddings": True,
        "bos_token_id": ids["endoftext"], "eos_token_id": ids["im_end"], "pad_token_id": ids["endoftext"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections},
    }  # fmt: skip
    vision = {
        "depth": size["vision_depth"], "hidden_size": size["vision_hidden_size"],
        "num_heads": size["vision_heads"], "intermediate_size": size["vision_intermediate_size"],
        "out_hidden_size": size["hidden_size"],
        "fullatt_block_indexes": list(range(size["vision_depth"])),
    }  # fmt: skip
    return Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True,
        image_token_id=ids["image_pad"], video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"],
        eos_token_id=ids["im_end"], pad_token_id=ids["endoftext"], bos_token_id=ids["endoftext"],
    )  # fmt: skip
