"""R_phi: Qwen2.5-VL with a bias-free regression head on its last token, and its folder for vLLM.

transformers 5.10 has no such class; the one here is named as vLLM's sequence classification wants it. An exported
folder holds config.json (with num_labels on the root and on text_config), model*.safetensors (the body's weights
and language_model.score.weight), processor and tokenizer with the image limits it was trained with,
reward_model.json (outputs, limits, facts of its training), and a model card.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPreTrainedModel

from medical_rl.errors import UserError
from medical_rl.run.files import replacing_folder, write_json, write_text
from medical_rl.run.markdown import fill_template

HEAD = "language_model.score.weight"  # where vLLM looks for it
FACTS = "reward_model.json"
CARD = Path(__file__).with_name("model_card.md.jinja")


class Qwen2_5_VLForSequenceClassification(Qwen2_5_VLPreTrainedModel):
    """R_phi: output 0 is the total grade, each other one criterion. vLLM looks for this name."""

    # vLLM reads the head under the language model's name; the body's own names are those of the generating
    # model.
    _keys_to_ignore_on_load_unexpected = ["lm_head.weight"]

    def __init__(self, config):
        super().__init__(config)
        self.model = Qwen2_5_VLModel(config)
        self.language_model = nn.Module()
        self.language_model.score = nn.Linear(config.text_config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, **inputs) -> torch.Tensor:
        """float32 scores of shape (rows, outputs), for a padded batch of `encode.collate`."""
        hidden = hidden_states(self.model, inputs)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), last_token(inputs["attention_mask"])]
        # In full precision whatever the body runs in, as vLLM's head does: grades are to be told apart by
        # hundredths.
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(pooled.float(), self.language_model.score.weight.float())


def hidden_states(body: Qwen2_5_VLModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Hidden states (rows, tokens, width) of the last layer.

    An image that several rows of the batch share goes through the vision tower once: `pixel_values` and
    `image_grid_thw` hold each image once, `image_of` says which of them stands at each place, row by row.
    """
    embedded, positions = body.get_input_embeddings()(inputs["input_ids"]), None
    if "pixel_values" in inputs:
        grids, image_of = inputs["image_grid_thw"], inputs["image_of"]
        features = body.get_image_features(inputs["pixel_values"], grids).pooler_output
        pixels = torch.cat([features[i] for i in image_of.tolist()]).to(embedded.dtype)
        is_image = (inputs["mm_token_type_ids"] == 1).unsqueeze(-1)
        embedded = embedded.masked_scatter(is_image, pixels)
        positions, _ = body.get_rope_index(
            inputs["input_ids"],
            image_grid_thw=grids[image_of],
            mm_token_type_ids=inputs["mm_token_type_ids"],
            attention_mask=inputs["attention_mask"],
        )
    outputs = body.language_model(
        inputs_embeds=embedded,
        position_ids=positions,
        attention_mask=inputs["attention_mask"],
        use_cache=False,
    )
    return outputs[0]


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
    kind = Qwen2_5_VLForSequenceClassification
    return kind.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()


def export(
    model, processor, folder: Path, facts: Mapping, state: Mapping | None = None, dtype: str = "float32"
) -> Path:
    """Write R_phi to `folder`, which is replaced whole; the result is `folder`.

    facts  outputs (list of names), min_pixels, max_pixels, max_length, loss, base, rows, seed, phantom, and
           what else is known
    state  the weights, where they are not `model`'s own (gathered from several processes)
    """
    weights = {}
    for name, weight in (state or model.state_dict()).items():
        weights[name] = weight.to(getattr(torch, dtype)).contiguous()
    with replacing_folder(folder) as scratch:
        model.save_pretrained(scratch, state_dict=weights)
        processor.save_pretrained(scratch)
        # transformers leaves the number of outputs out where vLLM looks for it
        config = json.loads((scratch / "config.json").read_text(encoding="utf-8"))
        labels = {str(number): f"LABEL_{number}" for number in range(len(facts["outputs"]))}
        for part in (config, config["text_config"]):
            part.update(num_labels=len(labels), dtype=dtype, id2label=labels)
            part["label2id"] = {label: int(number) for number, label in labels.items()}
        write_text(scratch / "config.json", json.dumps(config, indent=2) + "\n")
        write_json(scratch / FACTS, dict(facts))
        write_text(scratch / "README.md", fill_template(CARD, facts))
    return folder


def read_facts(folder: Path | str) -> dict:
    """What an exported folder says of itself.

    Raises UserError if it is no reward model's folder.
    """
    path = Path(folder) / FACTS
    if not path.is_file():
        raise UserError(f"{folder} is no folder of a reward model: it has no {FACTS}.")
    return json.loads(path.read_text(encoding="utf-8"))
