"""Your own data: a CSV, TSV, JSON, JSON lines or parquet file, a folder of class folders, or a set on the Hugging Face Hub.

Source: yours. Licence: yours; give both for the card (`about`). De-identify first: an id, a group, a path or a question
with a name in it is copied into the prepared rows.
One row: image "scans/0001.png", question "Is there a fracture?", kind "yes_no", answer "yes", group "patient 17".
What the splits do not prove: without a group column only rows that share an image are kept together, so one patient may be
in two splits; with your own split column nothing is moved, and `python -m medical_rl.data check` tells what is shared.

A column is found by its name (id, image, question, answer, kind, choices, group, split, knowledge, concepts, thought,
report) or named with `columns`. Several images, choices or concepts in a cell are a JSON list or are cut at "|".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare import ahead, command
from medical_rl.data.sources import hub
from medical_rl.data_preprocess.custom.sample import sample as sample_of
from medical_rl.data_preprocess.custom.splits import Place, places, reported
from medical_rl.data_preprocess.custom.table import FIELDS, Table, classes
from medical_rl.errors import UserError, unknown
from medical_rl.sample import KINDS, Sample

SPLITS = ("train", "val", "test")
NO_GROUPS = "No group column was given: only rows that share an image are kept together, and a patient may be in two splits."


def rows(
    source,
    split: str,
    *,
    columns=None,
    kind: str = "label",
    question: str | None = None,
    choices=None,
    images=None,
    keep=(),
    name: str = "custom",
    restricted: bool = False,
    val_share: float = 0.1,
    test_share: float = 0.2,
    split_seed: int = 0,
    revision: str | None = None,
    about=None,
    drops: Drops | None = None,
) -> Iterator[Sample]:
    """The samples of one split, streamed; what cannot be used goes to `drops` with its reason.

    columns     {field: column}, or a list of "field=column", for columns that are not called as their field
    kind        label, choice, yes_no, grade or box: of every row that has no column for it
    question    asked of every row that has no column for it
    choices     the classes of a label, in order; default: every answer there is
    images      the folder that image paths start from; default: the table's own folder
    keep        columns to keep in the sample's meta (a score to choose rows by, say)
    restricted  True if these rows must not be sent to a third party
    val_share, test_share, split_seed  how splits are drawn that the split column does not give
    about       {licence, url, doi, notes} for the card; no part of the rows
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if kind not in KINDS:
        raise unknown("kind of answer", kind, KINDS)
    table = Table(source, columns, images, keep, revision)
    if "question" not in table.names and not question:
        raise UserError(
            f"Which column holds the question? The source has {', '.join(table.found)}; write columns.question=COLUMN, or "
            "give one question for all rows: question='What does this image show?'."
        )
    drops = Drops() if drops is None else drops
    shares = {"test": test_share, "val": val_share}
    placed = places(table.named(), table.names, table.images, shares, split_seed, drops)
    fixed = {
        "kind": kind,
        "question": question,
        "choices": classes(choices, [place.answer for place in placed], kind, table.names),
    }
    return _samples(table, placed, split, fixed, {"source": name, "restricted": restricted}, drops)


def describe(
    source, *, columns=None, images=None, keep=(), name: str = "custom", revision=None, about=None, **_
) -> dict:
    """The facts for the data card: the columns used, and what `about` adds."""
    table = Table(source, columns, images, keep, revision)
    given = {key: value for key, value in dict(about or {}).items() if value}
    notes = [*given.pop("notes", []), *([] if "group" in table.names else [NO_GROUPS])]
    where = f"{source} at revision {revision or 'main'}" if hub.is_hub_id(source) else Path(source).name
    facts = {"source": name, "file": where, "columns": table.names, "images": table.images_seen()}
    return {**facts, "licence": "not given", **given, "notes": notes}


def reports(source, *, drops: Drops | None = None, restricted: bool = False, **params) -> Iterator[dict]:
    """The reports of the column `report`, each once for its group: id (of its first row), text, study, split, restricted."""
    table = Table(
        source,
        *(params.get(name) for name in ("columns", "images")),
        params.get("keep", ()),
        params.get("revision"),
    )
    shares = {"test": params.get("test_share", 0.2), "val": params.get("val_share", 0.1)}
    if "report" in table.names:
        seed, told = params.get("split_seed", 0), Drops() if drops is None else drops
        placed = places(table.named(), table.names, table.images, shares, seed, told)
        yield from (
            {**found, "restricted": restricted}
            for found in reported(table.read(), table.names["report"], placed)
        )


def main(argv=None) -> int:
    """The exit code of preparing it by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument("--columns", nargs="+", metavar="FIELD=COLUMN", help=f"of {', '.join(FIELDS)}")
        parser.add_argument("--kind", choices=KINDS, help="how answers are read (default: label)")
        parser.add_argument("--question", help="asked of every row without a question of its own")
        parser.add_argument(
            "--choices", nargs="+", metavar="NAME", help="the classes, in order (default: all answers)"
        )
        parser.add_argument(
            "--images", metavar="DIR", help="where image paths start (default: the table's folder)"
        )
        parser.add_argument("--keep", nargs="+", metavar="COLUMN", help="columns to keep in meta")
        parser.add_argument("--name", help="name of the set in rows and results (default: custom)")
        parser.add_argument(
            "--restricted", action="store_true", help="never send these rows to a third party"
        )
        parser.add_argument("--val-share", type=float, help="share of groups for val (default: 0.1)")
        parser.add_argument("--test-share", type=float, help="share of groups for test (default: 0.2)")
        parser.add_argument("--split-seed", type=int, help="which groups are in which split (default: 0)")
        parser.add_argument("--revision", help="of a Hub repository (default: main)")

    return command.run("custom", argv, add_options)


def _samples(
    table: Table, placed: list[Place], split: str, fixed: dict, common: dict, drops: Drops
) -> Iterator[Sample]:
    def sample(one: tuple[Mapping, Place], drops: Drops) -> Sample | None:
        row, place = one
        try:
            return sample_of(row, place, table, fixed, common, drops)
        except BadOptions as error:
            return drops.add(place.row, str(error))

    pairs = zip(table.read(), placed, strict=True)
    return ahead.rows(sample, ((row, place) for row, place in pairs if place.split == split), drops)
