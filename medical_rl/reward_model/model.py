"""Qwen2.5-VL with a bias-free regression head on its last token, named as vLLM's sequence classification wants it.

transformers 5.10 has no such class. The folder that `save_pretrained` writes is vLLM's layout, but for the label
counts in config.json, which `export.py` adds.

R_phi as a folder that vLLM serves for sequence classification and `head.load_exported` reads again.

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

import torch
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPreTrainedModel

from medical_rl.errors import UserError
from medical_rl.run.files import replacing_folder

HEAD = "language_model.score.weight"  # where vLLM looks for it


class Qwen2_5_VLForSequenceClassification(Qwen2_5_VLPreTrainedModel):
    """R_phi: output 0 is the total grade, the others one criterion each. The name is the one vLLM looks for."""

    # vLLM reads the head under the language model's name; the body's own names are those of the generating model.
    _keys_to_ignore_on_load_unexpected = ["lm_head.weight"]

    def __init__(self, config):
        super().__init__(config)
        self.model = Qwen2_5_VLModel(config)
        self.language_model = nn.Module()
        self.language_model.score = nn.Linear(config.text_config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, **inputs) -> torch.Tensor:
        """float32 scores of shape (rows, outputs), for a padded batch of `encode.collate`."""
        hidden = read(self.model, inputs)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), last_token(inputs["attention_mask"])]
        # In full precision whatever the body runs in, as vLLM's head does: grades are to be told apart by hundredths.
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(pooled.float(), self.language_model.score.weight.float())


def read(body: Qwen2_5_VLModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Hidden states (rows, tokens, width) of the last layer.

    An image that several rows of the batch share goes through the vision tower once: `pixel_values` and `image_grid_thw`
    hold each image once, `image_of` says which of them stands at each place, row by row.
    """
    embedded, positions = body.get_input_embeddings()(inputs["input_ids"]), None
    if "pixel_values" in inputs:
        grids, which = inputs["image_grid_thw"], inputs["image_of"]
        features = body.get_image_features(inputs["pixel_values"], grids).pooler_output
        placed = torch.cat([features[i] for i in which.tolist()]).to(embedded.dtype)
        at_image = (inputs["mm_token_type_ids"] == 1).unsqueeze(-1)
        embedded = embedded.masked_scatter(at_image, placed)
        told = {name: inputs[name] for name in ("mm_token_type_ids", "attention_mask")}
        positions, _ = body.get_rope_index(inputs["input_ids"], image_grid_thw=grids[which], **told)
    told = {"position_ids": positions, "attention_mask": inputs["attention_mask"], "use_cache": False}
    return body.language_model(inputs_embeds=embedded, **told)[0]


def last_token(attention_mask: torch.Tensor) -> torch.Tensor:
    """Index of each row's last token that is no padding, on whichever side the padding is; shape (rows,).

    >>> last_token(torch.tensor([[1, 1, 0], [0, 1, 1]])).tolist()
    [1, 2]
    """
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (attention_mask * positions).argmax(dim=1)


def load_base(folder: Path | str, dtype: torch.dtype = torch.float32) -> Qwen2_5_VLForConditionalGeneration:
    """The generating model of `folder`, whose body R_phi starts from."""
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")


def with_head(
    base: Qwen2_5_VLForConditionalGeneration, outputs: int, seed: int
) -> Qwen2_5_VLForSequenceClassification:
    """R_phi around the body of `base` (shared, not copied) with a new head of small random weights."""
    config = base.config
    config.num_labels = config.text_config.num_labels = outputs
    with torch.device("meta"):
        model = Qwen2_5_VLForSequenceClassification(config)
    model.model = base.model
    weight = torch.empty(outputs, config.text_config.hidden_size)
    nn.init.normal_(weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    model.language_model.score.weight = nn.Parameter(weight.to(base.device))
    return model


def load_exported(
    folder: Path | str, dtype: torch.dtype = torch.float32
) -> Qwen2_5_VLForSequenceClassification:
    """R_phi of an exported folder, ready to score."""
    model = Qwen2_5_VLForSequenceClassification.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa"
    )
    return model.eval()


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


def export(
    model, processor, goal: Path, facts: Mapping, state: Mapping | None = None, dtype: str = "float32"
) -> Path:
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
        (scratch / FACTS).write_text(
            json.dumps(dict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
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
    return CARD.format(
        scale=SCALES[facts["loss"]], outputs=", ".join(facts["outputs"]), phantom=phantom, **told
    )


def read_facts(folder: Path | str) -> dict:
    """What an exported folder says of itself; UserError if it is no reward model's folder."""
    path = Path(folder) / FACTS
    if not path.is_file():
        raise UserError(f"{folder} is no folder of a reward model: it has no {FACTS}.")
    return json.loads(path.read_text(encoding="utf-8"))
