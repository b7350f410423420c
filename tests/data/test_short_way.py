"""The short way of a row: while one set is prepared its table is opened once, and its splits are drawn once."""

import sys

import pytest

from medical_rl.data.prepare import prepare, readers
from medical_rl.data_preprocess.custom import splits

_opened: list[str] = []


def _note_opening(event, arguments):
    if event == "open":
        _opened.append(str(arguments[0]))


@pytest.fixture(scope="module")
def openings():
    """The paths of all files that this process opens, in order."""
    sys.addaudithook(_note_opening)  # such a hook cannot be taken away again
    return _opened


@pytest.fixture
def table(put, image_bytes):
    """A CSV of 60 rows, two a patient, with their images."""
    lines = ["image,answer,group"]
    for number in range(60):
        put(f"{number}.png", image_bytes(seed=number))
        lines.append(f"{number}.png,{'ab'[number % 4 // 2]},patient {number // 2}")
    return put("cases.csv", "\n".join(lines) + "\n")


def test_a_table_is_opened_once_for_its_rows_and_its_splits_are_drawn_once(
    table, bare, tmp_path, monkeypatch, openings
):
    draws = []
    draw = splits.split_by_group
    monkeypatch.setattr(splits, "split_by_group", lambda *arguments: draws.append(1) or draw(*arguments))
    data = {"reader": "custom", "source": str(table), "params": {"question": "Which?"}}
    openings.clear()
    card = prepare.prepare(data, bare, tmp_path / "out", 0, 1)
    assert sum(facts["rows"] for facts in card["splits"].values()) == 60
    # Once for the rows, and once for the SHA-256 of its bytes, which is part of the fingerprint.
    assert openings.count(str(table)) == 2
    assert len(draws) == 1
    # What is prepared already is described, which reads the table once more, and hashed; nothing is drawn.
    openings.clear()
    assert prepare.prepare(data, bare, tmp_path / "out", 0, 1) == card
    assert openings.count(str(table)) == 2 and len(draws) == 1


def test_what_a_reader_opens_is_asked_in_its_order_with_one_drops(toy, three_splits, bare, tmp_path):
    data = toy(three_splits)
    reader, calls, all_drops = readers.load_reader("toy"), [], set()

    class Opened:
        def describe(self):
            calls.append("describe")
            return {"source": "toy"}

        def rows(self, split, drops):
            calls.append(split)
            all_drops.add(id(drops))
            return iter(three_splits[split])

        def reports(self, drops):
            calls.append("reports")
            all_drops.add(id(drops))
            return iter([{"id": "1", "text": "Clear.", "study": "train/0"}])

    reader.open_source = lambda source, **params: Opened()
    reader.reports = lambda source, drops=None, **params: pytest.fail("the source was opened a second time")
    card = prepare.prepare(data, bare, tmp_path / "out", 0, 1)
    assert card["reports"]["reports"] == 1
    assert calls == ["describe", "train", "val", "test", "reports"] and len(all_drops) == 1
