"""What a person sees of a preparation: a bar on a terminal, elsewhere a line every ten seconds; the rows pass untouched."""

import io
import re

import pytest
from rich.console import Console

from medical_rl.run import progress


@pytest.fixture
def shown(monkeypatch):
    """A function that gives the text shown while `n` rows pass, one every `seconds`."""

    def show(n, seconds, **options):
        clock = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])

        def rows():
            for row in range(n):
                clock[0] += seconds
                yield row

        text = io.StringIO()
        with progress.Progress(Console(file=text, width=120, **options)) as watch:
            assert list(watch.count("train", rows())) == list(range(n))
        return text.getvalue()

    return show


def test_without_a_terminal_there_is_a_line_every_ten_seconds(shown):
    lines = shown(100, 0.5).splitlines()
    # 50 s: after the 20th, 40th, ... row, two rows a second
    assert lines == [f"prepare: train, {n} rows read, 2.0 a second" for n in (20, 40, 60, 80, 100)]


def test_a_short_preparation_says_nothing_without_a_terminal(shown):
    assert shown(1000, 0.001) == ""


def test_a_terminal_gets_a_bar_with_split_rows_and_rate(shown):
    assert re.search(r"train, 1,1\d\d rows read, 100 a second", shown(1200, 0.01, force_terminal=True))
