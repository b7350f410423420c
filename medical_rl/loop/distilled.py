"""The generator that distillation has taught: the settings it is asked with (Algorithm 1, line 14)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

STRATEGY = "distilled"


def settings_of(generator: Mapping[str, Any], distil: Mapping[str, Any], model: Path | str | None) -> dict[str, Any]:
    """conf.generator as the local, distilled `model` takes it: as many images and triplets, its own form and sampling.

    distil  conf.loop.distil: format, per_reply, temperature, top_p, max_new_tokens, batch, gpus
    """
    asked = ("format", "per_reply", "temperature", "top_p", "max_new_tokens", "batch", "gpus")
    return {
        "name": "distilled",
        "kind": "local",
        "images": generator["images"],
        "per_image": generator["per_image"],
        "strategy": STRATEGY,
        "tell_facts": False,
        "model": None if model is None else str(model),
        **{name: distil[name] for name in asked},
    }
