"""`python -m medical_rl.rewards score FILE.jsonl --out OUT.jsonl conf/rewards=<mix>`: scores completions offline."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from medical_rl.errors import UserError

SHOWN = 3  # best and worst examples


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 done, 2 the file or the configuration is wrong, 1 too many terms failed."""
    parser = argparse.ArgumentParser(prog="python -m medical_rl.rewards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="score a JSONL file of completions by a reward mix")
    score.add_argument(
        "file", type=Path, help="lines of {response, answer, kind, choices, concepts, knowledge, size}"
    )
    score.add_argument("--out", type=Path, help="where each line goes with its total and terms")
    score.add_argument(
        "overrides", nargs="*", help="conf/rewards=NAME and other settings (default: conf/rewards=vrft_aug)"
    )
    given, overrides = parser.parse_known_args(argv)
    try:
        return _score(given.file, given.out, [*given.overrides, *overrides])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _score(file: Path, out: Path | None, overrides: list[str]) -> int:
    from rich.console import Console
    from rich.progress import track

    from medical_rl.rewards.load import load_mix
    from medical_rl.rewards.score import read_lines, score_lines

    mix, name = load_mix(overrides)
    reasons: dict[str, str] = {}
    mix.on_failed = lambda term, sample, error: reasons.__setitem__(term, str(error))
    lines = list(read_lines(file))
    if not lines:
        raise UserError(f"The completions file {file} has no lines.")
    console = Console()
    scored = list(
        track(score_lines(lines, mix), "scoring", total=len(lines), console=console, transient=True)
    )
    if out:
        _write(out, scored)
    _show(console, scored, mix, name, reasons)
    if out:
        console.print(f"{len(scored):,} lines written to {out}", highlight=False)
    worst = max(sum(s["terms"][t] is None for s in scored) / len(scored) for t in mix.terms)
    return 1 if worst > mix.max_failure_rate else 0


def _write(out: Path, scored: list[dict]) -> None:
    """Atomically: a reader of `out` never sees half of it."""
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        # ASCII: half a surrogate pair, which a model can write, has no UTF-8
        scratch.write_text("".join(json.dumps(s) + "\n" for s in scored), encoding="ascii")
        scratch.replace(out)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UserError(f"The scores cannot be written to {out}: {error.strerror or error}.") from error


def _show(console, scored: list[dict], mix, name: str, reasons: dict[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{name}: {len(scored):,} completions, combined by {mix.combine}")
    for column in ("term", "weight", "mean", "sd", "least", "most", "failed"):
        table.add_column(column, justify="left" if column == "term" else "right")
    for term in mix.terms:
        values = [s["terms"][term] for s in scored if s["terms"][term] is not None]
        table.add_row(term, f"{mix.weights[term]:g}", *_figures(values), str(len(scored) - len(values)))
    table.add_row("total", "", *_figures([s["total"] for s in scored]), "", style="bold")
    console.print(table)
    right = sum(s["right"] for s in scored)
    console.print(
        f"final answer right: {right} of {len(scored)} ({right / len(scored):.1%})", highlight=False
    )
    for term, reason in reasons.items():
        console.print(f"[yellow]{term} failed; the last reason:[/yellow] {escape(reason)}", highlight=False)
    order = sorted(range(len(scored)), key=lambda i: scored[i]["total"])
    for title, chosen in (("lowest", order[:SHOWN]), ("highest", order[::-1][:SHOWN])):
        console.print(f"\n[bold]{title} totals[/bold]")
        for i in chosen:
            text = " ".join(str(scored[i]["response"]).split())
            console.print(
                f"{scored[i]['total']:7.3f}  gold {scored[i]['answer']!s:.30}  ",
                end="",
                highlight=False,
                markup=False,
            )
            console.print(
                text[:160] + ("…" if len(text) > 160 else ""), highlight=False, markup=False, soft_wrap=True
            )


def _figures(values: list[float]) -> tuple[str, ...]:
    if not values:
        return ("-",) * 4
    return tuple(
        f"{v:.3f}" for v in (statistics.fmean(values), statistics.pstdev(values), min(values), max(values))
    )


if __name__ == "__main__":
    raise SystemExit(main())
