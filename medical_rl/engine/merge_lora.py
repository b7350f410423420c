"""LoRA weights merged into their base model, so that `checkpoints/<stage>/huggingface` is an ordinary model folder.

With LoRA, verl 0.9.1 writes PEFT's own parameter names into its `huggingface` folder, which no
`from_pretrained` reads as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

from medical_rl.errors import StageFailed

A, B = ".lora_A.default.weight", ".lora_B.default.weight"


def has_lora(folder: Path) -> bool:
    """True if the weights in `folder` are a PEFT model's."""
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            if any(A in name for name in weights.keys()):  # noqa: SIM118  no mapping
                return True
    return False


def lora_pairs(folder: Path) -> dict:
    """{module path: (A, B)} of every LoRA pair in the safetensors of `folder`."""
    from safetensors import safe_open

    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            tensors |= {name: weights.get_tensor(name) for name in weights.keys() if "lora_" in name}  # noqa: SIM118
    names = [name.removesuffix(A) for name in tensors if name.endswith(A)]
    return {name.removeprefix("base_model.model."): (tensors[name + A], tensors[name + B]) for name in names}


def merge(folder: Path, base: str, goal: Path) -> int:
    """Number of layers merged: `base` plus the LoRA weights of `folder`, saved to `goal` with the processor.

    The scale alpha / r is the one verl wrote beside the checkpoint (lora_train_meta.json).
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    meta = json.loads((folder.parent / "lora_train_meta.json").read_text())
    scale = meta["lora_alpha"] / meta["r"]
    model = AutoModelForImageTextToText.from_pretrained(base, dtype="auto")
    modules = dict(model.named_modules())
    pairs = lora_pairs(folder)
    unknown = sorted(set(pairs) - set(modules))
    if unknown or not pairs:
        raise StageFailed(
            f"The LoRA weights in {folder} do not fit {base}: {', '.join(unknown[:5]) or 'there are none'}."
        )
    with torch.no_grad():
        for name, (a, b) in pairs.items():
            weight = modules[name].weight
            weight += (scale * (b.float() @ a.float())).to(weight.dtype)
    model.save_pretrained(goal)
    AutoProcessor.from_pretrained(base).save_pretrained(goal)
    return len(pairs)
