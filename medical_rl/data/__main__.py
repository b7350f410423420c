"""`python -m medical_rl.data COMMAND DIR`: is a prepared folder sound, and what does it look like?

check and preview look at it; concepts and attributes ask a judge, chosen by conf/judge=NAME and
conf.judge.KEY=VALUE. Exit codes: 0 done; 1 a leak or an error was found, the judge did not answer enough, or
a file could not be written; 2 the folder or the settings are wrong; 130 Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from medical_rl.data.inspect.check import check_folder, report_text
from medical_rl.data.inspect.contact_sheet import write_contact_sheet, write_similar_pairs
from medical_rl.data.inspect.draft_attributes import draft_attributes
from medical_rl.data.inspect.findings import CHECKS
from medical_rl.data.inspect.judge_concepts import store_concepts
from medical_rl.data.prepare.card import read_card
from medical_rl.data.prepare.command import load_prompt
from medical_rl.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    parser = _parser()
    options, unknown = parser.parse_known_args(argv)
    # argparse gives an override that stands after an option back as unknown.
    options.overrides = list(getattr(options, "overrides", ())) + unknown
    takes_overrides = options.command in ("concepts", "attributes")
    wrong = [text for text in options.overrides if text.startswith("-") or not takes_overrides]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    try:
        return COMMANDS[options.command](options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        return _report_unwritten(error)
    except KeyboardInterrupt:
        print("stopped; what was answered is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def _check(options) -> int:
    folder = Path(options.folder)
    name, prompt = options.prompt or read_card(folder).get("prompt"), None
    try:
        prompt = load_prompt(name) if name else None
    except UserError:
        # One that the card names and that is not here: the answer alone is scored.
        if options.prompt:
            raise
    report = check_folder(folder, options.accept, prompt)
    print(report_text(report))
    if report.pairs and not options.pictures:
        print(f"{len(report.pairs):,} pairs look alike: --pictures FILE writes a page that shows them")
    elif report.pairs:
        try:
            count = write_similar_pairs(folder, report.pairs, Path(options.pictures))
            print(f"{count} pairs that look alike: {options.pictures}")
        except OSError as error:
            _report_unwritten(error)
    return report.exit_code


def _report_unwritten(error: OSError) -> int:
    # A full or read-only disk: the data are not to blame.
    print(f"error: the page could not be written: {error}", file=sys.stderr)
    return 1


def _preview(options) -> int:
    page = Path(options.out or Path(options.folder) / "preview.html")
    count = write_contact_sheet(Path(options.folder), page, options.rows, options.seed)
    print(f"{count} rows: {page}")
    return 0


def _concepts(options) -> int:
    print("\n".join(store_concepts(Path(options.folder), options.overrides, options.split)))
    return 0


def _attributes(options) -> int:
    folder, out = Path(options.folder), Path(options.out)
    print("\n".join(draft_attributes(folder, out, options.overrides, options.images, options.seed)))
    return 0


COMMANDS = {"check": _check, "preview": _preview, "concepts": _concepts, "attributes": _attributes}
_HELP = {
    "check": "rows, images, gold answers, and what splits share",
    "preview": "a page with some rows: images, prompts, answers, boxes",
    "concepts": "the medical concepts of each question, from a judge, into the rows",
    "attributes": "drafts of what each class looks like, from training images",
}
_SEED = {"type": int, "default": 0, "help": "which are drawn (default: 0)"}
_SPLIT_HELP = "which rows (default: warm_start, train, val: what rewards score)"
_PROMPT_HELP = "whose target is scored: a name in conf/prompt or a YAML file (default: the card's)"
# fmt: off
_OPTIONS: dict[str, dict[str, dict]] = {
    "check": {
        "--accept": {"action": "append", "default": [], "metavar": "CHECK", "help": "it is known: warn"},
        "--prompt": {"help": _PROMPT_HELP},
        "--pictures": {"metavar": "FILE", "help": "write a page of images that look alike (default: none)"},
    },
    "preview": {
        "--out": {"metavar": "FILE", "help": "the page (default: DIR/preview.html)"},
        "--rows": {"type": int, "default": 12, "metavar": "N", "help": "rows of each split (default: 12)"},
        "--seed": _SEED,
    },
    "concepts": {"--split": {"action": "append", "metavar": "SPLIT", "help": _SPLIT_HELP}},
    "attributes": {
        "--out": {"required": True, "metavar": "FILE.yaml", "help": "the knowledge file, for you to edit"},
        "--images": {"type": int, "default": 4, "metavar": "K", "help": "images of each class (default: 4)"},
        "--seed": _SEED,
    },
}
# fmt: on


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medical_rl.data", description="Look at prepared data, and ask a judge about them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checks = "; ".join(f"{name}: {what}" for name, what in CHECKS.items())
    for name, options in _OPTIONS.items():
        epilog = f"checks: {checks}" if name == "check" else None
        command = commands.add_parser(name, help=_HELP[name], epilog=epilog)
        for option, settings in options.items():
            command.add_argument(option, **settings)
        command.add_argument(
            "folder", metavar="DIR", help="a folder that python -m data_preprocess.<dataset> wrote"
        )
        if name in ("concepts", "attributes"):
            text = "conf/judge=NAME, conf.judge.KEY=VALUE"
            command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
