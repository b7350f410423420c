"""The data card: `card.json` for programs, `README.md` for people, beside the parquet files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from medical_rl.config.settings import SECRET
from medical_rl.data.parquet import replacing

# A box has as many answers as rows; a table of them tells nobody anything.
MAX_LABELS = 50

MADE_BY = "Prepared by medical_rl for training and evaluation of models. Not for clinical use."


def kept(out: Path, recipe: str) -> dict | None:
    """The card in `out` if it is of this recipe and the files it names still have their checksums."""
    try:
        card = json.loads((out / "card.json").read_text(encoding="utf-8"))
        same = card["recipe"] == recipe and all(
            sha256(out / name) == sum_ for name, sum_ in card["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # No card, a damaged one or a missing file: prepare again.
        return None
    return card if same else None


def files(out: Path) -> set[str]:
    """The parquet files that the card in `out` calls its own; empty without a readable card."""
    try:
        names = json.loads((out / "card.json").read_text(encoding="utf-8"))["files"]
        # A card is a file a person may edit: it must not name anything outside its folder.
        return {name for name in names if name == Path(name).name and name.endswith(".parquet")}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def save(card: dict, out: Path) -> None:
    """None; writes README.md, then card.json, whose presence says that everything else is there."""
    for name, text in (
        ("README.md", readme(card)),
        ("card.json", json.dumps(card, indent=2, ensure_ascii=False)),
    ):
        with replacing(out / name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_facts(counts: dict, read: int, distinct: int) -> dict:
    """What the card says of one split, from `write_split`'s counts.

    >>> split_facts({"rows": 4, "labels": {"a": 3, "b": 1}}, read=9, distinct=4)["majority_rate"]
    0.75
    """
    labels = counts["labels"]
    majority = max(labels, key=labels.get)
    return {
        "rows": counts["rows"],
        "read": read,
        "distinct": distinct,
        "answers": len(labels),
        "labels": labels if len(labels) <= MAX_LABELS else {},
        "majority": majority,
        "majority_rate": labels[majority] / counts["rows"],
    }


def public(params: Mapping) -> dict:
    """The reader's settings as a card may show them: no secret, of a path of the user's disk its name only.

    >>> public({"boxes": "/home/me/boxes.json", "test_share": 0.1, "token": "x", "table": None})
    {'boxes': 'boxes.json', 'test_share': 0.1, 'table': None}
    """
    return {key: _public(value) for key, value in params.items() if not SECRET.search(key)}


def _public(value):
    if isinstance(value, Mapping):
        return public(value)
    if isinstance(value, list):
        return [_public(item) for item in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value


def readme(card: dict) -> str:
    """The card as Markdown."""
    about = card["about"]
    parts = [
        f"# {card['name']}",
        *(
            ["**These are phantoms: pictures drawn by code, not images of patients.**"]
            if about.get("phantom")
            else []
        ),
        *(
            ["**Altered:** " + " ".join(f"{reason}." for reason in about["altered"])]
            if about.get("altered")
            else []
        ),
        MADE_BY,
        _bullets(_provenance(card)),
        "## Splits",
        _split_table(card["splits"]),
        "## Answers",
        _label_table(card["splits"]),
        "The majority rate is the accuracy of always giving the commonest answer: read every accuracy beside it.",
        "## What was left out or repeated",
        _bullets(card["changes"] or ["Nothing: every row of the source is here once."]),
        "## What these splits do not prove",
        _bullets([*about.get("notes", ()), *card["warnings"]] or ["The source says nothing about it."]),
        "## Files",
        _bullets(f"`{name}`: SHA-256 {sum_}" for name, sum_ in card["files"].items()),
    ]
    return "\n\n".join(parts)


def _provenance(card: dict) -> list[str]:
    about = card["about"]
    known = [("Source", "source"), ("File", "file"), ("Licence", "licence"), ("URL", "url"), ("DOI", "doi")]
    known += [("Split", "split"), ("Boxes", "boxes"), ("Grade from two raters", "consensus")]
    sums = [("MD5", "md5"), ("Official MD5", "official_md5")]
    lines = [f"{title}: {about[key]}" for title, key in known + sums if about.get(key)]
    if about.get("restricted"):
        lines.append("Restricted: no row may be sent to a service that the data's agreement does not cover")
    if told := {key: value for key, value in card.get("params", {}).items() if value is not None}:
        lines.append(f"Settings of the reader: {', '.join(f'{key}={value}' for key, value in told.items())}")
    if known := card.get("knowledge"):
        lines.append(
            f"Visual attributes: {known['name']}, after {'; '.join(known['references']) or 'no reference'}"
        )
    if reports := card.get("reports"):
        of = ", ".join(f"{n:,} of {split}" for split, n in reports["splits"].items())
        lines.append(f"Reports to retrieve: {reports['reports']:,} ({of}; those of train may be retrieved)")
    if asked := card.get("concepts"):
        lines.append(
            f"Concepts of {', '.join(asked['splits'])}: those that {asked['by']} listed for {asked['questions']:,} questions; "
            f"{asked['left']:,} keep the lexicon's"
        )
    return [*lines, f"Seed: {card['seed']}", f"Prompt: {card['prompt']}", f"Recipe: {card['recipe']}"]


def _split_table(splits: dict) -> str:
    rows = [
        (
            name,
            facts["rows"],
            facts["distinct"],
            facts["read"],
            facts["majority"],
            f"{facts['majority_rate']:.1%}",
        )
        for name, facts in splits.items()
    ]
    return _table(("split", "rows", "distinct", "in the source", "commonest answer", "majority rate"), rows)


def _label_table(splits: dict) -> str:
    """One row an answer; a split with too many of them to list has "..." in its column."""
    answers = sorted({answer for facts in splits.values() for answer in facts["labels"]})
    cells = [
        (a, *(f["labels"].get(a, 0) if f["labels"] else "..." for f in splits.values())) for a in answers
    ]
    return _table(
        ("answer", *splits), [*cells, ("different answers", *(f["answers"] for f in splits.values()))]
    )


def _table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _bullets(lines) -> str:
    return "\n".join(f"- {line}" for line in lines)
