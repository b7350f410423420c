"""`Report`, one written report that may be retrieved, and their file: `<data>/reports.parquet`.

A prepared set has it beside its splits where its source has reports (MEDFACT-R1, RULE): a reader that has
them has a function `reports(source, *, drops=None, **params)` which yields dicts: id, text and study, and
where they apply group (patient), split, restricted and images. A report's `split` is part of the record: the
retriever's corpus is the training part alone, and a tested study's own report is only there to be kept out.
"""

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records
from medical_rl.data.rows import Drops
from medical_rl.data.sources.tables import split_of_word
from medical_rl.errors import UserError

FILE = "reports.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("restricted", pa.bool_()),
        ("images", pa.list_(pa.binary())),
    ]
)
TRAINING = ("", "train", "warm_start")


@dataclasses.dataclass(frozen=True)
class Report:
    """One report.

    id          unique within the corpus
    text        what it says
    group       its patient, lesion or study, named as the rows' `Sample.group` is
    split       train (it may be retrieved), val or test (its study is chosen by or tested on)
    restricted  True if a data use agreement forbids sending it to a third party
    images      encoded image files of its study, () where they are not kept
    """

    id: str
    text: str
    group: str
    split: str = ""
    restricted: bool = False
    images: tuple[bytes, ...] = ()


def write_reports(reports: Iterable[Report], path: Path | str) -> dict:
    """Write reports, streamed and atomic; return {"reports": n, "restricted": n, "splits": {split: n}}."""
    splits: collections.Counter[str] = collections.Counter()
    restricted = 0

    def records() -> Iterator[dict]:
        nonlocal restricted
        for report in reports:
            splits[report.split] += 1
            restricted += report.restricted
            yield vars(report)

    written = write_records(records(), path, SCHEMA)
    return {"reports": written, "restricted": restricted, "splits": dict(sorted(splits.items()))}


def read_reports(path: Path | str, with_images: bool = True) -> Iterator[Report]:
    """The reports of a file in order, a row group in memory at a time.

    Raises UserError where it is no such file.
    """
    columns = SCHEMA.names if with_images else [name for name in SCHEMA.names if name != "images"]
    for row in read_records(path, SCHEMA, columns):
        row["images"] = tuple(row.get("images") or ())
        yield Report(**row)


def report_paths(data: Mapping) -> list[Path]:
    """The files and folders of `conf.data.reports`, as they are or below the source; [] if none is named.

    Raises UserError for one that is not there.
    """
    names = data.get("reports") or ()
    paths = []
    for name in [names] if isinstance(names, str) else names:
        path = Path(os.path.expanduser(name))
        inside = Path(os.path.expanduser(data.get("source") or "")) / path
        if not (path.exists() or inside.exists()):
            raise UserError(
                f"There are no reports at {path.absolute()} (conf.data.reports, --reports), nor at {inside}."
            )
        paths.append(path if path.exists() else inside)
    return paths


def write_corpus(
    reader: ModuleType,
    source,
    data: Mapping,
    restricted: bool,
    studies: Mapping[str, str],
    folder: Path,
    drops: Drops,
) -> dict | None:
    """Write the reports to `folder`, and return their counts for the card; None where there are none.

    source      what `readers.open_source` gives; its reports are used where `conf.data.reports` names none
    restricted  whether the source is; a report may be of itself
    studies     {patient or study: split} of all rows read, those that shots or limit left out included

    Raises UserError where reports are asked for by name and there are none.
    """
    paths = report_paths(data)
    has_reports = hasattr(reader, "reports")
    if paths and not has_reports:
        raise UserError(
            f"The reader {data['reader']} knows no reports, and conf.data.reports (--reports) names some. "
            "Readers that do: iu_xray, fairvlmed, mimic_cxr, custom (a column `report`) and phantom_reports."
        )
    if not has_reports or data.get("reports") is False:
        return None
    if paths:
        params = data.get("params") or {}
        entries = itertools.chain.from_iterable(reader.reports(p, drops=drops, **params) for p in paths)
    else:
        entries = source.reports(drops)
    facts = write_reports(_reports(entries, studies, restricted, drops), folder / FILE)
    if facts["reports"]:
        return facts
    (folder / FILE).unlink()
    if paths:
        raise UserError(f"There is no report in {', '.join(map(str, paths))} (conf.data.reports, --reports).")
    return None


def report_split(stated: str, ours: str) -> str:
    """A report's split: held out where its own source or our rows hold its study out, else train.

    >>> report_split("test", "train"), report_split("validate", ""), report_split("", "warm_start")
    ('test', 'val', 'train')
    """
    if stated.strip().lower() == "validate":
        stated = "val"
    for split in (ours, split_of_word(stated) or stated):
        if split not in TRAINING:
            return split
    return "train"


def _reports(
    entries: Iterable[Mapping], studies: Mapping[str, str], restricted: bool, drops: Drops
) -> Iterator[Report]:
    ids: set[str] = set()
    for entry in entries:
        name, text = str(entry["id"]), " ".join(str(entry["text"] or "").split())
        group = str(entry.get("group") or entry["study"])
        if not text or name in ids:
            drops.add(f"report {name}", "the id of its report came before" if text else "its report is empty")
            continue
        ids.add(name)
        ours = studies.get(group) or studies.get(str(entry["study"])) or ""
        yield Report(
            id=name,
            text=text,
            group=group,
            split=report_split(str(entry.get("split") or ""), ours),
            restricted=bool(entry.get("restricted") or restricted),
            images=tuple(entry.get("images") or ()),
        )
