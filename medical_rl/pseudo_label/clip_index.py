"""CLIP: reports ranked by the cosine of their text's embedding and a row's image's, in a FAISS index (RULE's retriever).

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

from medical_rl.data.counting import counting
from medical_rl.data.images import decode
from medical_rl.data.parquet import replacing
from medical_rl.errors import UserError
from medical_rl.pseudo_label.clip_encoder import Encoder
from medical_rl.pseudo_label.reports import Report
from medical_rl.pseudo_label.retrievers import Hit
from medical_rl.sample import Sample


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
