"""`python -m medical_rl.rewards score FILE --out OUT conf/rewards=<mix>`: scores completions offline."""

import argparse
import json
import statistics
import sys
from collections import Counter
from operator import itemgetter
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.run.files import write_text

SHOWN = 3  # best and worst examples


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 done, 2 the file or the configuration is wrong, 1 too many terms failed."""
    parser = argparse.ArgumentParser(prog="python -m medical_rl.rewards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="score a JSONL file of completions by a reward mix")
    lines = "lines of {response, answer, kind, choices, concepts, knowledge, size}"
    score.add_argument("file", type=Path, help=lines)
    score.add_argument("--out", type=Path, help="where each line goes with its total and terms")
    settings = "conf/rewards=NAME and other settings (default: conf/rewards=vrft_aug)"
    score.add_argument("overrides", nargs="*", help=settings)
    arguments, overrides = parser.parse_known_args(argv)
    try:
        return _score(arguments.file, arguments.out, arguments.overrides + overrides)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _score(file: Path, out: Path | None, overrides: list[str]) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import track

    from medical_rl.rewards.load import load_mix
    from medical_rl.rewards.score import read_lines, score_lines

    mix, name = load_mix(overrides)
    reasons: dict[str, str] = {}
    mix.on_failed = lambda term, sample, error: reasons.__setitem__(term, str(error))
    lines = list(read_lines(file))
    if not lines:
        raise UserError(f"The completions file {file} has no lines.")
    lacking = Counter()
    for _, _, sample in lines:
        lacking.update(term for term in mix.terms if not mix.terms[term].applies(sample))
    mix.check_applied(lacking, len(lines))
    # without rich's highlighting, wrapping or markup: what a model wrote is shown as it is
    console = Console(highlight=False)
    results = score_lines(lines, mix)
    scored = list(track(results, "scoring", total=len(lines), console=console, transient=True))
    if out:
        # ASCII: half a surrogate pair, which a model can write, has no UTF-8
        text = "\n".join(map(json.dumps, scored)) + "\n"
        try:
            write_text(out, text, encoding="ascii")
        except OSError as error:
            raise UserError(f"The scores cannot be written to {out}: {error.strerror or error}.") from error
    failed = _show_terms(console, scored, mix, name)
    right = sum(map(itemgetter("right"), scored))
    console.print(f"final answer right: {right} of {len(scored)} ({right / len(scored):.1%})")
    for term, reason in reasons.items():
        console.print(f"[yellow]{term} failed; the last reason:[/yellow] {escape(reason)}")
    ranked = sorted(scored, key=itemgetter("total"))
    _show_examples(console, "lowest", ranked[:SHOWN])
    _show_examples(console, "highest", ranked[::-1][:SHOWN])
    if out:
        console.print(f"{len(scored):,} lines written to {out}")
    return int(failed / len(scored) > mix.max_failure_rate)


def _show_terms(console, scored: list[dict], mix, name: str) -> int:
    """Print the table of terms; the count is that of the term that failed most often."""
    from rich.table import Table

    table = Table(title=f"{name}: {len(scored):,} completions, combined by {mix.combine}")
    for column in ("term", "weight", "mean", "sd", "least", "most", "failed"):
        table.add_column(column, justify="left" if column == "term" else "right")
    most_failed = 0
    for term in mix.terms:
        values = [line["terms"][term] for line in scored if line["terms"][term] is not None]
        failed = len(scored) - len(values)
        most_failed = max(most_failed, failed)
        table.add_row(term, f"{mix.weights[term]:g}", *_figures(values), str(failed))
    table.add_row("total", "", *_figures([line["total"] for line in scored]), "", style="bold")
    console.print(table)
    return most_failed


def _figures(values: list[float]) -> list[str]:
    """Mean, standard deviation, least and largest of a term's values, as cells."""
    of = (statistics.fmean, statistics.pstdev, min, max)
    return [f"{figure(values):.3f}" if values else "-" for figure in of]


def _show_examples(console, title: str, lines: list[dict]) -> None:
    console.print(f"\n[bold]{title} totals[/bold]")
    for line in lines:
        text = " ".join(str(line["response"]).split())
        if len(text) > 160:
            text = text[:160] + "…"
        console.print(f"{line['total']:7.3f}  gold {line['answer']!s:.30}  ", end="", markup=False)
        console.print(text, markup=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
