"""Reader `prepared`: a folder that a preparation wrote, read again (conf/data=prepared).

Its rows go through the run's own preparation: prompt, shots and limits are the run's, and its card keeps what
the folder's card says of the source, of rows left out and of warnings. What the rows hold already and the run
asks otherwise is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.data.reports import read_reports
from medical_rl.errors import UserError
from medical_rl.sample import Sample

# Ends the sentence of rows repeated to fill a batch: the copies are left out here, and made anew.
REPEATED = "to fill one batch."


def splits_in(source) -> list[str]:
    """The splits of the folder, in their order."""
    return [Path(name).stem for name in read_card(source)["files"] if name != REPORTS]


def rows(source, split: str, *, allow_leaks: bool = False) -> Iterator[Sample]:
    """The samples of a split without the copies that filled a batch; `allow_leaks` is for `prepare`."""
    for sample in read_samples(Path(source).expanduser() / f"{split}.parquet"):
        if not sample.meta.get("copy"):
            yield sample


def describe(source, **params) -> dict:
    """What the folder's card says of its source, and which preparation it is."""
    card = read_card(source)
    return {**card["about"], "prepared": {"recipe": card["recipe"], "files": card["files"]}}


def reports(source, *, drops=None, **params) -> Iterator[dict]:
    """The folder's reports, where it has any."""
    path = Path(source).expanduser() / REPORTS
    for report in read_reports(path) if path.is_file() else ():
        yield vars(report) | {"study": report.group}


def read_card(source) -> dict:
    """The folder's card, whose files are as it says.

    Raises UserError for a folder without one, or with a file that is another than the card's.
    """
    folder = Path(source or "").expanduser()
    card = cards.read_card(folder)
    if not source or not isinstance(card.get("files"), dict) or "about" not in card:
        raise UserError(
            f"{folder.absolute()} is no prepared folder: it has no card.json that a preparation wrote. Give "
            "one that `python -m data_preprocess.<dataset> --out DIR` or a run (RUN/data) wrote as "
            "conf.data.source=DIR, or choose the set itself: conf/data=<set>."
        )
    if "images" not in card:
        raise UserError(
            f"{folder.absolute()} was prepared by an earlier version, whose images decoders may see "
            "differently (turned, or transparent). Prepare it again."
        )
    for name in card["files"]:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is not there, and the card beside it lists it. Prepare again.")
    return card


def earlier_card(source, data: Mapping, prompt: Mapping) -> dict:
    """The folder's card for a run with these settings, its `changes` with a word of what the run changes.

    Raises UserError where a file is not the card's, and where the rows hold other knowledge than is asked.
    """
    card, folder = read_card(source), Path(source).expanduser()
    for name, checksum in card["files"].items():
        if cards.sha256(folder / name) != checksum:
            raise UserError(
                f"{folder / name} is not the file that its card.json tells of. Prepare the folder again."
            )
    held, asked = (card.get("knowledge") or {}).get("name"), data.get("knowledge") or {}
    if held and str(asked.get("name", "")) != held:
        raise UserError(
            f"The rows of {folder} were prepared with the visual attributes {held!r}, and this run asks for "
            f"{asked.get('name') or 'none'!r}: choose conf/knowledge={held}, or prepare the set again."
        )
    changes = [sentence for sentence in card.get("changes", []) if not sentence.endswith(REPEATED)]
    outcome, asked = card.get("outcome"), data.get("outcome")
    if asked and asked != outcome:
        told = f"that of the set is {outcome!r}" if outcome else "the set's card names none"
        changes.append(f"The outcome term of this run is {asked!r} (conf.data.outcome); {told}.")
    if card.get("prompt") != prompt.get("name", ""):
        changes.append(
            f"The rows were prepared with the prompt {card.get('prompt')!r}; they are asked with this run's, "
            f"{prompt.get('name', '')!r}."
        )
    return {**card, "changes": changes}
