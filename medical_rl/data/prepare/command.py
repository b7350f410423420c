"""The command line that every `data_preprocess` module shares: prepare by hand, report, exit code."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from medical_rl.data import knowledge as knowledges
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError


def run(
    reader: str,
    argv: Sequence[str] | None = None,
    add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> int:
    """Prepare by hand, and return the exit code.

    0 done, 1 a leak, nothing left or a failing disk, 2 unusable input, 130 Ctrl-C.
    Options that `add_options` adds become parameters of the reader, under their own names.
    """
    # In a checkout the modules are data_preprocess.<reader> as well, in a wheel only with the package.
    started = getattr(sys.modules["__main__"].__spec__, "name", "")
    package = "medical_rl.data_preprocess" if started.startswith("medical_rl.") else "data_preprocess"
    text = f"Prepare {reader} as parquet for verl, with a data card."
    parser = argparse.ArgumentParser(prog=f"python -m {package}.{reader}", description=text)
    for name, settings in _OPTIONS.items():
        parser.add_argument(f"--{name}", **settings)
    add_options(parser)
    options = vars(parser.parse_args(argv))
    shared = {name.replace("-", "_") for name in _OPTIONS}
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    params = {name: value for name, value in given.items() if name not in shared}
    out = options["out"]
    data = {name: options[name] for name in _OF_DATA}
    data |= {"name": Path(out).name, "reader": reader, "source": options["source"], "params": params}
    try:
        data["knowledge"] = knowledges.load(options["knowledge"])
        prompt = load_prompt(options["prompt"])
        card = prepare(data, prompt, Path(out), options["seed"], options["batch_size"])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped before the end; the same command starts over", file=sys.stderr)
        return 130
    except OSError as error:
        # A full or failing disk: nothing the user typed is wrong, and nothing half-written is left.
        print(f"error: the data could not be written to {out}: {error}", file=sys.stderr)
        return 1
    print(summary(card, out))
    return 0


def summary(card: dict, out: str | Path) -> str:
    """What was prepared: a line for each split, and for what was dropped, repeated, altered or in doubt."""
    lines = [f"{card['name']} is prepared in {out} (card.json, README.md)"]
    for split, facts in card["splits"].items():
        answers = f"{facts['majority_rate']:.1%} are {facts['majority']!r}"
        # Of boxes and free answers the commonest tells nothing.
        if facts["answers"] > max(2, facts["distinct"] / 2):
            answers = f"{facts['answers']:,} different answers"
        lines.append(f"  {split}: {facts['rows']:,} rows; {answers}")
    for reason in card["about"].get("altered", ()):
        lines.append(f"  altered: {reason}")
    for sentence in card["changes"] + card["warnings"]:
        lines.append(f"  {sentence}")
    for note in card["about"].get("notes", ()):
        lines.append(f"  note: {note}")
    return "\n".join(lines)


def add_split_options(parser: argparse.ArgumentParser, **shares: float) -> None:
    """Add `--<split>-share`, with its default for the help, for each split, and `--split-seed`."""
    for split, share in shares.items():
        text = f"share of {split} (default: {share})"
        parser.add_argument(f"--{split}-share", type=float, metavar="S", help=text)
    parser.add_argument("--split-seed", type=int, metavar="N", help="draws the split (default: 0)")


def load_prompt(name: str) -> dict:
    """The prompt `conf/prompt/<name>.yaml`, or that of a YAML file of your own with the same keys."""
    path, content = knowledges.read_choice("prompt", name)
    if not isinstance(content, dict) or "template" not in content:
        raise UserError(
            f"The prompt file {path} is not a mapping with the keys name, template, system and target."
        )
    prompt = {"name": path.stem, "system": None}
    for key, value in content.items():
        # What follows the model (a frame's pixel limits) is set by a run; here the processor's limits hold.
        if not str(value).startswith("${"):
            prompt[key] = value
    return prompt


def _where(text: str) -> dict[str, list[str]]:
    """{key: values} of "key=value,value"."""
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE or KEY=VALUE,VALUE")
    return {key: values.split(",")}


_WHERE_HELP = (
    "train and val keep rows with one of these values under this key of their meta, test stays whole"
)
# What is said of the data as `conf.data` says it; the options that a reader adds are its params.
_OF_DATA = ("shots", "limit", "test_per_class", "num_proc", "reports")
_OF_DATA += ("only", "train_where", "balanced", "top_k", "score")
# fmt: off
_OPTIONS: dict[str, dict] = {
    "source": {"required": True, "metavar": "PATH", "help": "the dataset on your disk"},
    "out": {"required": True, "metavar": "DIR", "help": "folder of the prepared data"},
    "train-where": {"type": _where, "metavar": "KEY=VALUE,...", "help": f"{_WHERE_HELP} (default: all)"},
    "shots": {"type": int, "metavar": "K", "help": "train rows per class (default: all)"},
    "limit": {"type": int, "metavar": "N", "help": "train rows in all (default: all)"},
    "balanced": {"type": int, "metavar": "N", "help": "N train rows, as many of each class as can be"},
    "top-k": {"type": int, "metavar": "N", "help": "the N train rows with the highest score"},
    "score": {"metavar": "KEY", "help": "the score of --top-k: a key of the rows' meta"},
    "only": {"nargs": "+", "metavar": "SPLIT", "help": "these splits and no others (default: all)"},
    "test-per-class": {"type": int, "metavar": "K", "help": "test rows per class (default: all)"},
    "batch-size": {"type": int, "default": 1, "metavar": "N", "help": "repeat train rows to N (default: 1)"},
    "seed": {"type": int, "default": 0, "metavar": "N", "help": "which rows are drawn (default: 0)"},
    "reports": {"nargs": "+", "metavar": "PATH",
                "help": "files or folders of the reports to retrieve (default: the source's own)"},
    "num-proc": {"type": int, "metavar": "N", "help": "images read at a time (default: as many as CPUs)"},
    "prompt": {"default": "class_names", "help": "a name in conf/prompt, or a YAML file (class_names)"},
    "knowledge": {"default": "none",
                  "help": "visual attributes: a name in conf/knowledge, or a YAML file (default: none)"},
}
# fmt: on
