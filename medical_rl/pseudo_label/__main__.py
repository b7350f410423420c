"""`python -m medical_rl.pseudo_label read FILE --out OUT`: questions answered as the rule labeller reads."""

import argparse
import collections
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 done, 2 the file is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m medical_rl.pseudo_label",
        description="Answer yes/no questions from reports, as the rule labeller reads: no model, no network.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser("read", help="answer each line's question from its report")
    read.add_argument("file", type=Path, help="a JSON Lines file, each line with `question` and `report`")
    out = "where each line goes with `answer` (yes, no, or null) and `sentences`, those that it rests on"
    read.add_argument("--out", type=Path, required=True, help=out)
    arguments = parser.parse_args(argv)
    try:
        print(read_file(arguments.file, arguments.out))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def read_file(file: Path, out: Path) -> str:
    """Write each line of `file` to `out`, atomically, with `answer` and `sentences`; returns what to print.

    A line's own `answer` is kept as `given_answer`. Raises UserError for a file or line that cannot be read.
    """
    from medical_rl.run.files import write_text

    if out.exists() and out.samefile(file):
        raise UserError(f"--out {out} is the file itself, which would be overwritten; give another name.")
    lines = list(_answered(file))
    if not lines:
        raise UserError(f"{file.absolute()} has no lines: each is an object with `question` and `report`.")
    try:
        # ASCII: half a surrogate pair, which JSON can hold, has no UTF-8
        write_text(out, "".join(f"{json.dumps(line)}\n" for line in lines), encoding="ascii")
    except OSError as error:
        raise UserError(f"The answers cannot be written to {out}: {error.strerror or error}.") from error
    counts = collections.Counter(line["answer"] for line in lines)
    told = (
        f"{len(lines):,} questions: {counts['yes']:,} yes, {counts['no']:,} no, {counts[None]:,} without an "
        f"answer (the report says neither, or leaves it in doubt). Written to {out}."
    )
    agreed = []  # of the answered lines with a yes or no of their own
    for line in lines:
        own = re.match(r"\W*(yes|no)\b", str(line.get("given_answer", "")).casefold())
        if line["answer"] and own:
            agreed.append(own[1] == line["answer"])
    if agreed:
        told += f" {sum(agreed):,} of {len(agreed):,} agree with the line's own answer (`given_answer`)."
    return told


def _answered(file: Path) -> Iterator[dict[str, Any]]:
    from medical_rl.data.sources.tables import read_lines
    from medical_rl.parsing.assertion import AFFIRMED, NEGATED
    from medical_rl.pseudo_label.report_reader.questions import query
    from medical_rl.pseudo_label.report_reader.reading import read_report

    answers = {AFFIRMED: "yes", NEGATED: "no"}
    for number, line in read_lines(file):
        texts = [None, None] if line is None else [line.get("question"), line.get("report")]
        if not all(isinstance(text, str) for text in texts):
            has = "no JSON object" if line is None else f"an object with {', '.join(line) or 'nothing'}"
            needed = "each line needs `question` and `report`, both text"
            raise UserError(f"Line {number} of {file.absolute()} is {has}; {needed}.")
        verdict = read_report(query(texts[0]), texts[1])
        if "answer" in line:
            line["given_answer"] = line["answer"]
        yield {**line, "answer": answers.get(verdict.state), "sentences": list(verdict.sentences)}


if __name__ == "__main__":
    sys.exit(main())
