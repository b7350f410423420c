"""LoRA weights merged into their base, so that a stage's `huggingface` is an ordinary model folder.

With LoRA, verl 0.9.1 writes PEFT's own parameter names into its `huggingface` folder, which no
`from_pretrained` reads as they are.
"""

from pathlib import Path

from medical_rl.errors import StageFailed

A, B = ".lora_A.default.weight", ".lora_B.default.weight"


def lora_pairs(folder: Path) -> dict:
    """{module path: (A, B)} of every LoRA pair in the safetensors of `folder`."""
    from safetensors import safe_open

    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if "lora_" in name:
                    tensors[name] = weights.get_tensor(name)
    pairs = {}
    for name in tensors:
        if name.endswith(A):
            layer = name.removesuffix(A)
            pairs[layer.removeprefix("base_model.model.")] = (tensors[layer + A], tensors[layer + B])
    return pairs


def merge(folder: Path, base: str, goal: Path, scale: float) -> int:
    """Save `base` plus the LoRA weights of `folder` to `goal`; returns the number of layers merged.

    scale  LoRA's alpha / r: a pair (A, B) adds scale * B A to its layer's weight
    Raises StageFailed for weights of another model, or none.
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
