"""`Sample`, the one record that data, prompts, rewards and evaluation speak."""

import dataclasses
import json
import unicodedata
from typing import Any

# Sources under a data use agreement: always restricted. Compared by letters and digits.
RESTRICTED_SOURCES = ("mimic", "fairvlm")
KINDS = ("label", "choice", "yes_no", "grade", "box")


def is_restricted(source: str) -> bool:
    """Whether a source of this name is under a data use agreement, whatever its rows say.

    >>> is_restricted("MIMIC-CXR-JPG"), is_restricted("my mimic_cxr part"), is_restricted("iu_xray")
    (True, True, False)
    """
    name = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", source).lower()))
    return any(restricted in name for restricted in RESTRICTED_SOURCES)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One question about one patient's images, with its gold answer.

    id         unique within the source
    source     dataset name ("pneumoniamnist"); becomes verl's `data_source`
    question   the bare question, no template
    kind       how an answer is read: label, choice, yes_no, grade (integer) or box
    answer     gold answer as text; a grade is "3", a box is JSON "[x1, y1, x2, y2]"
    choices    the class names or option texts, in order; () where free
    images     encoded image files (PNG or JPEG bytes), in the order of the question
    group      what must not be split: patient, lesion or study
    split      train, val or test
    restricted True if a data use agreement forbids sending the row to a third party; always so for MIMIC and
    FairVLMed
    concepts   words whose mention is rewarded (MEDFACT-R1)
    knowledge  text injected into the prompt (VRFT-Aug PA_P), also recitation's reference
    size       (height, width) of the original first image in pixels; None where unknown
    meta       anything else, JSON-serialisable
    """

    id: str
    source: str
    question: str
    kind: str
    answer: str
    choices: tuple[str, ...] = ()
    images: tuple[bytes, ...] = ()
    group: str = ""
    split: str = ""
    restricted: bool = False
    concepts: tuple[str, ...] = ()
    knowledge: str = ""
    size: tuple[int, int] | None = None
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Sample {self.id!r} has kind {self.kind!r}; available: {', '.join(KINDS)}.")
        if not self.restricted and is_restricted(self.source):
            object.__setattr__(self, "restricted", True)

    def to_json(self) -> str:
        """The sample as one JSON object, without its images (they have a column of their own)."""
        return _encode({name: getattr(self, name) for name in _STORED})

    @classmethod
    def from_json(cls, text: str, images: tuple[bytes, ...] = ()) -> "Sample":
        """The sample written by `to_json`, with `images` put back.

        >>> s = Sample(id="1", source="demo", question="Grade?", kind="grade", answer="2", size=(56, 56))
        >>> Sample.from_json(s.to_json()) == s
        True
        """
        record = json.loads(text)
        for name in ("choices", "concepts"):
            record[name] = tuple(record[name])
        record["size"] = tuple(record["size"]) if record["size"] else None
        return cls(**record, images=images)


def group_key(row: Sample) -> str:
    """What must not be split of a row or report: its patient, lesion or study, else itself."""
    return row.group or row.id


# Made once: a set has millions of rows, and `json.dumps` would make an encoder for each.
_STORED = tuple(field.name for field in dataclasses.fields(Sample) if field.name != "images")
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
