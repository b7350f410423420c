"""The prepared folder and its data card: `card.json` for programs, `README.md` for people.

Never the user's own files: written in a hidden folder, moved at the end.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.config.settings import SECRET
from medical_rl.data import reports
from medical_rl.data.parquet import SCHEMA
from medical_rl.errors import UserError
from medical_rl.run.files import link_or_copy, write_text
from medical_rl.run.markdown import markdown_table

# A box has as many answers as rows; a table of them tells nobody anything.
MAX_LABELS = 50

PREFIX = ".preparing-"
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


def read_card(out: Path) -> dict:
    """The folder's card.json; {} without a readable one."""
    try:
        card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def valid_card(out: Path, recipe: str) -> dict | None:
    """The card in `out` if it is of this recipe and the files it names still have their checksums."""
    card = read_card(out)
    if card.get("recipe") != recipe:
        return None
    try:
        for name, checksum in card["files"].items():
            if sha256(out / name) != checksum:
                return None
    except (OSError, KeyError, TypeError, AttributeError):
        # A damaged card or a missing file: prepare again.
        return None
    return card


def listed_files(out: Path) -> set[str]:
    """The parquet files that the card in `out` calls its own; empty without a readable card."""
    try:
        # A card is a file a person may edit: it must not name anything outside its folder.
        names = read_card(out).get("files", ())
        return {name for name in names if name == Path(name).name and name.endswith(".parquet")}
    except TypeError:
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
    """What the card says of one split, from `write_split`'s counts."""
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


def public_params(params):
    """The reader's settings as a card may show them: no secret, of a path on the user's disk its name.

    >>> public_params({"boxes": "/home/me/boxes.json", "test_share": 0.1, "token": "x", "table": None})
    {'boxes': 'boxes.json', 'test_share': 0.1, 'table': None}
    """
    if isinstance(params, Mapping):
        return {key: public_params(value) for key, value in params.items() if not SECRET.search(key)}
    if isinstance(params, list):
        return list(map(public_params, params))
    if isinstance(params, str) and params.startswith(("/", "~")):
        return Path(params).name
    return params


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
    columns = ("split", "rows", "distinct", "in the source", "commonest answer", "majority rate")
    rows = []
    for name, facts in splits.items():
        rate = f"{facts['majority_rate']:.1%}"
        rows.append((name, facts["rows"], facts["distinct"], facts["read"], facts["majority"], rate))
    return markdown_table(columns, rows)


def _label_table(splits: dict) -> str:
    """One row an answer; a split with too many of them to list has "..." in its column."""
    columns = list(splits.values())
    rows = []
    for answer in sorted(set().union(*(facts["labels"] for facts in columns))):
        rows.append(
            [answer] + [facts["labels"].get(answer, 0) if facts["labels"] else "..." for facts in columns]
        )
    rows.append(["different answers"] + [facts["answers"] for facts in columns])
    return markdown_table(["answer"] + list(splits), rows)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def refuse_others(out: Path, source, splits: Iterable[str]) -> None:
    """Raise UserError where the source, or a file that no preparation wrote, would be replaced."""
    names = ["README.md", reports.FILE] + [f"{split}.parquet" for split in splits]
    place = os.path.realpath(os.path.expanduser(source)) if source else None
    if place in map(os.path.realpath, [out] + [out / name for name in names]):
        raise UserError(
            f"The output folder {out.absolute()} is where the source lies, which would be overwritten."
        )
    listed = listed_files(out)
    others = []
    for name in names:
        if (out / name).exists() and name not in listed and not _is_ours(out / name, listed):
            others.append(name)
    if others:
        raise UserError(
            f"{out.absolute()} holds {', '.join(others)}, which no preparation wrote and this one would "
            "overwrite. Give another output folder, or move them away."
        )


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A new hidden folder in `out`, removed at the end; what killed preparations left is removed first.

    A live preparation holds a lock on its folder, which its death releases, so nobody's work is taken away.
    """
    with contextlib.ExitStack() as lock:
        try:
            out.mkdir(parents=True, exist_ok=True)
            with locked(out, wait=True):
                for abandoned in out.glob(f"{PREFIX}*"):
                    # Another preparation at work holds the lock of its own.
                    with contextlib.suppress(OSError), locked(abandoned, wait=False):
                        shutil.rmtree(abandoned, ignore_errors=True)
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=out))
                lock.enter_context(locked(folder, wait=False))
        except OSError as error:
            raise UserError(
                f"The output folder {out.absolute()} cannot be written: {error.strerror or error}."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def link(card: dict, home: Path, out: Path) -> dict:
    """Put a prepared set of `home` into `out` under this card, without a copy where the disk has links."""
    with staging(out) as folder:
        for name in card["files"]:
            link_or_copy(str(home / name), str(folder / name))
        move(card, folder, out)
    return card


def move(card: dict, folder: Path, out: Path) -> None:
    """Move everything into place, without a card in between, so that a mixture is never taken for whole."""
    stale = listed_files(out) - set(card["files"])
    (out / "card.json").unlink(missing_ok=True)
    for name in card["files"]:
        os.replace(folder / name, out / name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    write_card(card, out)


def _is_ours(path: Path, listed: set[str]) -> bool:
    """Whether we wrote a file that no card lists, because the card was lost or a kill came before it."""
    if path.name == "README.md":
        return bool(listed) or MADE_BY in path.read_text(encoding="utf-8", errors="replace")
    try:
        return pq.read_schema(path).names in (SCHEMA.names, reports.SCHEMA.names)
    except (pa.ArrowInvalid, OSError):
        return False


@contextlib.contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """Hold a folder's lock where its disk knows locks; without `wait` BlockingIOError where it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass  # Some network disks have no locks: two preparations at a time are then the user's to avoid.
        yield
    finally:
        os.close(descriptor)
