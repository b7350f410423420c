"""LoRA weights merged into their base model, so that `checkpoints/<stage>/huggingface` is an ordinary model folder.

With LoRA, verl 0.9.1 writes PEFT's own parameter names into its `huggingface` folder, which no
`from_pretrained` reads as they are.
"""

from __future__ import annotations

from pathlib import Path

from medical_rl.errors import StageFailed

A, B = ".lora_A.default.weight", ".lora_B.default.weight"


def lora_pairs(folder: Path) -> dict:
    """{module path: (A, B)} of every LoRA pair in the safetensors of `folder`."""
    from safetensors import safe_open

    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            tensors |= {name: weights.get_tensor(name) for name in weights.keys() if "lora_" in name}  # noqa: SIM118
    names = [name.removesuffix(A) for name in tensors if name.endswith(A)]
    return {name.removeprefix("base_model.model."): (tensors[name + A], tensors[name + B]) for name in names}


def merge(folder: Path, base: str, goal: Path, scale: float) -> int:
    """Number of layers merged: `base` plus the LoRA weights of `folder`, saved to `goal` with the processor.

    scale: LoRA's alpha / r. A pair (A, B) adds scale * B A to its layer's weight.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

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
