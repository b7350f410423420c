"""CLIP: reports ranked by the cosine of their text and a row's image, in a FAISS index (RULE's way).

Any encoder that transformers loads by `AutoModel` with `get_text_features` and `get_image_features` will do.
The reports' embeddings are kept in `<folder>/embeddings/`, under a name of model and corpus, so that they are
made once.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medical_rl.data.prepare.readers import content_hash
from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.images import decode, image_hash
from medical_rl.pseudo_label.retrieval.corpus import Hit
from medical_rl.run.files import replacing
from medical_rl.run.progress import Progress
from medical_rl.sample import Sample


class Encoder:
    """The encoder of conf.retriever: unit vectors of texts and images; `name` stands for its weights."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import torch
        from transformers import AutoModel, AutoProcessor

        name, revision = str(settings["model"]), settings["revision"] or "main"
        try:
            self.model = AutoModel.from_pretrained(name, revision=revision).eval()
            self.processor = AutoProcessor.from_pretrained(name, revision=revision)
        except (OSError, ValueError, KeyError) as error:
            # What transformers raises for a name that is not there, no network, or a folder of another kind.
            raise UserError(
                f"The encoder conf.retriever.model={name} cannot be loaded: {str(error).splitlines()[0]} "
                "Give a folder, or a hub id that transformers loads as CLIP or SigLIP; without a network it "
                "must be in the hub's cache already."
            ) from error
        needed = ("get_text_features", "get_image_features")
        missing = [method for method in needed if not hasattr(self.model, method)]
        if missing:
            raise UserError(
                f"conf.retriever.model={name} is a {type(self.model).__name__}, which has no "
                f"{' and no '.join(missing)}: it embeds no texts and images in one space. CLIP and SigLIP "
                "models do."
            )
        self.torch, self.device = torch, str(settings["device"])
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device != "cpu" and not torch.cuda.is_available():
            raise UserError(
                f"conf.retriever.device={self.device}: there is no such accelerator here; take cpu or auto."
            )
        self.model.to(self.device)
        self.name = getattr(self.model.config, "_commit_hash", None)
        if not self.name:
            self.name = content_hash(name) if Path(name).exists() else f"{name}@{revision}"

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """N x D float32 unit vectors; a text longer than the encoder has positions for is cut."""
        config = getattr(self.model.config, "text_config", self.model.config)
        longest = int(getattr(config, "max_position_embeddings", 77))
        # "max_length" is how SigLIP was trained, and changes nothing for CLIP, whose padding is masked.
        inputs = self.processor(
            text=list(texts), padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        )
        return self._unit_vectors(self.model.get_text_features, inputs)

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """N x D float32 unit vectors of RGB images."""
        inputs = self.processor(images=list(images), return_tensors="pt")
        return self._unit_vectors(self.model.get_image_features, inputs)

    def _unit_vectors(self, features: Callable, inputs) -> np.ndarray:
        with self.torch.inference_mode():
            output = features(**inputs.to(self.device))
        # transformers 5 gives an output whose pooler_output are the projected features, 4 these themselves.
        vectors = getattr(output, "pooler_output", output).float()
        if not bool(self.torch.isfinite(vectors).all()):
            raise UserError(
                "The encoder of conf.retriever.model gave an embedding that is no number; its weights are "
                "damaged."
            )
        return self.torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()


class ClipIndex:
    """A FAISS index over the reports' texts; `folder` keeps their embeddings."""

    def __init__(self, settings: Mapping[str, Any], reports: Sequence[Report], folder: Path) -> None:
        try:
            import faiss
        except ImportError as error:
            raise UserError(
                "conf/retriever=clip needs FAISS, which is not installed: pip install faiss-cpu, or "
                "medical_rl[retrieval]. conf/retriever=bm25 needs neither FAISS nor weights."
            ) from error
        self.ids = [report.id for report in reports]
        self.encoder = Encoder(settings)
        self.batch = int(settings["batch_size"])
        vectors = self._text_vectors([report.text for report in reports], Path(folder) / "embeddings")
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)
        # By the image's hash: several questions are asked about one image, and some rows are ranked twice.
        self._image_vectors: dict[str, np.ndarray] = {}

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k reports nearest each row's image (several: their mean). Raises UserError for one without."""
        for sample in samples:
            if not sample.images:
                raise UserError(
                    f"Row {sample.id} has no image, and conf/retriever=clip ranks reports by the image. "
                    "Prepare the data with images, or take conf/retriever=bm25."
                )
        images = {image_hash(image): image for sample in samples for image in sample.images}
        new = sorted(images.keys() - self._image_vectors.keys())
        for start in range(0, len(new), self.batch):
            batch = new[start : start + self.batch]
            vectors = self.encoder.images([decode(images[key]) for key in batch])
            self._image_vectors.update(zip(batch, vectors, strict=True))
        means = []
        for sample in samples:
            means.append(np.mean([self._image_vectors[image_hash(image)] for image in sample.images], axis=0))
        queries = np.stack(means)
        queries /= np.maximum(np.linalg.norm(queries, axis=-1, keepdims=True), 1e-12)
        scores, positions = self.index.search(queries, min(k, len(self.ids)))
        # Equal texts are equally near; the corpus's order decides, as FAISS promises none.
        order = np.lexsort((positions, -scores), axis=-1)
        scores = np.take_along_axis(scores, order, axis=-1)
        positions = np.take_along_axis(positions, order, axis=-1)
        ranked = []
        for row_scores, row_positions in zip(scores, positions, strict=True):
            hits = zip(row_positions, row_scores, strict=True)
            ranked.append([Hit(self.ids[position], round(float(score), 6)) for position, score in hits])
        return ranked

    def _text_vectors(self, texts: list[str], folder: Path) -> np.ndarray:
        """N x D unit vectors of the texts, from the file of an earlier call where there is one."""
        name = hashlib.sha256(json.dumps([self.encoder.name, texts]).encode()).hexdigest()[:32]
        path = folder / f"{name}.npy"
        try:
            vectors = np.load(path, allow_pickle=False)
            if vectors.ndim == 2 and len(vectors) == len(texts) and vectors.dtype == np.float32:
                return vectors
        except (OSError, ValueError, EOFError):
            pass  # none there, or a damaged file: they are made again
        parts = []
        with Progress(title="encode reports", total=len(texts)) as progress:
            for start in range(0, len(texts), self.batch):
                parts.append(self.encoder.texts(texts[start : start + self.batch]))
                for _ in parts[-1]:
                    progress.advance()
        vectors = np.concatenate(parts)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, vectors)
        return vectors
