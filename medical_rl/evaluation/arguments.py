"""What each command of `python -m medical_rl.evaluation` takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from medical_rl.evaluation.groups import GROUPS


def parser(description: str) -> argparse.ArgumentParser:
    """The parser of all commands."""
    whole = argparse.ArgumentParser(prog="python -m medical_rl.evaluation", description=description)
    commands = whole.add_subparsers(dest="command", required=True)
    helps = {
        "collect": "one table of several runs, and means over their seeds",
        "transitions": "what became of each question between two models of a run (MedGR2, figure 5)",
        "transfer": "trained on one group, tested on all (MedGR2, figure 4)",
        "distribution": "shares of the groups in a prepared folder (MedGR2, figure 3)",
        "scaling": "accuracy by the number of generated rows kept (MedGR2, figure 2)",
        "curve": "reward terms and accuracy by training step, of one run or of several side by side (VRFT-Aug, figure 4)",
        "boxes": "images with true and predicted boxes, and their IoU",
    }
    made = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    for name in ("collect", "transfer", "scaling", "curve"):
        made[name].add_argument(
            "runs",
            nargs="+",
            type=Path,
            metavar="RUN",
            help="run folders, or folders that hold some (a sweep's)",
        )
    for name in ("transitions", "boxes"):
        made[name].add_argument("run", type=Path, metavar="RUN", help="a run folder")
    made["boxes"].add_argument(
        "--models", nargs="+", metavar="MODEL", help="whose boxes (default: all that answered)"
    )
    made["boxes"].add_argument(
        "--rows", type=int, default=12, metavar="N", help="images, drawn with the run's seed (default: 12)"
    )
    made["distribution"].add_argument(
        "folder", type=Path, metavar="DIR", help="a prepared folder, or a run's"
    )
    made["distribution"].add_argument("--split", default="train", help="which rows (default: train)")
    made["collect"].add_argument(
        "--by", default="seed", metavar="KEY", help="the setting that means are over, or none (default: seed)"
    )
    made["collect"].add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write collected.md, .csv and .json there (default: print only)",
    )
    made["collect"].add_argument(
        "--paper", nargs="?", const="", metavar="TABLE",
        help="in a paper's form, a column a data set; with table1, table2, table3 or figure3 VRFT-Aug's own figures beside",
    )  # fmt: skip
    made["transitions"].add_argument(
        "--from", dest="before", default="warm_start", metavar="MODEL", help="default: warm_start"
    )
    made["transitions"].add_argument(
        "--to", dest="after", default="rl", metavar="MODEL", help="such as rl or round_2/rl (default: rl)"
    )
    made["transfer"].add_argument("--model", default="rl", help="whose accuracy (default: rl)")
    for name, extra in (("transitions", ("none",)), ("transfer", ()), ("distribution", ())):
        made[name].add_argument(
            "--by", default="modality", choices=(*GROUPS, *extra), help="the groups (default: modality)"
        )
    for name in ("transitions", "transfer", "scaling", "boxes"):
        made[name].add_argument(
            "--data",
            metavar="NAME",
            help="a further test set (default: the run's own; transfer: that with most groups)",
        )
    for name in set(made) - {"collect"}:
        made[name].add_argument(
            "--out",
            type=Path,
            required=name != "curve",
            metavar="FILE",
            help="FILE.png, or FILE.html with the table too",
        )
    return whole
