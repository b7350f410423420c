"""Words that no synonym replaces or brings in: they decide a finding, or hold a sentence together."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What denies, doubts, counts or places.
NEGATIONS = _words(
    "no not without never none nor neither absent absence negative free clear cannot unremarkable lack lacks except"
)
SIDES = _words(
    "left right bilateral unilateral both either lateral medial anterior posterior superior inferior upper lower middle "
    "proximal distal ipsilateral contralateral"
)
DOUBTS = _words("yes may might could possible possibly probable probably likely unlikely suspected definite")
NUMBERS = _words(
    "zero one two three four five six seven eight nine ten first second third once twice half double single grade stage"
)
# Words of grammar, which WordNet takes for others: "a" for an amount of vitamin, "in" for the metal indium.
GRAMMAR = _words(
    "a an the and or but if so as at by for from in into of off on onto out over to under up with is are was were be been being am "
    "has have had do does did can will would should shall must it its he she his her they their them this that these those there "
    "here which who what where when why how than then very more most less least all any some each every other same such only also "
    "i we you us our your my me"
)
PROTECTED = NEGATIONS | SIDES | DOUBTS | NUMBERS | GRAMMAR
