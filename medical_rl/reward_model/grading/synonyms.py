"""Where synonyms come from: WordNet, as MedGR2 has it, or a small table of our own."""

import functools
import warnings
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Protocol

import yaml

from medical_rl.data.concepts import LEXICON
from medical_rl.errors import UserError, unknown

TABLES = Path(__file__).with_name("words.yaml")
DOWNLOAD = "python -m nltk.downloader wordnet"
CORPORA = ("corpora/wordnet", "corpora/wordnet.zip")  # unpacked, or as nltk's downloader leaves it
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
        self.longest = max(map(len, map(str.split, self.table)), default=0)

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
        trained = self._trained.of(phrase)
        return tuple(new for new in self._wording.of(phrase) if new not in trained)


@functools.cache
def _tables() -> dict:
    return yaml.safe_load(TABLES.read_text(encoding="utf-8"))


def _phrases(table: str) -> dict[str, tuple[str, ...]]:
    return {phrase: tuple(ways) for phrase, ways in _tables()[table].items()}


def builtin_table() -> dict[str, tuple[str, ...]]:
    """{phrase: its synonyms}, lower case: every table of words.yaml but the held-out one."""
    table = _phrases("directed")
    for group in chain.from_iterable(_tables()["groups"].values()):
        for phrase in group:
            table[phrase] = table.get(phrase, ()) + tuple(other for other in group if other != phrase)
    return table


def held_out_table() -> dict[str, tuple[str, ...]]:
    """{phrase: its synonyms} of the probes' wording, which no training text uses."""
    return _phrases("held_out")


@functools.cache
def words_of_drawn_pictures() -> frozenset[str]:
    """Words that are synonyms in reports of drawn pictures alone."""
    return frozenset(chain.from_iterable(_tables()["groups"]["drawn"]))


def protected_words(kind: str) -> frozenset[str]:
    """Words that no synonym replaces or brings in; kind: negations, sides, doubts, numbers, grammar."""
    return frozenset(_tables()["protected"][kind].split())


class WordNet:
    """The single-word lemmas of a word's most frequent sense, by nltk's reader of the WordNet corpus.

    A synonym is of the same synset, so of the same part of speech and no broader, narrower or merely similar
    word. As no sense is known from the text, a word has synonyms only where most of its counted uses are of
    one sense, and only those that have this sense most often themselves: "record" is no synonym of "disc".
    Inflected forms have none ("noted": famous), nor have the words of the medical lexicon, which WordNet
    takes for everyday ones ("heart": bosom). What is left is still rougher than a table.

    folder     one with corpora/wordnet in it, unpacked or zipped, or that corpora folder; None looks where
               nltk keeps data
    dominance  share of a word's counted uses that one sense must have
    """

    name, longest = "wordnet", 1

    def __init__(self, folder: Path | str | None = None, dominance: float = DOMINANCE):
        self.dominance = dominance
        self._reader = _wordnet_reader(folder)

    @functools.cache  # noqa: B019  a source of synonyms lives as long as its process
    def of(self, phrase: str) -> tuple[str, ...]:
        """The synonyms of a lower-case word; () for a phrase, an inflected form or an unknown word."""
        if not phrase.isalpha() or phrase in _medical_words():
            return ()
        sense = self._sense(phrase, self.dominance)
        if sense is None or self._reader.morphy(phrase, "v") not in (None, phrase):
            return ()
        synonyms = []
        for name in dict.fromkeys(sense.lemma_names()):
            # a capital is a name or an abbreviation
            if name != phrase and name.isalpha() and name.islower() and self._sense(name, 0.0) == sense:
                synonyms.append(name)
        return tuple(synonyms)

    def _sense(self, word: str, least: float):
        """The most frequent synset of `word` in this form, if it has `least` of its counted uses."""
        uses = {}
        for sense in self._reader.synsets(word):
            for lemma in sense.lemmas():
                # nltk also gives the senses of the base form that an inflected word comes from
                if lemma.name().lower() == word:
                    uses[sense] = lemma.count()
        most = max(uses, key=uses.get, default=None)
        return most if most and uses[most] >= least * sum(uses.values()) else None


@functools.cache
def _medical_words() -> frozenset[str]:
    return frozenset(" ".join(chain(LEXICON, chain.from_iterable(LEXICON.values()))).split())


def _wordnet_reader(folder: Path | str | None):
    # Imported where it is used: nltk brings scikit-learn and pandas with it, over a second.
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    named = [] if folder is None else [_data_folder(Path(folder).absolute())]
    # nltk opens nothing outside its list of folders, and its reader looks there once more: so the named one
    # leads
    nltk.data.path[:0] = named
    try:
        corpus = _find_corpus(named or nltk.data.path)
        with warnings.catch_warnings():  # of other languages, which are not wanted
            warnings.simplefilter("ignore", UserWarning)
            return WordNetCorpusReader(corpus, None)
    except (OSError, ValueError, AssertionError, LookupError) as error:
        # what nltk raises on files that are not WordNet's
        del nltk.data.path[: len(named)]
        raise UserError(
            f"The WordNet corpus of {folder or 'nltk'} cannot be read ({error}). Get it anew: {DOWNLOAD}"
        ) from error


def _data_folder(folder: Path) -> str:
    """The folder that holds corpora/wordnet, where it, its corpora or its corpora/wordnet is named."""
    for parent in (folder, folder.parent, folder.parent.parent):
        for corpus in CORPORA:
            if (parent / corpus).exists():
                return str(parent)
    raise _no_corpus([str(folder)])


def _find_corpus(paths: list[str]):
    """nltk's pointer to the corpus, unpacked or in the zip file that nltk's downloader leaves."""
    import nltk.data

    for corpus in ("corpora/wordnet/", "corpora/wordnet.zip/wordnet/"):
        try:
            return nltk.data.find(corpus, paths)
        except LookupError:
            continue
    raise _no_corpus(paths)


def _no_corpus(paths: list[str]) -> UserError:
    return UserError(
        f"synonyms=wordnet needs the WordNet corpus, and neither {' nor '.join(CORPORA)} is in "
        f"{', '.join(paths)}. Get it by {DOWNLOAD}, name the folder it is in, or take synonyms=builtin, "
        "which needs none."
    )


def load(name: str, folder: Path | str | None = None) -> Synonyms:
    """The source of synonyms called `name`; `folder` is WordNet's.

    Raises UserError for an unknown name or a missing corpus.
    """
    tables = {"builtin": builtin_table, "held_out": held_out_table}
    if name == "wordnet":
        return WordNet(folder)
    if name not in tables:
        raise unknown("source of synonyms named", name, ["wordnet"] + list(tables))
    return Table(name, tables[name]())
