"""Where synonyms come from: WordNet, as MedGR2 has it, or a small table of our own that needs no download."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from medical_rl.data.lexicon import LEXICON
from medical_rl.errors import UserError, unknown
from medical_rl.reward_model.grading import synonym_table

DOWNLOAD = "python -m nltk.downloader wordnet"
PLACES = ("corpora/wordnet/", "corpora/wordnet.zip/wordnet/")
DOMINANCE = 0.5  # share of a word's counted uses that one sense must have


class Synonyms(Protocol):
    """Anything that knows synonyms. `longest` is the most words that a phrase it knows has."""

    name: str
    longest: int

    def of(self, phrase: str) -> tuple[str, ...]:
        """The synonyms of a lower-case word or phrase, best first; () where it knows none."""


class Table:
    """A fixed table, {phrase: synonyms}.

    >>> Table("mine", {"next to": ("beside",)}).of("next to")
    ('beside',)
    """

    def __init__(self, name: str, table: Mapping[str, tuple[str, ...]]):
        self.name, self.table = name, dict(table)
        self.longest = max((len(phrase.split()) for phrase in self.table), default=0)

    def of(self, phrase: str) -> tuple[str, ...]:
        """The synonyms of `phrase`; () where it is not in the table."""
        return tuple(self.table.get(phrase, ()))


class Unseen:
    """`wording` without the synonyms that `trained` gives for the same phrase."""

    def __init__(self, wording: Synonyms, trained: Synonyms):
        self.name, self.longest = f"{wording.name} without {trained.name}", wording.longest
        self._wording, self._trained = wording, trained

    def of(self, phrase: str) -> tuple[str, ...]:
        """The synonyms of `phrase` that are not the training's."""
        return tuple(new for new in self._wording.of(phrase) if new not in self._trained.of(phrase))


class WordNet:
    """The single-word lemmas of a word's most frequent sense, by nltk's reader of the WordNet corpus.

    A synonym is of the same synset, so of the same part of speech and no broader, narrower or merely similar word. As no sense is
    known from the text, a word has synonyms only where most of its counted uses are of one sense, and only those that have this
    sense most often themselves: "record" is no synonym of "disc". Inflected forms have none ("noted": famous), nor have the words
    of the medical lexicon, which WordNet takes for everyday ones ("heart": bosom). What is left is still rougher than a table.
    """

    name, longest = "wordnet", 1

    def __init__(self, folder: Path | str | None = None, dominance: float = DOMINANCE):
        """folder: one with corpora/wordnet in it, unpacked or zipped, or that corpora folder; None looks where nltk keeps data."""
        self.dominance = dominance
        self._reader = _reader(folder)
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, phrase: str) -> tuple[str, ...]:
        """The synonyms of a lower-case word; () for a phrase, an inflected form or an unknown word."""
        if not phrase.isalpha() or phrase in _medical():
            return ()
        if phrase not in self._known:
            self._known[phrase] = self._of(phrase)
        return self._known[phrase]

    def _of(self, word: str) -> tuple[str, ...]:
        sense = self._sense(word, self.dominance)
        if sense is None or self._reader.morphy(word, "v") not in (None, word):
            return ()
        names = dict.fromkeys(lemma.name() for lemma in sense.lemmas())
        # a capital is a name or an abbreviation
        plain = [name for name in names if name.isalpha() and name.islower() and name != word]
        return tuple(name for name in plain if self._sense(name, 0.0) == sense)

    def _sense(self, word: str, least: float):
        """The most frequent synset of `word` in this form, if at least the share `least` of its counted uses is of it; else None."""
        # nltk also gives the senses of the base form that an inflected word comes from
        forms = [(sense, lemma) for sense in self._reader.synsets(word) for lemma in sense.lemmas()]
        uses = {sense: lemma.count() for sense, lemma in forms if lemma.name().lower() == word}
        most = max(uses, key=uses.get, default=None)
        return most if most and uses[most] >= least * sum(uses.values()) else None


@functools.cache
def _medical() -> frozenset[str]:
    return frozenset(
        word for name, others in LEXICON.items() for way in (name, *others) for word in way.split()
    )


def _reader(folder: Path | str | None):
    # Imported where it is used: nltk brings scikit-learn and pandas with it, over a second.
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    named = [] if folder is None else [_data_folder(Path(folder).absolute())]
    # nltk opens nothing outside its list of folders, and its reader looks for the corpus there once more: so the named one leads
    nltk.data.path[:0] = named
    try:
        at = _find(named or nltk.data.path)
        with warnings.catch_warnings():  # of other languages, which are not asked for
            warnings.simplefilter("ignore", UserWarning)
            return WordNetCorpusReader(at, None)
    except (OSError, ValueError, AssertionError, LookupError) as error:
        # what nltk raises on files that are not WordNet's
        del nltk.data.path[: len(named)]
        raise UserError(
            f"The WordNet corpus of {folder or 'nltk'} cannot be read ({error}). Get it anew: {DOWNLOAD}"
        ) from error


def _data_folder(folder: Path) -> str:
    """The folder that holds corpora/wordnet, where it, its corpora or its corpora/wordnet is named."""
    for at in (folder, folder.parent, folder.parent.parent):
        if any((at / place).exists() for place in ("corpora/wordnet", "corpora/wordnet.zip")):
            return str(at)
    raise _absent([str(folder)])


def _find(paths: list[str]):
    """nltk's pointer to the corpus, unpacked or in the zip file that nltk's downloader leaves."""
    import nltk.data

    for place in PLACES:
        try:
            return nltk.data.find(place, paths)
        except LookupError:
            continue
    raise _absent(paths)


def _absent(paths: list[str]) -> UserError:
    return UserError(
        f"synonyms=wordnet needs the WordNet corpus, and neither corpora/wordnet nor corpora/wordnet.zip is in {', '.join(paths)}. Get "
        f"it by {DOWNLOAD}, name the folder it is in, or take synonyms=builtin, which needs none."
    )


def _builtin(folder: Path | str | None = None) -> Table:
    return Table("builtin", synonym_table.builtin())


def _held_out(folder: Path | str | None = None) -> Table:
    return Table("held_out", synonym_table.HELD_OUT)


SOURCES = {"wordnet": WordNet, "builtin": _builtin, "held_out": _held_out}


def load(name: str, folder: Path | str | None = None) -> Synonyms:
    """The source of synonyms called `name`; `folder` is WordNet's. UserError for an unknown name or a missing corpus."""
    if name not in SOURCES:
        raise unknown("source of synonyms named", name, SOURCES)
    return SOURCES[name](folder)
