"""`python -m medical_rl.evaluation COMMAND ...`: tables and pictures of runs that are done.

collect makes one table of several runs; transitions, transfer, distribution and scaling draw MedGR2's figures
5, 4, 3 and 2, curve training curves and boxes a sheet of images with their boxes, as PNG or as a page. Exit
codes: 0 done; 1 a file could not be written; 2 the folder holds no such thing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.figures import boxes, medgr2, training_curves
from medical_rl.evaluation.figures.plot import save_figure
from medical_rl.evaluation.metrics import GROUPS
from medical_rl.evaluation.results import (
    data_notes,
    find_runs,
    predicted_models,
    read_predictions,
    read_run,
    settings_text,
)
from medical_rl.evaluation.tables.collect import collect_runs, collected_markdown, write_collected
from medical_rl.evaluation.tables.paper_table import paper_markdown, paper_table
from medical_rl.evaluation.wording import PHANTOM_NOTE, STRICT_NOTE
from medical_rl.run.files import write_text
from medical_rl.run.markdown import markdown_table

NONE = {"none": None}  # how "no setting" and "no groups" are typed


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    description = __doc__.split("\n\n")[1]
    parser = argparse.ArgumentParser(prog="python -m medical_rl.evaluation", description=description)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, (_, text, arguments) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text)
        for flag, settings in arguments:
            subparser.add_argument(flag, **settings)
    options = parser.parse_args(argv)
    try:
        print(COMMANDS[options.command][0](options))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: it could not be written: {error}", file=sys.stderr)
        return 1
    return 0


def collect(options) -> str:
    """Make one table of several runs, or with --paper one in a paper's form, and write it to --out."""
    runs = find_runs(options.runs)
    collected = collect_runs(runs, NONE.get(options.by, options.by))
    if options.paper is None:
        text = collected_markdown(collected)
    else:
        text = "\n".join([paper_markdown(paper_table(runs), options.paper or None)] + data_notes(runs))
        if options.out:
            write_text(options.out / "paper_form.md", text)
    written = write_collected(collected, options.out) if options.out else []
    return "\n".join([text] + list(map(str, written)))


def draw_transitions(options) -> str:
    """Draw what became of each question between two models of a run."""
    run, by = read_run(options.run), NONE.get(options.by, options.by)
    before = read_predictions(options.run, options.before, options.data)
    after = read_predictions(options.run, options.after, options.data)
    counts = medgr2.transition_counts(before, after, by)
    data = options.data or run.settings.get("conf.data.name")
    about = [f"{data}, n = {len(after):,}."] + data_notes([run], options.data)
    figure = medgr2.draw_transitions(counts, options.before, options.after, by)
    notes = [" ".join(about), medgr2.MCNEMAR_NOTE, STRICT_NOTE]
    return _save(options, figure, "Error transitions", notes, medgr2.transitions_table(counts))


def draw_transfer(options) -> str:
    """Draw who is good at what after learning from one source."""
    runs = find_runs(options.runs)
    matrices = medgr2.transfer_matrices(runs, options.by, options.model, options.data)
    used = f"{sum(matrices['runs'].values())} of {len(runs)} runs"
    notes = [f"Model {options.model}, tested on {', '.join(matrices['data'])}; {used}."]
    notes += data_notes(runs, options.data)
    notes += ["Framed: the group that the model was trained on.", STRICT_NOTE]
    figure = medgr2.draw_transfer(matrices, options.by)
    return _save(options, figure, f"Transfer by {GROUPS[options.by]}", notes, medgr2.transfer_table(matrices))


def draw_distribution(options) -> str:
    """Draw the shares of the groups in a prepared folder."""
    from medical_rl.data.prepare.card import read_card

    folder = options.folder
    if (folder / "data" / "card.json").exists() and not (folder / "card.json").exists():
        folder = folder / "data"  # of a run
    counts = medgr2.group_counts(folder, options.split, options.by)
    card = read_card(folder)
    notes = [f"{card['name']}, {options.split}, n = {sum(counts.values()):,}."]
    if card["about"].get("phantom"):
        notes.append(PHANTOM_NOTE)
    figure = medgr2.draw_distribution(counts, options.by)
    return _save(options, figure, f"Rows by {GROUPS[options.by]}", notes, medgr2.distribution_table(counts))


def draw_scaling(options) -> str:
    """Draw accuracy by the number of generated rows kept."""
    runs = find_runs(options.runs)
    arms = medgr2.scaling_arms(runs, options.data)
    sizes = sorted({point["n"] for points in arms.values() for point in points})
    rows = f"n = {', '.join(map(str, sizes))} test rows"
    notes = [f"{rows}; {len(runs)} runs; bars: one standard deviation over runs.", STRICT_NOTE]
    notes += data_notes(runs, options.data)
    return _save(
        options, medgr2.draw_scaling(arms), "Accuracy by rows kept", notes, medgr2.scaling_table(arms)
    )


def draw_curve(options) -> str:
    """Draw reward terms and accuracy by training step, of one run or of several side by side."""
    runs = find_runs(options.runs)
    if len(runs) > 1:
        if options.out is None:
            raise UserError(
                f"These folders hold {len(runs)} runs: say where their picture goes, --out FILE.png or FILE.html."
            )
        curves = training_curves.compared_curves(runs)
        without = [run.path.name for run in runs if not (run.path / "metrics.jsonl").exists()]
        missing = f"; no metrics: {', '.join(without)}" if without else ""
        notes = [f"{len(curves)} of {len(runs)} runs{missing}."] + data_notes(runs)
        figure, table = training_curves.draw_compared(curves), training_curves.compared_table(curves)
        return _save(options, figure, "Training curves", notes, table)
    run = runs[0]
    options.out = options.out or run.path / "curve.png"
    curve = training_curves.run_curve(run.path, run.settings.get("conf.validation.metric", "acc"))
    names = ("conf.recipe", "conf.data.name", "conf.seed", "data.train_batch_size")
    settings = settings_text(run, [name for name in names if name in run.settings])
    steps = sum(len(stage["rewards"]["total"]) for stage in curve.values())
    notes = [f"{settings}; n = {steps} steps."] + data_notes([run])
    figure = training_curves.draw_run(curve)
    return _save(options, figure, "Training curve", notes, training_curves.run_table(curve))


def draw_boxes(options) -> str:
    """Draw images with true and predicted boxes."""
    run = read_run(options.run)
    predictions = {}
    for model in options.models or predicted_models(options.run, options.data):
        predictions[model] = read_predictions(options.run, model, options.data)
    folder = options.run / (f"data_{options.data}" if options.data else "data")
    rows = folder / f"{run.settings.get('conf.evaluation.split', 'test')}.parquet"
    sheet = boxes.box_sheet(rows, predictions, options.rows, int(run.settings.get("conf.seed", 0)))
    notes = boxes.overlap_notes(predictions) + [boxes.LEGEND] + data_notes([run], options.data)
    return _save(options, boxes.draw(sheet), "True and predicted boxes", notes, boxes.table(sheet))


def _save(options, figure, title: str, notes: list[str], table) -> str:
    """Write the picture; returns the Markdown table, the notes and where the picture is."""
    out = save_figure(figure, options.out, title, notes, table)
    header, body = table
    return "\n\n".join([markdown_table(header, body)] + notes + [str(out)])


RUNS = (
    "runs",
    dict(help="run folders, or folders that hold some (a sweep's)", nargs="+", type=Path, metavar="RUN"),
)
RUN = ("run", dict(help="a run folder", type=Path, metavar="RUN"))
PREPARED = ("folder", dict(help="a prepared folder, or a run's", type=Path, metavar="DIR"))
SPLIT = ("--split", dict(help="which rows (default: train)", default="train"))
AVERAGED = (
    "--by",
    dict(help="the setting that means are over, or none (default: seed)", default="seed", metavar="KEY"),
)
PAPER_HELP = (
    "in a paper's form, a column a data set; "
    "with table1, table2, table3 or figure3 VRFT-Aug's own figures beside"
)
PAPER = ("--paper", dict(help=PAPER_HELP, nargs="?", const="", metavar="TABLE"))
OUT_FOLDER_HELP = "write collected.md, .csv and .json there (default: print only)"
OUT_FOLDER = ("--out", dict(help=OUT_FOLDER_HELP, type=Path, metavar="DIR"))
BEFORE = ("--from", dict(help="default: warm_start", dest="before", default="warm_start", metavar="MODEL"))
AFTER_HELP = "such as rl or round_2/rl (default: rl)"
AFTER = ("--to", dict(help=AFTER_HELP, dest="after", default="rl", metavar="MODEL"))
MODEL = ("--model", dict(help="whose accuracy (default: rl)", default="rl"))
MODELS = ("--models", dict(help="whose boxes (default: all that answered)", nargs="+", metavar="MODEL"))
ROWS_HELP = "images, drawn with the run's seed (default: 12)"
ROWS = ("--rows", dict(help=ROWS_HELP, type=int, default=12, metavar="N"))
GROUP = ("--by", dict(help="the groups (default: modality)", default="modality", choices=tuple(GROUPS)))
GROUP_OR_NONE = ("--by", GROUP[1] | {"choices": tuple(GROUPS) + ("none",)})
DATA_HELP = "a further test set (default: the run's own; transfer: that with most groups)"
DATA = ("--data", dict(help=DATA_HELP, metavar="NAME"))
OUT_OR_RUN = ("--out", dict(help="FILE.png, or FILE.html with the table too", type=Path, metavar="FILE"))
OUT = ("--out", OUT_OR_RUN[1] | {"required": True})
# Command -> (its function, which returns what is printed; what the help says of it; its arguments).
COMMANDS = {
    "collect": (collect, "one table of several runs, and means over their seeds",
                (RUNS, AVERAGED, OUT_FOLDER, PAPER)),
    "transitions": (draw_transitions,
                    "what became of each question between two models of a run (MedGR2, figure 5)",
                    (RUN, BEFORE, AFTER, GROUP_OR_NONE, DATA, OUT)),
    "transfer": (draw_transfer, "trained on one group, tested on all (MedGR2, figure 4)",
                 (RUNS, MODEL, GROUP, DATA, OUT)),
    "distribution": (draw_distribution, "shares of the groups in a prepared folder (MedGR2, figure 3)",
                     (PREPARED, SPLIT, GROUP, OUT)),
    "scaling": (draw_scaling, "accuracy by the number of generated rows kept (MedGR2, figure 2)",
                (RUNS, DATA, OUT)),
    "curve": (draw_curve, "reward terms and accuracy by training step, of one run or of several side by side "
              "(VRFT-Aug, figure 4)", (RUNS, OUT_OR_RUN)),
    "boxes": (draw_boxes, "images with true and predicted boxes, and their IoU", (RUN, MODELS, ROWS, DATA, OUT)),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
