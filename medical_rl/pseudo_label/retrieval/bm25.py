"""BM25: reports ranked by the words that they share with a row's question, with no weights at all (the library bm25s)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from medical_rl.errors import UserError
from medical_rl.parsing.text import normalise
from medical_rl.pseudo_label.retrieval.hits import Hit
from medical_rl.pseudo_label.retrieval.reports import Report
from medical_rl.sample import Sample


class Bm25:
    """A BM25 index over reports, by conf.retriever's k1, b, ignore, stem and choices."""

    def __init__(self, settings: Mapping[str, Any], reports: Sequence[Report]) -> None:
        try:
            import bm25s  # not at the top: it loads numba where that is installed
        except ImportError as error:
            raise UserError(
                "conf/retriever=bm25 needs the package bm25s, which is not installed: pip install bm25s."
            ) from error
        self.ids = [report.id for report in reports]
        self.form = stemmer() if settings["stem"] else str
        self.ignore, self.with_choices = frozenset(settings["ignore"]), bool(settings["choices"])
        words = [[self.form(word) for word in normalise(report.text).split()] for report in reports]
        if not any(words):
            raise UserError(
                f"None of the {len(self.ids):,} reports holds a word; there is nothing to retrieve by."
            )
        self.index = bm25s.BM25(k1=float(settings["k1"]), b=float(settings["b"]))
        self.index.index(words, show_progress=False)
        self.known = set().union(*words)

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k reports that share most with each row's question; equal scores in the corpus's order."""
        return [self._ranked(query(sample, self.ignore, self.with_choices), k) for sample in samples]

    def _ranked(self, words: list[str], k: int) -> list[Hit]:
        known = [form for word in words if (form := self.form(word)) in self.known]
        # A question none of whose words is in the corpus finds nothing: every score is 0.
        scores = self.index.get_scores(known) if known else np.zeros(len(self.ids), np.float32)
        return [Hit(self.ids[i], round(float(scores[i]), 6)) for i in best(scores, k)]


def stemmer() -> Callable[[str], str]:
    """A function from a word to its stem: "effusions" and "effusion" have one."""
    from nltk.stem import PorterStemmer

    return functools.lru_cache(maxsize=None)(PorterStemmer().stem)


def query(sample: Sample, ignore: Container[str], with_choices: bool) -> list[str]:
    """The words a row is asked with: those of its question, and of its choices unless these are yes and no.

    >>> row = Sample(id="1", source="d", question="Which side is it?", kind="choice", answer="left", choices=("left", "right"))
    >>> query(row, {"is", "it"}, True), query(row, {"which", "side", "is", "it"}, False)
    (['which', 'side', 'left', 'right'], ['which', 'side', 'is', 'it'])
    """
    told = sample.choices if with_choices and sample.kind != "yes_no" else ()
    words = normalise(" ".join([sample.question, *told])).split()
    return [word for word in words if word not in ignore] or words


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest of N scores, highest first; of equal ones the first positions, so that a rank is repeatable.

    >>> best(np.array([1.0, 3.0, 1.0, 2.0, 1.0]), 3).tolist()
    [1, 3, 0]
    """
    k = min(k, len(scores))
    if k < 1:
        return np.zeros(0, int)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    found = np.flatnonzero(scores >= least)
    return found[np.argsort(-scores[found], kind="stable")][:k]
