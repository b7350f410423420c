"""`Drops`: the rows that a reader left out, and why, on their way to the data card.

A reader that may leave rows out has a keyword `drops` in `rows(source, split, *, drops=None, ...)`
and calls `drops.add(row, reason, detail)` instead of yielding the row. `prepare` hands one `Drops`
to all splits and writes its summary to card["dropped"].
"""

from collections.abc import Mapping

EXAMPLES = 5


class Drops:
    """Rows left out, each once and with one reason.

    A row that is added again, by another split's pass over the same table, keeps its first reason
    and still counts once: a reader may tell of every row it skips in every pass.

    >>> drops = Drops()
    >>> for split in ("train", "val", "test"):
    ...     drops.add("row 7", "its image is broken", "a.png ends early")
    >>> drops.summary()
    {'its image is broken': {'rows': 1, 'examples': ['row 7: a.png ends early']}}
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str]] = {}

    def add(self, row: str, reason: str, detail: str = "") -> None:
        """Add a row, named as in its source: `reason` is one of a few (counted), `detail` the row's own."""
        self._rows.setdefault(row, (reason, detail))

    def take(self, other: "Drops") -> None:
        """Add the rows of `other`, in their order."""
        for row, (reason, detail) in other._rows.items():
            self.add(row, reason, detail)

    def summary(self) -> dict[str, dict]:
        """{reason: {"rows": how many, "examples": the first few}}, the commonest reason first."""
        found: dict[str, dict] = {}
        for row, (reason, detail) in self._rows.items():
            entry = found.setdefault(reason, {"rows": 0, "examples": []})
            entry["rows"] += 1
            if len(entry["examples"]) < EXAMPLES:
                entry["examples"].append(f"{row}: {detail}" if detail else row)
        return dict(sorted(found.items(), key=lambda item: -item[1]["rows"]))


def drop_sentences(dropped: Mapping[str, Mapping]) -> list[str]:
    """A sentence for each reason of a summary.

    >>> drop_sentences({"its image is broken": {"rows": 1, "examples": ["row 7"]}})
    ['Dropped 1 row: its image is broken (row 7).']
    """
    lines = []
    for reason, entry in dropped.items():
        shown = "; ".join(entry["examples"]) + ("; ..." if entry["rows"] > len(entry["examples"]) else "")
        lines.append(f"Dropped {entry['rows']:,} row{'s' * (entry['rows'] != 1)}: {reason} ({shown}).")
    return lines
