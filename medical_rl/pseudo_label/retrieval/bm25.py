"""BM25: reports ranked by the words they share with a row's question, without weights (bm25s)."""

import functools
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.parsing.text import normalise
from medical_rl.pseudo_label.retrieval.corpus import Hit
from medical_rl.sample import Sample


class Bm25:
    """A BM25 index over reports, by conf.retriever's k1, b, ignore, stem and choices."""

    def __init__(self, settings: Mapping[str, Any], reports: Sequence[Report]) -> None:
        try:
            import bm25s  # neither at the top: it loads numba where that is installed
            from nltk.stem import PorterStemmer
        except ImportError as error:
            raise UserError(
                "conf/retriever=bm25 needs the package bm25s, which is not installed: pip install bm25s."
            ) from error
        self.ids = [report.id for report in reports]
        self.stem = functools.cache(PorterStemmer().stem) if settings["stem"] else str
        self.ignore = frozenset(settings["ignore"])
        self.with_choices = bool(settings["choices"])
        words = [list(map(self.stem, normalise(report.text).split())) for report in reports]
        if not any(words):
            raise UserError(
                f"None of the {len(self.ids):,} reports holds a word; there is nothing to retrieve by."
            )
        self.index = bm25s.BM25(k1=float(settings["k1"]), b=float(settings["b"]))
        self.index.index(words, show_progress=False)
        self.known = frozenset().union(*words)

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k reports that share most with each row's question; equal scores in the corpus's order."""
        ranked = []
        for sample in samples:
            words = map(self.stem, query_words(sample, self.ignore, self.with_choices))
            known = list(filter(self.known.__contains__, words))
            # A question none of whose words is in the corpus finds nothing: every score is 0.
            scores = self.index.get_scores(known) if known else np.zeros(len(self.ids), np.float32)
            ranked.append([Hit(self.ids[i], round(float(scores[i]), 6)) for i in top_positions(scores, k)])
        return ranked


def query_words(sample: Sample, ignore: Container[str], with_choices: bool) -> list[str]:
    """The words a row is asked with: its question's, and its choices' unless these are yes and no.

    >>> sides = {"choices": ("left", "right")}
    >>> row = Sample(id="1", source="d", question="Which side is it?", kind="choice", answer="left", **sides)
    >>> query_words(row, {"is", "it"}, True), query_words(row, {"which", "side", "is", "it"}, False)
    (['which', 'side', 'left', 'right'], ['which', 'side', 'is', 'it'])
    """
    text = sample.question
    if with_choices and sample.kind != "yes_no":
        text = " ".join((text, *sample.choices))
    words = normalise(text).split()
    return [word for word in words if word not in ignore] or words


def top_positions(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest of N scores, highest first; of equal ones the first positions."""
    k = min(k, len(scores))
    if k < 1:
        return np.zeros(0, int)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    positions = np.flatnonzero(scores >= least)
    return positions[np.argsort(-scores[positions], kind="stable")][:k]
