"""RULE's published preference pairs (1,579 of IU-Xray) in place of pairs from the run's own questions.

The file is one JSON list. An entry has `id`, `image` ("CXR2079_IM-0711/0.png"), `conversations` and
`rejected_conversations`, each a list of two turns: a human's ("... and 1 reference report(s): REPORT Please answer
... Question: QUESTION <image>"), the same in both, and the model's, the better and the worse answer.

Question and report are asked as the labeller is asked later, and answers stand in the form it must give them:
pairs of sentences would teach it another form. So an entry is a pair only where its answers are yes and no: both
begin so, or the chosen one says nothing so plain and the rejected one does, which RULE judged wrong. The others
(on IU-Xray 474 of 1,579: both begin with yes, or the rejected one is a sentence that may well be right) are counted.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from medical_rl.data.prompts import messages, target
from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.images import image_size
from medical_rl.pseudo_label.alignment.pairs import Pairs, make_pairs
from medical_rl.pseudo_label.label import LabelQuestion
from medical_rl.pseudo_label.labellers.instructions import prompt_sample
from medical_rl.sample import Sample

OTHER = {"yes": "no", "no": "yes"}
NOT_OPPOSITE = "the two answers are not a yes and a no"
_ASKED = re.compile(
    r"reference report\(s\): (.*?)\n+Please answer.*?Question:\s*(.+?)\s*<image>\s*$", re.DOTALL
)
_OPENS = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_OF_IU_XRAY = re.compile(r"CXR\d+(?=_)")


def read_rule_pairs(path: Path | str) -> tuple[list[tuple[Sample, Report, str]], dict[str, int]]:
    """([(row without images but with its file's name in meta, its report, the rejected answer)], {reason: left out}).

    Raises UserError for a file that cannot be read, an entry of another form, and where no entry is a pair.
    """
    try:
        entries = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"conf.alignment.pairs={path} cannot be read as JSON ({error}).") from error
    if not isinstance(entries, list):
        raise UserError(
            f"conf.alignment.pairs={path} is a {type(entries).__name__}, and RULE's files are a list."
        )
    rows, dropped, ids = [], collections.Counter(), collections.Counter()
    for number, entry in enumerate(entries):
        text, chosen, rejected, image = _fields(entry, number, path)
        asked = _ASKED.search(text)
        if asked is None:
            raise UserError(
                f"Entry {number} of conf.alignment.pairs={path} is not asked as RULE asks (... reference report(s): "
                f"REPORT, Please answer ..., Question: QUESTION <image>): {text[:200]!r}."
            )
        good, bad = map(_opening, (chosen, rejected))
        good = good or OTHER.get(bad)
        if good is None or bad != OTHER[good]:
            dropped[NOT_OPPOSITE] += 1
            continue
        report, question = asked.groups()
        ids[image] += 1
        row = Sample(
            id=f"rule/{image}/{ids[image]}", source="rule_pairs", question=question, kind="yes_no", answer=good,
            choices=("yes", "no"), group=study_of(image), meta={"file": image},
        )  # fmt: skip
        rows.append((row, Report(f"rule/{number}", report.strip(), ""), bad))
    if not rows:
        raise UserError(
            f"conf.alignment.pairs={path} has {len(entries)} entries, and none is a pair of yes and no."
        )
    return rows, dict(dropped)


def rule_pairs(
    path: Path | str, images: Path | str, prompt: Mapping[str, Any], held_out: float, seed: int
) -> tuple[Pairs, list[str]]:
    """(pairs and measured rows of RULE's file, what is to be said of them).

    images  the folder that the entries' images lie in, or whose folder `images` they lie in

    Raises UserError as `read_rule_pairs`, and for an image that is not there.
    """
    entries, dropped = read_rule_pairs(path)
    rows, prompts, without, with_reports = [], {}, {}, {}
    for bare, report, wrong in entries:
        row = _with_image(bare, Path(images).expanduser())
        rows.append(row)
        prompts[row.id] = messages(prompt_sample(LabelQuestion(row, (report,))), prompt)
        without[row.id] = target(row, prompt)
        with_reports[row.id] = target(dataclasses.replace(row, answer=wrong), prompt)
    pairs = make_pairs(
        rows, without, with_reports, lambda row: prompts[row.id], prompt, held_out=held_out, seed=seed
    )
    notes = [f"{len(rows):,} pairs from {path}"]
    notes += [f"{count:,} of its entries are left out: {reason}" for reason, count in dropped.items()]
    return pairs, notes + [
        "every measured row is a pair, chosen for a wrong answer: its accuracy before alignment says nothing"
    ]


def study_of(image: str) -> str:
    """The study of an image: its number in IU-Xray, else the folder that the image lies in.

    >>> study_of("CXR2079_IM-0711/0.png"), study_of("p10/s504/a.jpg")
    ('CXR2079', 'p10/s504')
    """
    match = _OF_IU_XRAY.match(image)
    path = PurePosixPath(image)
    return match[0] if match else str(path.parent if path.parent.name else path.stem)


def _fields(entry: Any, number: int, path: Path | str) -> tuple[str, str, str, str]:
    """(the human's text, the chosen answer, the rejected one, the image's name) of an entry."""
    try:
        asked, chosen = (turn["value"] for turn in entry["conversations"])
        again, rejected = (turn["value"] for turn in entry["rejected_conversations"])
        fields = asked, chosen, rejected, entry["image"]
        if again != asked or not all(isinstance(field, str) and field for field in fields):
            raise ValueError("its two conversations do not begin alike, or a text is empty")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"Entry {number} of conf.alignment.pairs={path} has not the form of RULE's alignment files (id, image, "
            f"conversations and rejected_conversations of two turns each): {error}."
        ) from error
    return fields


def _opening(answer: str) -> str | None:
    match = _OPENS.match(answer)
    return match[1].lower() if match else None


def _with_image(row: Sample, folder: Path) -> Sample:
    name = row.meta["file"]
    for path in (folder / name, folder / "images" / name):
        if path.is_file():
            data = path.read_bytes()
            return dataclasses.replace(row, images=(data,), size=image_size(data), meta={})
    raise UserError(
        f"The image {name!r} of conf.alignment.pairs is neither in {folder} nor in {folder / 'images'}: name the "
        "folder of the images with conf.alignment.images."
    )
