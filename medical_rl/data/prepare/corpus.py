"""The report corpus of a dataset while it is prepared: what its reader gives, each report with its split.

A reader that has reports has a function `reports(source, *, drops=None, **params)` which yields dicts: id, text and study, and
where they apply group (patient), split, restricted and images. It yields none where its source holds none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from medical_rl.data.drops import Drops
from medical_rl.data.prepare.leaks import Tally
from medical_rl.data.reports import FILE, Report, write_reports
from medical_rl.data.sources.tables import split_named
from medical_rl.errors import UserError
from medical_rl.sample import is_restricted

TRAINING = ("train", "warm_start")
AGAIN = "the id of its report came before"
EMPTY = "its report is empty"


def named(data: Mapping) -> list[Path]:
    """The files and folders of `conf.data.reports`, as they are or below the source; [] where none is named.

    Raises UserError for one that is not there.
    """
    given = data.get("reports")
    found = []
    for name in [given] if isinstance(given, str) else list(given or ()):
        path = Path(os.path.expanduser(name))
        inside = Path(os.path.expanduser(data.get("source") or "")) / path
        if not (path.exists() or inside.exists()):
            raise UserError(
                f"There are no reports at {path.absolute()} (conf.data.reports, --reports), nor at {inside}."
            )
        found.append(path if path.exists() else inside)
    return found


def write(
    reader: ModuleType,
    data: Mapping,
    about: Mapping,
    tallies: Mapping[str, Tally],
    folder: Path,
    drops: Drops,
) -> dict | None:
    """What the card says of the reports written to `folder`: `write_reports`' counts; None where the source has none.

    Raises UserError where reports are asked for by name and there are none.
    """
    give, asked = getattr(reader, "reports", None), named(data)
    if give is None and asked:
        raise UserError(
            f"The reader {data['reader']} knows no reports, and conf.data.reports (--reports) names some. Readers that do: "
            "iu_xray, fairvlmed, mimic_cxr, custom (a column `report`) and phantom_reports."
        )
    if give is None or data.get("reports") is False:
        return None
    facts = write_reports(
        _reports(give, asked or [data.get("source")], data, about, placed(tallies), drops), folder / FILE
    )
    if facts["reports"]:
        return facts
    (folder / FILE).unlink()
    if asked:
        raise UserError(f"There is no report in {', '.join(map(str, asked))} (conf.data.reports, --reports).")
    return None


def placed(tallies: Mapping[str, Tally]) -> dict[str, str]:
    """{patient or study: split} of all rows that were read, those left out by choice (shots, limit) included."""
    return {name: split for split, tally in tallies.items() for name in tally.studies}


def split_of(stated: str, ours: str) -> str:
    """A report's split: held out where its own source or our rows hold its study out, else train.

    >>> split_of("test", "train"), split_of("train", "val"), split_of("", "warm_start"), split_of("validate", "")
    ('test', 'val', 'train', 'val')
    """
    stated = split_named(stated) or ("val" if stated.strip().lower() == "validate" else stated)
    return next((split for split in (ours, stated) if split and split not in TRAINING), "train")


def _reports(
    give, sources: list, data: Mapping, about: Mapping, studies: dict, drops: Drops
) -> Iterator[Report]:
    seen: set[str] = set()
    restricted = about.get("restricted") or is_restricted(str(about.get("source", "")))
    for source in sources:
        for entry in give(source, drops=drops, **(data.get("params") or {})):
            name, text = str(entry["id"]), " ".join(str(entry["text"] or "").split())
            group = str(entry.get("group") or entry["study"])
            if not text or name in seen:
                drops.add(f"report {name}", AGAIN if text else EMPTY)
                continue
            seen.add(name)
            ours = studies.get(group) or studies.get(str(entry["study"])) or ""
            yield Report(
                id=name,
                text=text,
                group=group,
                split=split_of(str(entry.get("split") or ""), ours),
                restricted=bool(entry.get("restricted") or restricted),
                images=tuple(entry.get("images") or ()),
            )
