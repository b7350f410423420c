"""A text and image encoder of transformers, chosen by name: unit vectors of texts and of images.

CLIP: reports ranked by the cosine of their text's embedding and a row's image's, in a FAISS index (RULE's retriever).

Any encoder that transformers loads by `AutoModel` with `get_text_features` and `get_image_features` will do. The reports'
embeddings are kept in `<folder>/embeddings/`, under a name of model and corpus, so that they are made once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medical_rl.data.parquet import replacing
from medical_rl.data.prepare import fingerprint
from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.pseudo_label.retrieval.hits import Hit
from medical_rl.pseudo_label.retrieval.reports import Report
from medical_rl.run.progress import counting
from medical_rl.sample import Sample

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
        self.name = commit or (fingerprint.content(asked) if Path(asked).exists() else f"{asked}@{revision}")

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
        raise UserError(
            f"conf.retriever.device={asked}: there is no such accelerator here; take cpu or auto."
        )
    return asked


class ClipIndex:
    """A FAISS index over the reports' texts; `folder` keeps their embeddings."""

    def __init__(self, settings: Mapping[str, Any], reports: Sequence[Report], folder: Path) -> None:
        try:
            import faiss
        except ImportError as error:
            raise UserError(
                "conf/retriever=clip needs FAISS, which is not installed: pip install faiss-cpu, or medical_rl[retrieval]. "
                "conf/retriever=bm25 needs neither FAISS nor weights."
            ) from error
        self.ids = [report.id for report in reports]
        self.encoder = Encoder(settings)
        self.batch = int(settings["batch_size"])
        found = self._kept([report.text for report in reports], Path(folder) / "embeddings")
        self.index = faiss.IndexFlatIP(found.shape[1])
        self.index.add(found)
        # Several questions are asked about one image, and some rows are ranked twice.
        self._looked: dict[bytes, np.ndarray] = {}

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k reports nearest each row's image (the mean direction of several); UserError for a row without an image."""
        for sample in samples:
            if not sample.images:
                raise UserError(
                    f"Row {sample.id} has no image, and conf/retriever=clip ranks reports by the image. Prepare the data with "
                    "images, or take conf/retriever=bm25."
                )
        self._look([image for sample in samples for image in sample.images])
        queries = np.stack([self._direction(sample) for sample in samples])
        scores, places = self.index.search(queries, min(k, len(self.ids)))
        # Equal texts are equally near; the corpus's order decides, as FAISS promises none.
        orders = np.lexsort((places, -scores), axis=-1)
        return [
            [Hit(self.ids[found[i]], round(float(score[i]), 6)) for i in order]
            for score, found, order in zip(scores, places, orders, strict=True)
        ]

    def _look(self, images: Sequence[bytes]) -> None:
        """None; encodes the images that are new."""
        new = {key: image for image in images if (key := _hash(image)) not in self._looked}
        for keys in _batches(list(new), self.batch):
            found = self.encoder.images([decode(new[key]) for key in keys])
            self._looked.update(zip(keys, found, strict=True))

    def _direction(self, sample: Sample) -> np.ndarray:
        mean = np.mean([self._looked[_hash(image)] for image in sample.images], axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def _kept(self, texts: list[str], folder: Path) -> np.ndarray:
        """N x D unit vectors of the texts, from the file of an earlier call where there is one."""
        name = hashlib.sha256(json.dumps([self.encoder.name, texts]).encode()).hexdigest()[:32]
        path = folder / f"{name}.npy"
        if (found := _read(path, len(texts))) is not None:
            return found
        parts = []
        with counting("encode reports", len(texts)) as advance:
            for part in _batches(texts, self.batch):
                parts.append(self.encoder.texts(part))
                for _ in part:
                    advance()
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, found := np.concatenate(parts))
        return found


def _read(path: Path, rows: int) -> np.ndarray | None:
    """The embeddings kept at `path`; None where there are none or the file is damaged."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == rows and found.dtype == np.float32 else None


def _hash(image: bytes) -> bytes:
    return hashlib.sha256(image).digest()


def _batches(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]
