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

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medical_rl.data.options import BadOptions
from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import hub
from medical_rl.data.sources.files import checked_image, read_image
from medical_rl.data.sources.tables import SPLIT_NAMES, split_of_word
from medical_rl.data_preprocess.custom import splits
from medical_rl.data_preprocess.custom.table import FIELDS, Table, answer_of, classes, image_value, items
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import KINDS, Sample

SPLITS = tuple(SPLIT_NAMES)
NO_GROUPS = (
    "No group column was given: only rows that share an image are kept together, and a patient may be in two "
    "splits."
)


@dataclasses.dataclass
class Source:
    """One source, opened for a preparation: its table is read, and its splits are drawn, once.

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

    source: str | Path | None
    _: dataclasses.KW_ONLY
    columns: Mapping | Sequence[str] | None = None
    kind: str = "label"
    question: str | None = None
    choices: Sequence | None = None
    images: str | None = None
    keep: Sequence[str] = ()
    name: str = "custom"
    restricted: bool = False
    val_share: float = 0.1
    test_share: float = 0.2
    split_seed: int = 0
    revision: str | None = None
    about: Mapping | None = None

    @functools.cached_property
    def _table(self) -> Table:
        return Table(self.source, self.columns, self.images, self.keep, self.revision)

    def describe(self) -> dict:
        """The facts for the data card: the columns used, and what `about` adds."""
        about = {key: value for key, value in dict(self.about or {}).items() if value}
        notes = list(about.pop("notes", []))
        if "group" not in self._table.names:
            notes.append(NO_GROUPS)
        file = f"{self.source} at revision {self.revision or 'main'}"
        return {
            "source": self.name,
            "file": file if hub.is_hub_id(self.source) else Path(self.source).name,
            "columns": self._table.names,
            "images": self._table.image_state(),
            "licence": "not given",
            **about,
            "notes": notes,
        }

    def rows(self, split: str, drops: Drops) -> Iterator[Sample]:
        """The samples of one split, streamed; what cannot be used goes to `drops` with its reason."""
        check_known("split", split, SPLIT_NAMES)
        check_known("kind of answer", self.kind, KINDS)
        if "question" not in self._table.names and not self.question:
            raise UserError(
                f"Which column holds the question? The source has {', '.join(self._table.columns)}; write "
                "columns.question=COLUMN, or give one question for all rows: question='What does this "
                "image show?'."
            )
        placed_rows = self._placed_rows(drops)
        chosen = (pair for pair in placed_rows if pair[1].split == split)
        return parallel_map(self._sample, chosen, drops)

    def reports(self, drops: Drops) -> Iterator[dict]:
        """The reports of the column `report`, each once for its group, with the id of its first row."""
        if "report" not in self._table.names:
            return
        reports = set()
        for row, place in self._placed_rows(drops):
            text = str(row.get(self._table.names["report"]) or "").strip()
            if text and split_of_word(place.split) and (place.group, text) not in reports:
                reports.add((place.group, text))
                yield {
                    "id": place.id, "text": text, "study": place.group, "split": place.split,
                    "restricted": self.restricted,
                }  # fmt: skip

    @functools.cached_property
    def _draw(self) -> tuple[list[splits.Place], tuple[str, ...], Drops]:
        """The place of every row, the classes of the answers, and the rows that have no place."""
        drops = Drops()
        shares = {"test": self.test_share, "val": self.val_share}
        places = splits.places(self._table, shares, self.split_seed, drops)
        answers = {place.answer for place in places}
        return places, classes(self.choices, answers, self.kind, self._table.names), drops

    def _placed_rows(self, drops: Drops) -> Iterator[tuple[Mapping, splits.Place]]:
        places, _, without_place = self._draw
        drops.take(without_place)
        return zip(self._table.rows(), places, strict=True)

    def _sample(self, pair: tuple[Mapping, splits.Place], drops: Drops) -> Sample | None:
        """The sample of one row; None, told to `drops`, where a cell or an image cannot be used."""
        try:
            return self._read(*pair, drops)
        except BadOptions as error:
            return drops.add(pair[1].row, str(error))

    def _read(self, row: Mapping, place: splits.Place, drops: Drops) -> Sample | None:
        cells = {"kind": self.kind, "question": self.question, "choices": self._draw[1]}
        for field, column in self._table.names.items():
            if row.get(column) not in (None, ""):
                cells[field] = row[column]
        kind, question = str(cells["kind"] or ""), str(cells["question"] or "").strip()
        if kind not in KINDS:
            raise BadOptions(f"its kind is none of {', '.join(KINDS)}")
        if not question:
            raise BadOptions("it has no question")
        pictures = []
        for cell in items(cells.get("image")):
            value = image_value(cell)
            if isinstance(value, bytes):
                pictures.append(checked_image(value, place.row, drops))
            else:
                pictures.append(read_image(self._table.folder, str(value), place.row, drops))
        if not pictures or None in pictures:
            return drops.add(place.row, "it has no image")
        sizes = list(map(image_size, pictures))
        answer, choices = answer_of(kind, cells.get("answer"), items(cells["choices"]), sizes)
        meta = {column: row.get(column) for column in self._table.keep}
        for field in ("report", "thought"):
            if cells.get(field):
                meta[field] = str(cells[field])
        return Sample(
            id=place.id, source=self.name, question=question, kind=kind, answer=answer, choices=choices,
            images=tuple(pictures), group=place.group, split=place.split, restricted=self.restricted,
            concepts=tuple(map(str, items(cells.get("concepts")))),
            knowledge=str(cells.get("knowledge") or ""), size=sizes[0], meta=meta,
        )  # fmt: skip


open_source = Source


def rows(source, split: str, *, drops: Drops | None = None, **params) -> Iterator[Sample]:
    """The samples of one split, streamed; what cannot be used goes to `drops`. `params` are Source's."""
    return Source(source, **params).rows(split, drops or Drops())


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
