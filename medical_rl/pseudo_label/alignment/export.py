"""LoRA weights merged into their model: an ordinary folder that transformers and vLLM load."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, AutoProcessor, GenerationConfig

from medical_rl.run.files import replacing_folder, write_text
from medical_rl.run.markdown import fill_template

FACTS = "alignment.json"
CARD = Path(__file__).with_name("model_card.md.jinja")


@torch.no_grad()
def merge(model, dtype: torch.dtype):
    """(the model without adapters, share of adapted weights that changed): W became W + scale * B A.

    The sum is rounded once. At RULE's learning rate most of it may be lost in bfloat16: a share near 0 says
    that the merged model is the one it came from.
    """
    changed = total = 0
    for module in model.modules():
        if isinstance(module, LoraLayer):
            weight = module.get_base_layer().weight
            merged = (weight.float() + module.get_delta_weight("default").float()).to(dtype)
            changed += int((merged != weight.to(dtype)).sum())
            total += weight.numel()
            weight.data = merged
    return model.unload().to(dtype), changed / max(1, total)


def save(model, base: str, goal: Path, facts: Mapping) -> None:
    """Write the model's folder `goal` whole; one that was there before is replaced.

    Settings and processor are those of `base`: training had switched the cache off and put its own tokens
    into them.
    """
    dtype = model.dtype
    model.config = AutoConfig.from_pretrained(base)
    model.config.dtype = dtype
    model.generation_config = GenerationConfig.from_model_config(model.config)
    if (Path(base) / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(base)
    with replacing_folder(goal) as scratch:
        model.save_pretrained(scratch)
        AutoProcessor.from_pretrained(base).save_pretrained(scratch)
        (scratch / FACTS).write_text(json.dumps(dict(facts), indent=1) + "\n", encoding="utf-8")
        write_text(scratch / "README.md", fill_template(CARD, facts))
