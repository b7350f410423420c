"""`Finding`, one thing that a check found, and the checks there are."""

from dataclasses import dataclass

# What each check looks for; `--accept NAME` makes its leaks and errors warnings.
CHECKS = {
    "schema": "verl's columns, and as many <image> in the prompt as images",
    "row": "every row can be read back",
    "columns": "what verl and EasyR1 read (prompt, problem, answer, source, id, split) is what the row's "
    "sample says",
    "image": "every image decodes",
    "gold": "the gold answer scores 1.0 under its own reward, and is among the choices",
    "duplicate": "no id twice, no row twice, no two answers to one question about one image",
    "labels": "no answer in val or test that train never shows",
    "shared_group": "no patient, lesion or study in two splits",
    "shared_id": "no row id in two splits",
    "shared_image": "no image in two splits, pixel for pixel",
    "shared_text": "no long question, and none without an image (told apart by meta's image and report), in "
    "two splits",
    "similar_image": "images of two splits that look alike: for a person to look at",
}
LEVELS = ("leak", "error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing found; `examples` name rows, and a leak or an error fails the check.

    >>> Finding("image", "error", "1 image of train does not decode.").fails
    True
    """

    check: str
    level: str
    message: str
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.check not in CHECKS or self.level not in LEVELS:
            raise ValueError(f"There is no check {self.check!r} or no level {self.level!r}.")

    @property
    def fails(self) -> bool:
        """Whether it makes the exit code 1."""
        return self.level in ("leak", "error")
