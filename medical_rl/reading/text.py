"""The text of an answer without what surrounds it: marks, wrappers, quotes, lead-ins."""

from __future__ import annotations

import functools
import re
import unicodedata

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_SPECIAL = re.compile(r"<\|[^<>|\s]*\|>")
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|emph|mathrm|mathbf|mathit|operatorname)\s*\{([^{}]*)\}")
_MARKS = re.compile(r"\*+|__+|`+|(?m:^[ \t]*(?:#+|>+)[ \t]*)|\$+|\\[()\[\]]")
_EDGES = " \t\r\n\"'“”‘’«»„"
_AFTER = _EDGES + ".,;:!?…。，、；：！？"
_LEAD = re.compile(
    r"(?:so|therefore|thus|hence)\s*,\s*"
    r"|(?:so\s+|therefore\s+)?(?:the|my)\s+(?:(?:correct|final|best)\s+)?answer\s+is\b\s*:?\s*"
    r"|(?:the\s+)?(?:(?:correct|final)\s+)?answer\s*:\s*"
    r"|conclusion\s*:\s*",
    re.IGNORECASE,
)


def visible(text: str) -> str:
    """`text` without characters that cannot be seen (zero-width spaces, soft hyphens, byte order marks)."""
    return text if text.isascii() else text.translate(_INVISIBLE)


@functools.lru_cache(maxsize=8192)
def clean(text: str) -> str:
    """The words of an answer: NFKC, without Markdown, LaTeX wrappers, quotes, lead-ins and closing punctuation.

    >>> clean("**Therefore, the answer is:** $\\\\text{B}$.")
    'B'
    """
    text = _SPECIAL.sub(" ", unicodedata.normalize("NFKC", visible(text)).replace("\u2212", "-"))
    while (unwrapped := _WRAPPER.sub(r"\1", text)) != text:
        text = unwrapped
    text = _trim(_MARKS.sub("", text))
    while lead := _LEAD.match(text):
        text = _trim(text[lead.end() :])
    return text


def _trim(text: str) -> str:
    return text.lstrip(_EDGES).rstrip(_AFTER)


@functools.lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """Text for comparing labels: NFKC, case folded, punctuation and runs of space to one space.

    >>> normalise(" Normal,  Benign. ")
    'normal benign'
    """
    text = unicodedata.normalize("NFKC", visible(text)).casefold()
    while (unwrapped := _WRAPPER.sub(r"\1", text)) != text:
        text = unwrapped
    # marks that combine with a letter (Devanagari vowels, say) are part of its word
    letters = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return " ".join(letters.split())
