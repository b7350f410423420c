"""Your own data: a table (CSV, TSV, JSON, JSON lines, parquet), class folders, or a set on the Hub.

Source: yours. Licence: yours; give both for the card (`about`). De-identify first: an id, a group, a path or
a question with a name in it is copied into the prepared rows.
One row: image "scans/0001.png", question "Is there a fracture?", kind "yes_no", answer "yes", group "patient
17".
What the splits do not prove: without a group column only rows that share an image are kept together, so one
patient may be in two splits; with your own split column nothing is moved, and `python -m medical_rl.data
check` tells what is shared.

A column is found by its name (id, image, question, answer, kind, choices, group, split, knowledge, concepts,
thought, report) or named with `columns`. Several images, choices or concepts in a cell are a JSON list or are
cut at "|".
"""

import functools
from collections.abc import Iterator

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import command
from medical_rl.data.sources.tables import SPLIT_NAMES
from medical_rl.data_preprocess.custom.source import Source
from medical_rl.data_preprocess.custom.table import FIELDS
from medical_rl.sample import KINDS, Sample

SPLITS = tuple(SPLIT_NAMES)
open_source = Source


def rows(
    source, split: str, *, columns=None, kind: str = "label", question: str | None = None, choices=None,
    images=None, keep=(), name: str = "custom", restricted: bool = False, val_share: float = 0.1,
    test_share: float = 0.2, split_seed: int = 0, revision: str | None = None, about=None,
    drops: Drops | None = None,
) -> Iterator[Sample]:  # fmt: skip
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
    opened = Source(
        source, columns, kind, question, choices, images, keep, name, restricted, val_share, test_share,
        split_seed, revision, about,
    )  # fmt: skip
    return opened.rows(split, drops or Drops())


def describe(source, **params) -> dict:
    """The facts for the data card: the columns used, and what `about` adds."""
    return Source(source, **params).describe()


def reports(source, *, drops: Drops | None = None, **params) -> Iterator[dict]:
    """The reports of the column `report`, each once for its group: id, text, study, split, restricted."""
    return Source(source, **params).reports(drops or Drops())


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    add = parser.add_argument
    add("--columns", nargs="+", metavar="FIELD=COLUMN", help=f"of {', '.join(FIELDS)}")
    add("--kind", choices=KINDS, help="how answers are read (default: label)")
    add("--question", help="asked of every row without a question of its own")
    add("--choices", nargs="+", metavar="NAME", help="the classes, in order (default: all answers)")
    add("--images", metavar="DIR", help="where image paths start (default: the table's folder)")
    add("--keep", nargs="+", metavar="COLUMN", help="columns to keep in meta")
    add("--name", help="name of the set in rows and results (default: custom)")
    add("--restricted", action="store_true", help="never send these rows to a third party")
    add("--revision", help="of a Hub repository (default: main)")
    command.add_split_options(parser, val=0.1, test=0.2)


main = functools.partial(command.run, "custom", add_options=add_options)
