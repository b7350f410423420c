"""The command line that every `data_preprocess/*.py` shares: prepare by hand, report, exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from medical_rl.config import compose
from medical_rl.data import knowledge as knowledges
from medical_rl.data.prepare.fingerprint import SAMPLING
from medical_rl.data.prepare.prepare import prepare
from medical_rl.errors import UserError, unknown

_SHARED = (
    "source", "out", "shots", "seed", "limit", "test_per_class", "prompt", "knowledge", "num_proc", "reports",
)  # fmt: skip


def run(
    reader: str,
    argv: Sequence[str] | None = None,
    add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> int:
    """The exit code: 0 done, 1 a leak, nothing left or a failing disk, 2 unusable input, 130 Ctrl-C.

    Options that `add_options` adds become parameters of the reader, under their own names.
    """
    parser = _parser(reader)
    add_options(parser)
    options = vars(parser.parse_args(argv))
    batch_size = options.pop("batch_size")
    own = {name: value for name, value in options.items() if name not in (*_SHARED, *SAMPLING)}
    params = {name: value for name, value in own.items() if value is not None and value is not False}
    data = {
        "name": Path(options["out"]).name,
        "reader": reader,
        "source": options["source"],
        "params": params,
        **{
            name: options[name]
            for name in ("shots", "limit", "test_per_class", "num_proc", "reports", *SAMPLING)
        },
    }
    try:
        data["knowledge"] = knowledges.load(options["knowledge"])
        card = prepare(
            data, load_prompt(options["prompt"]), Path(options["out"]), options["seed"], batch_size
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped before the end; the same command starts over", file=sys.stderr)
        return 130
    except OSError as error:
        # A full or failing disk: nothing the user typed is wrong, and nothing half-written is left.
        print(f"error: the data could not be written to {options['out']}: {error}", file=sys.stderr)
        return 1
    print(summary(card, options["out"]))
    return 0


def summary(card: dict, out: str | Path) -> str:
    """What was prepared, a line for each split and for everything dropped, repeated, altered or shared."""
    lines = [f"{card['name']} is prepared in {out} (card.json, README.md)"]
    for split, facts in card["splits"].items():
        common = f"{facts['majority_rate']:.1%} are {facts['majority']!r}"
        # Of boxes and free answers the commonest tells nothing.
        told = (
            common
            if facts["answers"] <= max(2, facts["distinct"] / 2)
            else f"{facts['answers']:,} different answers"
        )
        lines.append(f"  {split}: {facts['rows']:,} rows; {told}")
    lines += [f"  altered: {reason}" for reason in card["about"].get("altered", ())]
    return "\n".join(lines + [f"  {sentence}" for sentence in [*card["changes"], *card["warnings"]]])


def add_shares(parser: argparse.ArgumentParser, **shares: float) -> None:
    """None; adds `--<split>-share` for each of the splits that a reader draws, with its default for the help."""
    for split, share in shares.items():
        parser.add_argument(
            f"--{split}-share", type=float, metavar="S", help=f"share of {split} (default: {share})"
        )


def load_prompt(name: str) -> dict:
    """The prompt `conf/prompt/<name>.yaml`, or that of a YAML file of your own with the same keys.

    >>> load_prompt("class_names")["name"]
    'class_names'
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in (known := compose.choices("prompt")):
            raise unknown("prompt", name, [*known, "a path ending in .yaml"])
        path = compose.root() / "conf" / "prompt" / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The prompt file {path} cannot be read: {error}.") from error
    if not isinstance(found, dict) or "template" not in found:
        raise UserError(
            f"The prompt file {path} is not a mapping with the keys name, template, system and target."
        )
    # What follows the model (a frame's pixel limits) is set where a run has one; here the processor's own limits hold.
    own = {key: value for key, value in found.items() if not str(value).startswith("${")}
    return {"name": path.stem, "system": None, **own}


def _where(text: str) -> dict[str, list[str]]:
    """{key: values} of "key=value,value".

    >>> _where("modality=MRI,X-Ray")
    {'modality': ['MRI', 'X-Ray']}
    """
    key, given, values = text.partition("=")
    if not given or not key or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE or KEY=VALUE,VALUE")
    return {key: values.split(",")}


def _parser(reader: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"Prepare {reader} as parquet for verl, with a data card.")
    parser.add_argument("--source", required=True, metavar="PATH", help="the dataset on your disk")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the prepared data")
    parser.add_argument(
        "--train-where",
        type=_where,
        metavar="KEY=VALUE,...",
        help="train and val keep rows with one of these values under this key of their meta, test stays whole (default: all)",
    )
    parser.add_argument("--shots", type=int, metavar="K", help="train rows per class (default: all)")
    parser.add_argument("--limit", type=int, metavar="N", help="train rows in all (default: all)")
    parser.add_argument(
        "--balanced", type=int, metavar="N", help="N train rows, as many of each class as can be"
    )
    parser.add_argument("--top-k", type=int, metavar="N", help="the N train rows with the highest score")
    parser.add_argument("--score", metavar="KEY", help="the score of --top-k: a key of the rows' meta")
    parser.add_argument(
        "--only", nargs="+", metavar="SPLIT", help="these splits and no others (default: all)"
    )
    parser.add_argument("--test-per-class", type=int, metavar="K", help="test rows per class (default: all)")
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="repeat train rows to N (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which rows are drawn (default: 0)")
    parser.add_argument(
        "--reports",
        nargs="+",
        metavar="PATH",
        help="files or folders of the reports to retrieve (default: the source's own)",
    )
    parser.add_argument(
        "--num-proc", type=int, metavar="N", help="images read at a time (default: as many as CPUs)"
    )
    parser.add_argument(
        "--prompt", default="class_names", help="a name in conf/prompt, or a YAML file (default: class_names)"
    )
    parser.add_argument(
        "--knowledge",
        default="none",
        help="visual attributes: a name in conf/knowledge, or a YAML file (default: none)",
    )
    return parser
