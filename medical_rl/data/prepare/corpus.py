"""The report corpus of a dataset: what its reader gives, each report with its split.

A reader that has reports has a function `reports(source, *, drops=None, **params)` which yields dicts: id,
text and study, and where they apply group (patient), split, restricted and images. It yields none where its
source holds none.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from medical_rl.data.drops import Drops
from medical_rl.data.prepare.leaks import LeakCheck
from medical_rl.data.reports import FILE, Report, write_reports
from medical_rl.data.sources.tables import split_of_word
from medical_rl.errors import UserError
from medical_rl.sample import is_restricted

TRAINING = ("", "train", "warm_start")
AGAIN = "the id of its report came before"
EMPTY = "its report is empty"


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
    about: Mapping,
    checks: Mapping[str, LeakCheck],
    folder: Path,
    drops: Drops,
) -> dict | None:
    """Write the reports to `folder`, and return their counts for the card; None where there are none.

    source  what `readers.open_source` gives; its reports are used where `conf.data.reports` names none

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
    restricted = about.get("restricted") or is_restricted(str(about.get("source", "")))
    facts = write_reports(_reports(entries, study_splits(checks), bool(restricted), drops), folder / FILE)
    if facts["reports"]:
        return facts
    (folder / FILE).unlink()
    if paths:
        raise UserError(f"There is no report in {', '.join(map(str, paths))} (conf.data.reports, --reports).")
    return None


def study_splits(checks: Mapping[str, LeakCheck]) -> dict[str, str]:
    """{patient or study: split} of all rows read, those that shots or limit left out included."""
    splits = {}
    for split, check in checks.items():
        splits |= dict.fromkeys(check.studies, split)
    return splits


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
            drops.add(f"report {name}", AGAIN if text else EMPTY)
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
