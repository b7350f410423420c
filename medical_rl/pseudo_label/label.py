"""A question with its retrieved reports, what a labeller made of it, and the file of labels."""

import dataclasses
import json
import operator
from collections.abc import Iterable, Iterator
from pathlib import Path

from medical_rl.data.reports import Report
from medical_rl.data.sources import tables
from medical_rl.errors import UserError
from medical_rl.run.files import replacing
from medical_rl.sample import Sample

ANSWERS = ("yes", "no")
OUTCOMES = ("answered", "abstained", "unparsed", "failed")


@dataclasses.dataclass(frozen=True)
class LabelQuestion:
    """A yes/no question and the reports that may help, the most similar first; () asks without any."""

    sample: Sample
    reports: tuple[Report, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether the row or any of its reports may not be sent to a third party."""
        return self.sample.restricted or any(report.restricted for report in self.reports)

    @property
    def report_ids(self) -> tuple[str, ...]:
        """The ids of the reports, in order."""
        return tuple(map(operator.attrgetter("id"), self.reports))


@dataclasses.dataclass(frozen=True)
class Label:
    """A pseudo-label.

    id          of the row
    answer      "yes", "no", or None
    rationale   why, in sentences; "" where there is no answer
    retrieved   ids of the reports it was given, the most similar first
    confidence  in [0, 1]; None where the labeller has none
    failed      why the labeller gave nothing (an endpoint was down, say); None where it did
    unparsed    a model replied, and no answer could be read: an abstention that is counted by itself
    used        ids of those reports that it names as its grounds
    """

    id: str
    answer: str | None
    rationale: str = ""
    retrieved: tuple[str, ...] = ()
    confidence: float | None = None
    failed: str | None = None
    unparsed: bool = False
    used: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """One of OUTCOMES: what went wrong, if anything did, before what was answered."""
        if self.failed is not None:
            return "failed"
        if self.answer in ANSWERS:
            return "answered"
        return "unparsed" if self.unparsed else "abstained"


def write_labels(labels: Iterable[Label], path: Path) -> int:
    """Write the labels to `path`, one JSON object a line, atomically; returns their number."""
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for label in labels:
            line = json.dumps(dataclasses.asdict(label), ensure_ascii=False)
            # Lone surrogates, which a model can emit and UTF-8 cannot hold, become question marks.
            file.write(line.encode("utf-8", "replace").decode("utf-8") + "\n")
            count += 1
    return count


def read_labels(path: Path) -> Iterator[Label]:
    """The labels of a file that `write_labels` wrote. Raises UserError naming the line that is none."""
    names = set(map(operator.attrgetter("name"), dataclasses.fields(Label)))
    # Lines end at "\\n" alone: str.splitlines would also break at U+2028, which JSON leaves as it is.
    for number, record in tables.read_lines(path):
        if record is None or set(record) - names or "id" not in record or "answer" not in record:
            raise UserError(
                f"Line {number} of {Path(path).absolute()} is no label: it needs {', '.join(sorted(names))}."
            )
        for name in ("retrieved", "used"):
            record[name] = tuple(record.get(name, ()))
        yield Label(**record)
