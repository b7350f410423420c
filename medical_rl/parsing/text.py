"""The text of an answer without what surrounds it (marks, wrappers, quotes, lead-ins), and its words.

Words are as rules read them: stems, clauses, and the words that deny what stands beside them.
"""

import functools
import re
import unicodedata

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_SPECIAL = re.compile(
    r"<\|[^<>|\s]*\|>|</?(?:image|img|video|audio|box|bbox|s)>|<(?:pad|eos|bos|unk)>", re.IGNORECASE
)
_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|emph|mathrm|mathbf|mathit|operatorname)\s*\{([^{}]*)\}"
)
# a ">" before a number is a sign, not a quotation
_MARKS = re.compile(r"\*+|__+|`+|(?m:^[ \t]*(?:#+|>+(?![ \t]*[\d.]))[ \t]*)|\$+|\\[()\[\]]")
_NESTED = 16  # wrappers in wrappers that are looked into
# else NFKC reads 10³ as 103
_RAISED = {ord(raised): f"^{digit}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_EDGES = " \t\r\n\"'“”‘’«»„✅✔☑"
_AFTER = _EDGES + ".,;:!?…。，、；：！？"
_STATED = (
    r"(?:(?:so|therefore|thus|hence)(?:\s*,)?\s+)?(?:the|my)\s+"
    r"(?:(?:(?:most\s+)?(?:correct|final|best|right|likely|appropriate)\s+)?answer|"
    r"(?:correct|final|best|right)\s+(?:option|choice))\s+is\b\s*:?\s*"
    r"|(?:the\s+)?(?:(?:correct|final)\s+)?answer\s*:\s*"
)
_LEAD = re.compile(
    rf"(?:so|therefore|thus|hence)\s*,\s*|{_STATED}|conclusion\s*:\s*|(?:(?:正确|最终)?答案(?:是|为|\s*:)|选择?)\s*",
    re.IGNORECASE,
)
# the same behind another sentence: the last of them says the answer
_LATER_LEAD = re.compile(rf"(?<=[.!?,:\n])[ \t\n]{{0,4}}(?:{_STATED})(?=\S)", re.IGNORECASE)


def visible(text: str) -> str:
    """`text` without characters that cannot be seen (zero-width spaces, soft hyphens, byte order marks)."""
    return text if text.isascii() else text.translate(_INVISIBLE)


def spaced(text: str) -> str:
    """NFKC of a text with one space for a run of them, and one line end for a run with line ends in it.

    Long runs would cost the readers' patterns the square of their length.
    """
    text = re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFKC", text))
    return re.sub(r" ?\n[ \n]*", "\n", text)


@functools.lru_cache(maxsize=8192)
def clean(text: str) -> str:
    """The words of an answer: NFKC, without Markdown, LaTeX wrappers, quotes, lead-ins, closing marks.

    >>> clean("**Therefore, the answer is:** $\\\\text{B}$.")
    'B'
    """
    text = spaced(visible(text).translate(_RAISED)).replace("\u2212", "-")
    text = _SPECIAL.sub(" ", text)
    text = _trim(_MARKS.sub("", _unwrapped(text)))
    if text.startswith("{") and text.endswith("}"):
        text = _trim(text[1:-1])
    start = 0
    for later in _LATER_LEAD.finditer(text):
        start = later.end()
    if start:
        text = _trim(text[start:])
    lead = _LEAD.match(text)
    while lead:
        text = _trim(text[lead.end() :])
        lead = _LEAD.match(text)
    return text


def _unwrapped(text: str) -> str:
    for _ in range(_NESTED):
        inside = _WRAPPER.sub(r"\1", text)
        if inside == text:
            break
        text = inside
    return text


def _trim(text: str) -> str:
    return text.lstrip(_EDGES).rstrip(_AFTER)


@functools.lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """Text for comparing labels: NFKC, case folded, punctuation and runs of space to one space.

    >>> normalise(" Normal,  Benign. ")
    'normal benign'
    """
    text = _unwrapped(unicodedata.normalize("NFKC", visible(text)).casefold())
    # marks that combine with a letter (Devanagari vowels, say) are part of its word
    letters = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return " ".join(letters.split())


_SIGNS = re.compile(
    r"[<>≤≥=±%]"  # "< 5 mm" is not "> 5 mm"
    r"|[+-](?=\d)(?<![^\W_][+-])"  # -3, +3; not the range 5-10
    r"|(?<=\w)[+-](?=$|[\s,;:.)\]/])"  # ER+, PR-
    r"|(?<=\d)[./-](?=\d)"  # 1.5, 1/5, 5-10
)


# "8.3cm" is "8.3 cm" and ".5" is "0.5"
_UNITS = re.compile(r"(?<=\d)(?=(?:mm|cm|m|ml|l|mg|g|kg|mmhg|hz)\b)", re.IGNORECASE)
_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
_CONTRACTED = re.compile(r"n['’]t\b", re.IGNORECASE)
# 1,200 is 1200 and 8.30 is 8.3, but no part of a code such as 1.10.2 or C50.10
_THOUSANDS = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,]|\.\d+\.)")
_DECIMALS = re.compile(r"(?<![\w.])\d+\.\d*0(?![\w]|\.\d)")


@functools.lru_cache(maxsize=8192)
def label_key(text: str) -> str:
    """As `normalise`, with the signs kept that make another finding or another size of the same words.

    >>> label_key("ER+"), label_key("er-"), label_key("> 5 mm."), label_key("Non-small-cell (1.5 cm)")
    ('er +', 'er -', '> 5 mm', 'non small cell 1 . 5 cm')
    """
    text = unicodedata.normalize("NFKC", visible(text)).replace("\u2212", "-").replace("–", "-")
    text = _unwrapped(text.replace(">=", "≥").replace("<=", "≤"))
    text = _CONTRACTED.sub(" not", text).replace("cannot", "can not")
    text = _POINT.sub("0.", _UNITS.sub(" ", text))
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _DECIMALS.sub(lambda number: number[0].rstrip("0").rstrip("."), text)
    key, start = [], 0
    for sign in _SIGNS.finditer(text):
        key.append(normalise(text[start : sign.start()]))
        key.append(sign[0])
        start = sign.end()
    key.append(normalise(text[start:]))
    return " ".join(filter(None, key))


# words by whose place an order says something: "no mass, nodule", "increased, decreased" (on T1 and on T2)
_ORDERED = re.compile(
    r"\b(?:no|not|without|then|or|left|right|upper|lower|first|second|before|after|high|low|positive"
    r"|negative|(?:increas|decreas|hyper|hypo)\w*)\b"
)


@functools.lru_cache(maxsize=8192)
def option_set(text: str) -> str:
    """As `label_key`, the parts of a list in one order: "Lung and heart" is "Heart, Lung".

    A part that holds a number, or a word by which the order may say something, leaves the text as it stands.

    >>> option_set("Lung, Heart") == option_set("heart; lung"), option_set("no mass, nodule")
    (True, 'no mass nodule')
    """
    parts = list(filter(None, map(label_key, re.split(r"[,;&]|\band\b", text))))
    if len(parts) < 2 or _ORDERED.search(text.casefold()) or re.search(r"\d", text):
        return label_key(text)
    return " ".join(sorted(parts))


# placeholders and special tokens of the families that a policy may be of (Qwen, Gemma, InternVL, Idefics, ...)
_TOKENS = re.compile(
    r"<(image|video|audio|/?img|/?tool_call|/?tool_response|bos|eos|pad|unk|IMG_CONTEXT|image_soft_token"
    r"|(?:start|end)_of_(?:turn|image|utterance)|fake_token_around_image|\|[^<>|\s]+\||｜[^<>｜\s]+｜)>"
)


def neutralise(value):
    """What a template puts out, with placeholders and special tokens in it made plain text.

    >>> neutralise("<image> <|im_end|> p<0.05")
    '[image] [|im_end|] p<0.05'
    """
    return _TOKENS.sub(r"[\1]", str(value))


NEGATIONS = frozenset(
    ["no", "not", "without", "absent", "denies", "denied", "never", "nor", "neither", "free", "negative"]
)


def words(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, as they stand; "isn't" is "is not".

    >>> words("There isn't a 0.5 cm nodule.")
    ('There', 'is', 'not', 'a', '0.5', 'cm', 'nodule')
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("n't", " not")
    return tuple(re.findall(r"\d+(?:\.\d+)?|\w+", plain))


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Snowball's English stem of a lower-case word; a negation stays as it is.

    >>> stem("effusions"), stem("denied")
    ('effus', 'denied')
    """
    return word if word in NEGATIONS else _stemmer().stem(word)


@functools.cache
def _stemmer():
    # Imported where it is used: nltk brings scikit-learn and pandas with it, over a second.
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer("english")
