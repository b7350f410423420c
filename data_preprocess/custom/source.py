"""A user's set opened once: its card, and its rows as samples, each cell read and each image opened."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare import parallel
from medical_rl.data.sources import hub
from medical_rl.data.sources.files import checked_image, read_image
from medical_rl.data.sources.tables import SPLIT_NAMES, split_of_word
from medical_rl.data_preprocess.custom import splits
from medical_rl.data_preprocess.custom.cells import answer_of, image_value, items
from medical_rl.data_preprocess.custom.table import Table, classes
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import KINDS, Sample

NO_GROUPS = (
    "No group column was given: only rows that share an image are kept together, and a patient may be in two "
    "splits."
)


@dataclass
class Source:
    """One source, with the parameters of `rows`: its table is opened, and its splits are drawn, once."""

    source: str | Path | None
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
    def table(self) -> Table:
        """The table, opened when it is first asked for."""
        return Table(self.source, self.columns, self.images, self.keep, self.revision)

    def describe(self) -> dict:
        """The facts for the data card: the columns used, and what `about` adds."""
        about = {key: value for key, value in dict(self.about or {}).items() if value}
        notes = list(about.pop("notes", []))
        if "group" not in self.table.names:
            notes.append(NO_GROUPS)
        of_hub = hub.is_hub_id(self.source)
        return {
            "source": self.name,
            "file": f"{self.source} at revision {self.revision or 'main'}"
            if of_hub
            else Path(self.source).name,
            "columns": self.table.names,
            "images": self.table.image_state(),
            "licence": "not given",
            **about,
            "notes": notes,
        }

    def rows(self, split: str, drops: Drops) -> Iterator[Sample]:
        """The samples of one split, streamed; what cannot be used goes to `drops` with its reason."""
        check_known("split", split, SPLIT_NAMES)
        check_known("kind of answer", self.kind, KINDS)
        if "question" not in self.table.names and not self.question:
            raise UserError(
                f"Which column holds the question? The source has {', '.join(self.table.columns)}; write "
                "columns.question=COLUMN, or give one question for all rows: question='What does this "
                "image show?'."
            )
        placed_rows = self._placed_rows(drops)
        chosen = (pair for pair in placed_rows if pair[1].split == split)
        return parallel.parallel_map(self._sample, chosen, drops)

    def reports(self, drops: Drops) -> Iterator[dict]:
        """The reports of the column `report`, each once for its group, with the id of its first row."""
        if "report" not in self.table.names:
            return
        reports = set()
        for row, place in self._placed_rows(drops):
            text = str(row.get(self.table.names["report"]) or "").strip()
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
        places = splits.places(self.table, shares, self.split_seed, drops)
        answers = {place.answer for place in places}
        return places, classes(self.choices, answers, self.kind, self.table.names), drops

    def _placed_rows(self, drops: Drops) -> Iterator[tuple[Mapping, splits.Place]]:
        places, _, without_place = self._draw
        drops.take(without_place)
        return zip(self.table.rows(), places, strict=True)

    def _sample(self, pair: tuple[Mapping, splits.Place], drops: Drops) -> Sample | None:
        """The sample of one row; None, told to `drops`, where a cell or an image cannot be used."""
        row, place = pair
        try:
            return self._read(row, place, drops)
        except BadOptions as error:
            return drops.add(place.row, str(error))

    def _read(self, row: Mapping, place: splits.Place, drops: Drops) -> Sample | None:
        cells = {"kind": self.kind, "question": self.question, "choices": self._draw[1]}
        for field, column in self.table.names.items():
            if row.get(column) not in (None, ""):
                cells[field] = row[column]
        kind, question = str(cells["kind"] or ""), str(cells["question"] or "").strip()
        if kind not in KINDS:
            raise BadOptions(f"its kind is none of {', '.join(KINDS)}")
        if not question:
            raise BadOptions("it has no question")
        pictures = []
        for cell in items(cells.get("image")):
            pictures.append(self._picture(image_value(cell), place.row, drops))
        if not pictures or None in pictures:
            return drops.add(place.row, "it has no image")
        sizes = list(map(image_size, pictures))
        answer, choices = answer_of(kind, cells.get("answer"), items(cells["choices"]), sizes)
        meta = {column: row.get(column) for column in self.table.keep}
        for field in ("report", "thought"):
            if cells.get(field):
                meta[field] = str(cells[field])
        return Sample(
            id=place.id,
            source=self.name,
            question=question,
            kind=kind,
            answer=answer,
            choices=choices,
            images=tuple(pictures),
            group=place.group,
            split=place.split,
            restricted=self.restricted,
            concepts=tuple(map(str, items(cells.get("concepts")))),
            knowledge=str(cells.get("knowledge") or ""),
            size=sizes[0],
            meta=meta,
        )

    def _picture(self, value, row: str, drops: Drops) -> bytes | None:
        """The image that a cell holds as bytes, or names as a path below the table's folder of images."""
        if isinstance(value, bytes):
            return checked_image(value, row, drops)
        return read_image(self.table.folder, str(value), row, drops)
