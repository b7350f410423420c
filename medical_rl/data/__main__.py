"""`python -m medical_rl.data COMMAND DIR`: is a prepared folder sound, what does it look like, what does a model say of it?

check and preview look at it; concepts and attributes ask a judge, chosen by conf/judge=NAME and conf.judge.KEY=VALUE.
Exit codes: 0 done; 1 a leak or an error was found, the judge did not answer enough, or a file could not be written; 2 the folder
or the settings are wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from medical_rl.data.inspect.findings import CHECKS
from medical_rl.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of a command."""
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    # argparse gives an override that stands after an option back as unknown.
    options.overrides = [*getattr(options, "overrides", ()), *rest]
    if wrong := [
        one for one in options.overrides if one.startswith("-") or options.command in ("check", "preview")
    ]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    try:
        return COMMANDS[options.command](options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        return _unwritten(error)
    except KeyboardInterrupt:
        print("stopped; what was answered is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def _check(options) -> int:
    from medical_rl.data.inspect import check as report
    from medical_rl.data.inspect import check as run
    from medical_rl.data.inspect.preview import write_pairs

    folder = Path(options.folder)
    prompt = run.card_of(folder).get("prompt")
    found = run.check(folder, options.accept, _prompt(options.prompt or prompt, given=bool(options.prompt)))
    print(report.text(found))
    if found.pairs and not options.pictures:
        print(f"{len(found.pairs):,} pairs look alike: --pictures FILE writes a page that shows them")
    elif found.pairs:
        try:
            print(
                f"{write_pairs(folder, found.pairs, Path(options.pictures))} pairs that look alike: {options.pictures}"
            )
        except OSError as error:
            _unwritten(error)
    return found.exit_code


def _unwritten(error: OSError) -> int:
    # A full or read-only disk: the data are not to blame.
    print(f"error: the page could not be written: {error}", file=sys.stderr)
    return 1


def _preview(options) -> int:
    from medical_rl.data.inspect.preview import write_sheet

    page = Path(options.out or Path(options.folder) / "preview.html")
    shown = write_sheet(Path(options.folder), page, options.rows, options.seed)
    print(f"{shown} rows: {page}")
    return 0


def _concepts(options) -> int:
    from medical_rl.data.inspect.judged_concepts import store

    print("\n".join(store(Path(options.folder), options.overrides, options.split)))
    return 0


def _attributes(options) -> int:
    from medical_rl.data.inspect.attributes import draft

    folder, out = Path(options.folder), Path(options.out)
    print("\n".join(draft(folder, out, options.overrides, options.images, options.seed)))
    return 0


COMMANDS = {"check": _check, "preview": _preview, "concepts": _concepts, "attributes": _attributes}


def _prompt(name: str | None, given: bool) -> dict | None:
    """The prompt of that name; None for one that a card names and that is not here."""
    from medical_rl.data.prepare.command import load_prompt

    try:
        return load_prompt(name) if name else None
    except UserError:
        if given:
            raise
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medical_rl.data", description="Look at prepared data, and ask a judge about them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check",
        help="rows, images, gold answers, and what splits share",
        epilog="checks: " + "; ".join(f"{name}: {what}" for name, what in CHECKS.items()),
    )
    check.add_argument(
        "--accept", action="append", default=[], metavar="CHECK", help="what this check finds is known: warn"
    )
    check.add_argument(
        "--prompt", help="whose target is scored: a name in conf/prompt or a YAML file (default: the card's)"
    )
    check.add_argument(
        "--pictures", metavar="FILE", help="write a page of the images that look alike (default: none)"
    )
    preview = commands.add_parser("preview", help="a page with some rows: images, prompts, answers, boxes")
    preview.add_argument("--out", metavar="FILE", help="the page (default: DIR/preview.html)")
    preview.add_argument("--rows", type=int, default=12, metavar="N", help="rows of each split (default: 12)")
    preview.add_argument("--seed", type=int, default=0, help="which rows are drawn (default: 0)")
    concepts = commands.add_parser(
        "concepts", help="the medical concepts of each question, from a judge, into the rows"
    )
    concepts.add_argument(
        "--split",
        action="append",
        metavar="SPLIT",
        help="which rows (default: warm_start, train, val: what rewards score)",
    )
    attributes = commands.add_parser(
        "attributes", help="drafts of what each class looks like, from training images"
    )
    attributes.add_argument(
        "--out", required=True, metavar="FILE.yaml", help="the knowledge file, for you to edit"
    )
    attributes.add_argument(
        "--images", type=int, default=4, metavar="K", help="images of each class (default: 4)"
    )
    attributes.add_argument("--seed", type=int, default=0, help="which images are drawn (default: 0)")
    for command in (check, preview, concepts, attributes):
        command.add_argument("folder", metavar="DIR", help="a folder that data_preprocess/<dataset>.py wrote")
    for command in (concepts, attributes):
        command.add_argument(
            "overrides", nargs="*", metavar="KEY=VALUE", help="conf/judge=NAME, conf.judge.KEY=VALUE"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
