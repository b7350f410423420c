"""R_phi as a folder that vLLM serves for sequence classification and `head.load_exported` reads again.

config.json            architectures Qwen2_5_VLForSequenceClassification; num_labels on the root and on text_config
model*.safetensors     the body's weights and language_model.score.weight
processor, tokenizer   with the image limits it was trained with
reward_model.json      outputs, limits, prompt layout, facts of its training
README.md              model card
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.folders import replacing_folder

FACTS = "reward_model.json"
CARD = """---
license: other
---
# Reward model (R_phi)

Scores a response to a question about medical images: {scale}
Outputs: {outputs}. Base model: {base}. Trained by medical_rl on {rows} graded responses; loss `{loss}`, seed {seed}.
Input: one user turn (images, then the bare question), one assistant turn (the response); the score is read off the last token.

**Not for clinical use.** {phantom}

## Serving

    vllm serve FOLDER --runner pooling

and POST `{{"messages": [...], "add_generation_prompt": false, "use_activation": false}}` to `/classify`; `data[0].probs` are the
raw outputs. With the default activation they would be squashed into probabilities.
"""
SCALES = {
    "mse": "a grade from -6 to 10.",
    "pairwise": "a number whose order has a meaning and whose scale has none (it was trained on preference pairs).",
}
PHANTOM = "It was trained on phantom images drawn by code, not on medical images."


def export(model, processor, goal: Path, facts: Mapping, state: Mapping | None = None, dtype: str = "float32") -> Path:
    """`goal`, written beside itself and renamed; a folder that was there before is replaced.

    facts  outputs (list of names), min_pixels, max_pixels, max_length, loss, base, rows, seed, phantom, and what else is known
    state  the weights, where they are not `model`'s own (gathered from several processes)
    """
    import torch

    weights = {k: v.to(getattr(torch, dtype)).contiguous() for k, v in (state or model.state_dict()).items()}
    with replacing_folder(goal) as scratch:
        model.save_pretrained(scratch, state_dict=weights)
        processor.save_pretrained(scratch)
        complete_config(scratch / "config.json", len(facts["outputs"]), dtype)
        (scratch / FACTS).write_text(json.dumps(dict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (scratch / "README.md").write_text(card(facts), encoding="utf-8")
    return goal


def complete_config(path: Path, outputs: int, dtype: str) -> None:
    """None; states the number of outputs where vLLM looks for it (transformers writes it as id2label only, or not at all)."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config["text_config"]):
        part.update(num_labels=outputs, dtype=dtype)
        part["id2label"] = {str(i): f"LABEL_{i}" for i in range(outputs)}
        part["label2id"] = {f"LABEL_{i}": i for i in range(outputs)}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def card(facts: Mapping) -> str:
    """The Markdown model card."""
    told = {name: facts[name] for name in ("base", "rows", "loss", "seed")}
    phantom = PHANTOM if facts.get("phantom") else ""
    return CARD.format(scale=SCALES[facts["loss"]], outputs=", ".join(facts["outputs"]), phantom=phantom, **told)


def read_facts(folder: Path | str) -> dict:
    """What an exported folder says of itself; UserError if it is no reward model's folder."""
    path = Path(folder) / FACTS
    if not path.is_file():
        raise UserError(f"{folder} is no folder of a reward model: it has no {FACTS}.")
    return json.loads(path.read_text(encoding="utf-8"))
