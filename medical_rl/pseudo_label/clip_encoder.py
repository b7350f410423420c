"""A text and image encoder of transformers, chosen by name: unit vectors of texts and of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medical_rl.data import recipe
from medical_rl.errors import UserError

NEEDED = ("get_text_features", "get_image_features")


class Encoder:
    """The encoder of conf.retriever; `name` tells its weights from others'."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import torch
        from transformers import AutoModel, AutoProcessor

        asked, revision = str(settings["model"]), settings["revision"] or "main"
        try:
            self.model = AutoModel.from_pretrained(asked, revision=revision).eval()
            self.processor = AutoProcessor.from_pretrained(asked, revision=revision)
        except (OSError, ValueError, KeyError) as error:
            # What transformers raises for a name that is not there, no network, or a folder of another kind.
            raise UserError(
                f"The encoder conf.retriever.model={asked} cannot be loaded: {str(error).splitlines()[0]} Give a folder, or a hub id "
                "that transformers loads as CLIP or SigLIP; without a network it must be in the hub's cache already."
            ) from error
        if missing := [name for name in NEEDED if not hasattr(self.model, name)]:
            raise UserError(
                f"conf.retriever.model={asked} is a {type(self.model).__name__}, which has no {' and no '.join(missing)}: it embeds no "
                "texts and images in one space. CLIP and SigLIP models do."
            )
        self.torch = torch
        self.device = _device(str(settings["device"]), torch)
        self.model.to(self.device)
        commit = getattr(self.model.config, "_commit_hash", None)
        self.name = commit or (recipe.content(asked) if Path(asked).exists() else f"{asked}@{revision}")

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """N x D float32 unit vectors; a text longer than the encoder reads is cut."""
        # "max_length" is how SigLIP was trained, and changes nothing for CLIP, whose padding is masked.
        longest = self._longest()
        inputs = self.processor(
            text=list(texts), padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        )
        return self._unit("get_text_features", inputs)

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """N x D float32 unit vectors of RGB images."""
        return self._unit("get_image_features", self.processor(images=list(images), return_tensors="pt"))

    def _longest(self) -> int:
        """Tokens that the text encoder has positions for."""
        config = getattr(self.model.config, "text_config", self.model.config)
        return int(getattr(config, "max_position_embeddings", 77))

    def _unit(self, features: str, inputs) -> np.ndarray:
        with self.torch.inference_mode():
            found = getattr(self.model, features)(**inputs.to(self.device))
        # transformers 5 gives an output with the projected features as its pooler_output, 4 the features themselves.
        found = getattr(found, "pooler_output", found).float()
        if not bool(self.torch.isfinite(found).all()):
            raise UserError(
                "The encoder of conf.retriever.model gave an embedding that is no number; its weights are damaged."
            )
        return self.torch.nn.functional.normalize(found, dim=-1).cpu().numpy()


def _device(asked: str, torch) -> str:
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked != "cpu" and not torch.cuda.is_available():
        raise UserError(f"conf.retriever.device={asked}: there is no such accelerator here; take cpu or auto.")
    return asked
