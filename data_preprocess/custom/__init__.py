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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medical_rl.data.options import BadOptions, text_of
from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import hub
from medical_rl.data.sources.tables import SPLIT_NAMES, split_of_word
from medical_rl.data_preprocess.custom import cells as forms
from medical_rl.data_preprocess.custom import splits
from medical_rl.data_preprocess.custom.table import FIELDS, MAX_CLASSES, Table, classes
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
    grey_levels of DICOM and 16-bit images: the file's own window, percentile (0.5 to 99.5), or [low, high]
    several     of several boxes in a row: union or largest makes one, each keeps them all; default: left out
    allow_leaks True keeps a given split that shares groups; the card and every table of results say so
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
    grey_levels: str | Sequence[float] = "window"
    several: str | None = None
    allow_leaks: bool = False
    name: str = "custom"
    restricted: bool = False
    val_share: float = 0.1
    test_share: float = 0.2
    split_seed: int = 0
    revision: str | None = None
    about: Mapping | None = None

    @functools.cached_property
    def _table(self) -> Table:
        if self.several is not None:
            check_known("way with several boxes", self.several, forms.SEVERAL)
        check_known("kind of answer", self.kind, KINDS)
        given = self.columns, self.images, self.keep, self.revision, self.kind, self.grey_levels
        return Table(self.source, *given)

    def describe(self) -> dict:
        """The facts for the data card: the columns used, and what `about` adds."""
        about = {key: value for key, value in dict(self.about or {}).items() if value}
        file = f"{self.source} at revision {self.revision or 'main'}"
        return {
            "source": self.name,
            "file": file if hub.is_hub_id(self.source) else Path(self.source).name,
            "columns": self._table.names,
            "images": self._table.image_state(),
            "licence": "not given",
            "notes": [],
            **about,
        }

    def warnings(self) -> list[str]:
        """What of the reading changes the task: no patients known, too many classes to name, several boxes."""
        warnings = [] if "group" in self._table.names else [NO_GROUPS]
        _, names, answers, _ = self._draw
        if self.kind == "label" and "choices" not in self._table.names and not names:
            warnings.append(
                f"There are {len(answers):,} different answers, over {MAX_CLASSES}: they are asked for as "
                "free text, without a list of classes in the prompt, and an answer is right where it repeats the "
                "name. params.choices (--choices) names the classes to choose from."
            )
        if self.several == "each":
            warnings.append(
                "Rows with several boxes keep them all (several=each): an answer is right that gives each of "
                "them, and the prompt must ask for each; conf/prompt=detection asks for one."
            )
        return warnings

    def rows(self, split: str, drops: Drops) -> Iterator[Sample]:
        """The samples of one split, streamed; what cannot be used goes to `drops` with its reason."""
        check_known("split", split, SPLIT_NAMES)
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
            try:
                text = text_of(self._table.cell(row, "report"), "its report")
            except BadOptions as error:
                drops.add(place.row, str(error))
                continue
            if text and split_of_word(place.split) and (place.group, text) not in reports:
                reports.add((place.group, text))
                yield {
                    "id": place.id, "text": text, "study": place.group, "split": place.split,
                    "restricted": self.restricted,
                }  # fmt: skip

    @functools.cached_property
    def _draw(self) -> tuple[list[splits.Place], tuple[str, ...], dict[str, str], Drops]:
        """The place of every row, the classes, {answer in small letters: commonest spelling}, drops."""
        drops = Drops()
        shares = {"test": self.test_share, "val": self.val_share}
        places = splits.places(self._table, shares, self.split_seed, drops)
        counts = Counter(place.answer for place in places if place.answer)
        spellings: dict[str, str] = {}
        for answer, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            spellings.setdefault(answer.casefold(), answer)
        names = classes(self.choices, spellings.values(), self.kind, self._table.names)
        return places, names, spellings, drops

    def _placed_rows(self, drops: Drops) -> Iterator[tuple[Mapping, splits.Place]]:
        places, *_, without_place = self._draw
        drops.take(without_place)
        return zip(self._table.rows(), places, strict=True)

    def _sample(self, pair: tuple[Mapping, splits.Place], drops: Drops) -> Sample | None:
        """The sample of one row; None, told to `drops`, where a cell or an image cannot be used."""
        try:
            return self._read(*pair, drops)
        except BadOptions as error:
            return drops.add(pair[1].row, str(error))

    def _read(self, row: Mapping, place: splits.Place, drops: Drops) -> Sample | None:
        table = self._table
        cell = {"kind": self.kind, "question": self.question, "choices": None}
        for field in table.names:
            value = table.cell(row, field)
            if value is not None:
                cell[field] = value
        texts = {}
        for field in ("kind", "question", "knowledge", "report", "thought"):
            texts[field] = text_of(cell.get(field), f"its {field}")
        kind, question = texts["kind"], texts["question"]
        if kind not in KINDS:
            raise BadOptions(f"its kind is none of {', '.join(KINDS)}")
        if not question:
            raise BadOptions("it has no question")
        pictures = table.pictures(row, place.row, drops)
        if not pictures or None in pictures:
            return drops.add(place.row, "it has no image")
        sizes = list(map(image_size, pictures))
        choices = self._draw[1] if cell["choices"] is None else forms.options_of(cell["choices"])
        answer, choices = forms.answer_of(kind, cell.get("answer"), choices, sizes, self.several)
        if kind == "label" and not choices:
            answer = self._draw[2].get(answer.casefold(), answer)
        meta = {column: row.get(column) for column in table.keep}
        meta |= {field: texts[field] for field in ("report", "thought") if texts[field]}
        return Sample(
            id=place.id, source=self.name, question=question, kind=kind, answer=answer, choices=choices,
            images=tuple(pictures), group=place.group, split=place.split, restricted=self.restricted,
            concepts=forms.texts_of(cell.get("concepts"), "a concept"), knowledge=texts["knowledge"],
            size=sizes[0], meta=meta,
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
    levels = "of DICOM and 16-bit images: window (the file's own), percentile, or =LOW,HIGH (default: window)"
    add("--grey-levels", metavar="LEVELS", help=levels)
    add(
        "--several", choices=forms.SEVERAL, help="of several boxes in a row (default: such a row is left out)"
    )
    add("--allow-leaks", action="store_true", help="keep a given split that shares groups; the card says so")
    add("--keep", nargs="+", metavar="COLUMN", help="columns to keep in meta")
    add("--name", help="name of the set in rows and results (default: custom)")
    add("--restricted", action="store_true", help="never send these rows to a third party")
    add("--revision", help="of a Hub repository (default: main)")
    command.add_split_options(parser, val=0.1, test=0.2)


main = functools.partial(command.run, "custom", add_options=add_options)
