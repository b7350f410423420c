"""Fixtures of R_phi's tests: phantoms, a model small enough for a second's work, an exported R_phi of random weights."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from medical_rl.images import encode_png
from medical_rl.reward_model.graded import Graded, write_graded
from medical_rl.tiny import phantoms

LIMITS = {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
TEXT = "<think>{thought}</think><answer>{answer}</answer>"
SMALL = {
    # 32 numbers a head, or vLLM's CPU attention refuses them
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64,
    "vision_depth": 1, "vision_hidden_size": 32, "vision_heads": 2, "vision_intermediate_size": 32,
}  # fmt: skip


@pytest.fixture(scope="session")
def samples():
    """Twelve phantoms; the second has another size, the third two images, the fourth is half transparent."""
    chosen = {"sizes": {"train": 12}, "modalities": ["bright"], "question_types": ["grading"]}
    found = list(phantoms.rows(None, "train", task="vqa", **chosen))
    wide = encode_png(np.random.default_rng(0).integers(0, 255, (90, 200, 3), np.uint8))
    found[1] = dataclasses.replace(found[1], images=(wide,))
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (56, 56, 4), np.uint8), "RGBA")
    picture.save(buffer := io.BytesIO(), format="PNG")
    found[3] = dataclasses.replace(found[3], images=(buffer.getvalue(),))
    found[2] = dataclasses.replace(found[2], images=(found[2].images[0], wide))
    return found


@pytest.fixture(scope="session")
def rows(samples):
    """Four graded texts of each sample; two criteria are known of the original and the irrelevant one."""
    found = []
    for sample, other in zip(samples, samples[1:] + samples[:1], strict=True):
        own, foreign = (TEXT.format(thought=s.meta["thought"], answer=s.answer) for s in (sample, other))
        known = {"factual": 10.0, "format": 10.0}
        found += [
            Graded(sample, own, 10.0, "original", known),
            Graded(sample, own.replace("disc", "circle"), 6.0, "synonym"),
            Graded(sample, own.replace("</think>", ""), 0.0, "deletion"),
            Graded(sample, foreign, -6.0, "irrelevant", {"factual": -6.0}),
        ]
    return found


@pytest.fixture(scope="session")
def parquet(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("graded") / "graded.parquet"
    write_graded(rows, path)
    return path


@pytest.fixture(scope="session")
def tiny(rows, tmp_path_factory):
    """Folder of a Qwen2.5-VL of some 50,000 random parameters."""
    from medical_rl.tiny.model import build_tiny_model

    return build_tiny_model({row.text for row in rows}, size=SMALL, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def encoder(tiny):
    from medical_rl.training.encode import Encoder, load_processor

    return Encoder(load_processor(tiny, LIMITS))


@pytest.fixture(scope="session")
def exported(tiny, tmp_path_factory):
    """Folder of an R_phi with three outputs and random weights."""
    import torch

    from medical_rl.reward_model.model import export, load_base, with_head
    from medical_rl.training.encode import load_processor

    model = with_head(load_base(tiny), 3, seed=0)
    torch.nn.init.normal_(
        model.language_model.score.weight, std=1.0, generator=torch.Generator().manual_seed(1)
    )  # scores some grades apart, so that a wrong token or image would show
    told = {
        "outputs": ["total", "factual", "format"],
        "base": "tiny",
        "rows": 48,
        "loss": "mse",
        "seed": 0,
        "phantom": True,
    }
    goal = tmp_path_factory.mktemp("exported") / "huggingface"
    return export(
        model, load_processor(tiny, LIMITS), goal, {**told, **LIMITS, "max_length": 512, "identity": "x"}
    )
