"""The data card: `card.json` for programs, `README.md` for people, beside the parquet files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from medical_rl.config.settings import SECRET
from medical_rl.run.files import write_text
from medical_rl.run.markdown import markdown_table

# A box has as many answers as rows; a table of them tells nobody anything.
MAX_LABELS = 50

MADE_BY = "Prepared by medical_rl for training and evaluation of models. Not for clinical use."

# Titles of what the card's `about` tells, in the order in which the README lists it.
_PROVENANCE = {
    "source": "Source",
    "file": "File",
    "licence": "Licence",
    "url": "URL",
    "doi": "DOI",
    "split": "Split",
    "boxes": "Boxes",
    "consensus": "Grade from two raters",
    "md5": "MD5",
    "official_md5": "Official MD5",
}


def valid_card(out: Path, recipe: str) -> dict | None:
    """The card in `out` if it is of this recipe and the files it names still have their checksums."""
    try:
        card = json.loads((out / "card.json").read_text(encoding="utf-8"))
        if card["recipe"] != recipe:
            return None
        for name, checksum in card["files"].items():
            if sha256(out / name) != checksum:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # No card, a damaged one or a missing file: prepare again.
        return None
    return card


def listed_files(out: Path) -> set[str]:
    """The parquet files that the card in `out` calls its own; empty without a readable card."""
    try:
        names = json.loads((out / "card.json").read_text(encoding="utf-8"))["files"]
        # A card is a file a person may edit: it must not name anything outside its folder.
        return {name for name in names if name == Path(name).name and name.endswith(".parquet")}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_card(card: dict, out: Path) -> None:
    """Write README.md, then card.json, whose presence says that everything else is there."""
    write_text(out / "README.md", readme(card) + "\n")
    write_text(out / "card.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")


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


def public_params(params: Mapping) -> dict:
    """The reader's settings as a card may show them: no secret, of a path on the user's disk its name.

    >>> public_params({"boxes": "/home/me/boxes.json", "test_share": 0.1, "token": "x", "table": None})
    {'boxes': 'boxes.json', 'test_share': 0.1, 'table': None}
    """
    return {key: _public(value) for key, value in params.items() if not SECRET.search(key)}


def _public(value):
    if isinstance(value, Mapping):
        return public_params(value)
    if isinstance(value, list):
        return list(map(_public, value))
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value


def readme(card: dict) -> str:
    """The card as Markdown."""
    about, splits = card["about"], card["splits"]
    parts = [f"# {card['name']}"]
    if about.get("phantom"):
        parts.append("**These are phantoms: pictures drawn by code, not images of patients.**")
    if about.get("altered"):
        parts.append(f"**Altered:** {'. '.join(about['altered'])}.")
    unproved = list(about.get("notes", ())) + card["warnings"]
    checksums = [f"`{name}`: SHA-256 {checksum}" for name, checksum in card["files"].items()]
    parts += [
        MADE_BY,
        _bullets(_provenance(card)),
        "## Splits",
        _split_table(splits),
        "## Answers",
        _label_table(splits),
        "The majority rate is the accuracy of always giving the commonest answer: read every accuracy beside "
        "it.",
        "## What was left out or repeated",
        _bullets(card["changes"] or ["Nothing: every row of the source is here once."]),
        "## What these splits do not prove",
        _bullets(unproved or ["The source says nothing about it."]),
        "## Files",
        _bullets(checksums),
    ]
    return "\n\n".join(parts)


def _provenance(card: dict) -> list[str]:
    """A sentence for each thing known of where the data come from and how they were made."""
    about = card["about"]
    lines = [f"{title}: {about[key]}" for key, title in _PROVENANCE.items() if about.get(key)]
    if about.get("restricted"):
        lines.append("Restricted: no row may be sent to a service that the data's agreement does not cover")
    settings = [f"{key}={value}" for key, value in card.get("params", {}).items() if value is not None]
    if settings:
        lines.append(f"Settings of the reader: {', '.join(settings)}")
    knowledge, reports, concepts = card.get("knowledge"), card.get("reports"), card.get("concepts")
    if knowledge:
        references = "; ".join(knowledge["references"]) or "no reference"
        lines.append(f"Visual attributes: {knowledge['name']}, after {references}")
    if reports:
        counts = ", ".join(f"{count:,} of {split}" for split, count in reports["splits"].items())
        lines.append(
            f"Reports to retrieve: {reports['reports']:,} ({counts}; those of train may be retrieved)"
        )
    if concepts:
        lines.append(
            f"Concepts of {', '.join(concepts['splits'])}: those that {concepts['by']} listed for "
            f"{concepts['questions']:,} questions; {concepts['left']:,} keep the lexicon's"
        )
    return lines + [f"Seed: {card['seed']}", f"Prompt: {card['prompt']}", f"Recipe: {card['recipe']}"]


def _split_table(splits: dict) -> str:
    rows = [("split", "rows", "distinct", "in the source", "commonest answer", "majority rate")]
    for name, facts in splits.items():
        rate = f"{facts['majority_rate']:.1%}"
        rows.append((name, facts["rows"], facts["distinct"], facts["read"], facts["majority"], rate))
    return markdown_table(rows[0], rows[1:])


def _label_table(splits: dict) -> str:
    """One row an answer; a split with too many of them to list has "..." in its column."""
    columns = list(splits.values())
    answers: set[str] = set()
    for facts in columns:
        answers.update(facts["labels"])
    rows = [["answer"] + list(splits)]
    for answer in sorted(answers):
        counts = [facts["labels"].get(answer, 0) if facts["labels"] else "..." for facts in columns]
        rows.append([answer] + counts)
    rows.append(["different answers"] + [facts["answers"] for facts in columns])
    return markdown_table(rows[0], rows[1:])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
