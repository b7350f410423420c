"""`python -m medical_rl.evaluation COMMAND ...`: tables and pictures of runs that are done.

collect makes one table of several runs; transitions, transfer, distribution and scaling draw MedGR2's figures
5, 4, 3 and 2, curve training curves and boxes a sheet of images with their boxes, as PNG or as a page. Exit
codes: 0 done; 1 a file could not be written; 2 the folder holds no such thing.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.figures import boxes, distribution, scaling, training_curves, transfer, transitions
from medical_rl.evaluation.figures.plot import save_figure
from medical_rl.evaluation.groups import GROUPS
from medical_rl.evaluation.results import predicted_models, read_predictions
from medical_rl.evaluation.runs import Run, find_runs, phantom_notes, read_run, settings_text
from medical_rl.evaluation.tables.collect import collect_runs, collected_markdown, write_collected
from medical_rl.evaluation.tables.paper_table import paper_markdown, paper_table
from medical_rl.evaluation.wording import PHANTOM_NOTE
from medical_rl.run.files import write_text
from medical_rl.run.markdown import markdown_table

NONE = {"none": None}  # how "no setting" and "no groups" are typed


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    description = __doc__.split("\n\n")[1]
    parser = argparse.ArgumentParser(prog="python -m medical_rl.evaluation", description=description)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help)
        for flag, settings in command.arguments:
            subparser.add_argument(flag, **settings)
    options = parser.parse_args(argv)
    try:
        text = COMMANDS[options.command].run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: it could not be written: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


def collect(options) -> str:
    """Make one table of several runs, or with --paper one in a paper's form, and write it to --out."""
    runs = find_runs(options.runs)
    collected = collect_runs(runs, NONE.get(options.by, options.by))
    if options.paper is None:
        text = collected_markdown(collected)
    else:
        text = "\n".join([paper_markdown(paper_table(runs), options.paper or None)] + phantom_notes(runs))
        if options.out:
            write_text(options.out / "paper_form.md", text)
    written = write_collected(collected, options.out) if options.out else []
    return "\n".join([text] + list(map(str, written)))


def draw_transitions(options) -> str:
    """Draw what became of each question between two models of a run."""
    run, by = read_run(options.run), NONE.get(options.by, options.by)
    before = read_predictions(options.run, options.before, options.data)
    after = read_predictions(options.run, options.after, options.data)
    counts = transitions.transition_counts(before, after, by)
    data = options.data or run.settings.get("conf.data.name")
    about = [f"{data}, n = {len(after):,}."] + phantom_notes([run], options.data)
    figure = transitions.draw(counts, options.before, options.after, by)
    notes = [" ".join(about), transitions.NOTE]
    return _save(options, figure, "Error transitions", notes, transitions.table(counts))


def draw_transfer(options) -> str:
    """Draw who is good at what after learning from one source."""
    runs = find_runs(options.runs)
    matrices = transfer.transfer_matrices(runs, options.by, options.model, options.data)
    used = f"{sum(matrices['runs'].values())} of {len(runs)} runs"
    notes = [f"Model {options.model}, tested on {', '.join(matrices['data'])}; {used}."]
    notes += phantom_notes(runs, options.data)
    notes.append("Framed: the group that the model was trained on.")
    figure = transfer.draw(matrices, options.by)
    return _save(options, figure, f"Transfer by {GROUPS[options.by]}", notes, transfer.table(matrices))


def draw_distribution(options) -> str:
    """Draw the shares of the groups in a prepared folder."""
    from medical_rl.data.inspect.check import card_of

    folder = distribution.prepared_folder(options.folder)
    counts = distribution.group_counts(folder, options.split, options.by)
    card = card_of(folder)
    notes = [f"{card['name']}, {options.split}, n = {sum(counts.values()):,}."]
    if card["about"].get("phantom"):
        notes.append(PHANTOM_NOTE)
    figure = distribution.draw(counts, options.by)
    return _save(options, figure, f"Rows by {GROUPS[options.by]}", notes, distribution.table(counts))


def draw_scaling(options) -> str:
    """Draw accuracy by the number of generated rows kept."""
    runs = find_runs(options.runs)
    arms = scaling.scaling_arms(runs, options.data)
    sizes = sorted({point["n"] for points in arms.values() for point in points})
    rows = f"n = {', '.join(map(str, sizes))} test rows"
    notes = [f"{rows}; {len(runs)} runs; bars: one standard deviation over runs."]
    notes += phantom_notes(runs, options.data)
    return _save(options, scaling.draw(arms), "Accuracy by rows kept", notes, scaling.table(arms))


def draw_curve(options) -> str:
    """Draw reward terms and accuracy by training step, of one run or of several side by side."""
    runs = find_runs(options.runs)
    if len(runs) > 1:
        return _draw_compared_curves(options, runs)
    run = runs[0]
    options.out = options.out or run.path / "curve.png"
    curve = training_curves.run_curve(run.path, run.settings.get("conf.validation.metric", "acc"))
    names = ("conf.recipe", "conf.data.name", "conf.seed", "data.train_batch_size")
    settings = settings_text(run, [name for name in names if name in run.settings])
    steps = sum(len(stage["rewards"]["total"]) for stage in curve.values())
    notes = [f"{settings}; n = {steps} steps."] + phantom_notes([run])
    figure = training_curves.draw_run(curve)
    return _save(options, figure, "Training curve", notes, training_curves.run_table(curve))


def _draw_compared_curves(options, runs: Sequence[Run]) -> str:
    if options.out is None:
        raise UserError(
            f"These folders hold {len(runs)} runs: say where their picture goes, --out FILE.png or FILE.html."
        )
    curves = training_curves.compared_curves(runs)
    without = [run.path.name for run in runs if not (run.path / "metrics.jsonl").exists()]
    missing = f"; no metrics: {', '.join(without)}" if without else ""
    notes = [f"{len(curves)} of {len(runs)} runs{missing}."] + phantom_notes(runs)
    figure = training_curves.draw_compared(curves)
    return _save(options, figure, "Training curves", notes, training_curves.compared_table(curves))


def draw_boxes(options) -> str:
    """Draw images with true and predicted boxes."""
    run = read_run(options.run)
    predictions = {}
    for model in options.models or predicted_models(options.run, options.data):
        predictions[model] = read_predictions(options.run, model, options.data)
    folder = options.run / (f"data_{options.data}" if options.data else "data")
    rows = folder / f"{run.settings.get('conf.evaluation.split', 'test')}.parquet"
    sheet = boxes.box_sheet(rows, predictions, options.rows, int(run.settings.get("conf.seed", 0)))
    notes = boxes.overlap_notes(predictions) + [boxes.LEGEND] + phantom_notes([run], options.data)
    return _save(options, boxes.draw(sheet), "True and predicted boxes", notes, boxes.table(sheet))


def _save(options, figure, title: str, notes: list[str], table) -> str:
    """Write the picture; returns the Markdown table, the notes and where the picture is."""
    out = save_figure(figure, options.out, title, notes, table)
    header, body = table
    return "\n\n".join([markdown_table(header, body)] + notes + [str(out)])


@dataclass(frozen=True)
class Command:
    """A command: its function, which returns what is printed, what the help says of it, and its arguments.

    An argument is (name or flag, how argparse reads it).
    """

    run: Callable[[argparse.Namespace], str]
    help: str
    arguments: Sequence[tuple[str, dict]]


def argument(name: str, help: str, **settings) -> tuple[str, dict]:
    """An argument of a command."""
    return name, settings | {"help": help}


RUNS_HELP = "run folders, or folders that hold some (a sweep's)"
RUNS = argument("runs", RUNS_HELP, nargs="+", type=Path, metavar="RUN")
RUN = argument("run", "a run folder", type=Path, metavar="RUN")
PREPARED = argument("folder", "a prepared folder, or a run's", type=Path, metavar="DIR")
SPLIT = argument("--split", "which rows (default: train)", default="train")
AVERAGED_HELP = "the setting that means are over, or none (default: seed)"
AVERAGED = argument("--by", AVERAGED_HELP, default="seed", metavar="KEY")
PAPER_HELP = (
    "in a paper's form, a column a data set; "
    "with table1, table2, table3 or figure3 VRFT-Aug's own figures beside"
)
PAPER = argument("--paper", PAPER_HELP, nargs="?", const="", metavar="TABLE")
OUT_FOLDER_HELP = "write collected.md, .csv and .json there (default: print only)"
OUT_FOLDER = argument("--out", OUT_FOLDER_HELP, type=Path, metavar="DIR")
BEFORE = argument("--from", "default: warm_start", dest="before", default="warm_start", metavar="MODEL")
AFTER = argument(
    "--to", "such as rl or round_2/rl (default: rl)", dest="after", default="rl", metavar="MODEL"
)
MODEL = argument("--model", "whose accuracy (default: rl)", default="rl")
MODELS = argument("--models", "whose boxes (default: all that answered)", nargs="+", metavar="MODEL")
ROWS = argument(
    "--rows", "images, drawn with the run's seed (default: 12)", type=int, default=12, metavar="N"
)
GROUP_HELP = "the groups (default: modality)"
GROUP = argument("--by", GROUP_HELP, default="modality", choices=tuple(GROUPS))
GROUP_OR_NONE = argument("--by", GROUP_HELP, default="modality", choices=tuple(GROUPS) + ("none",))
DATA_HELP = "a further test set (default: the run's own; transfer: that with most groups)"
DATA = argument("--data", DATA_HELP, metavar="NAME")
OUT_HELP = "FILE.png, or FILE.html with the table too"
OUT = argument("--out", OUT_HELP, type=Path, required=True, metavar="FILE")
OUT_OR_RUN = argument("--out", OUT_HELP, type=Path, metavar="FILE")
COMMANDS = {
    "collect": Command(collect, "one table of several runs, and means over their seeds",
                       (RUNS, AVERAGED, OUT_FOLDER, PAPER)),
    "transitions": Command(draw_transitions,
                           "what became of each question between two models of a run (MedGR2, figure 5)",
                           (RUN, BEFORE, AFTER, GROUP_OR_NONE, DATA, OUT)),
    "transfer": Command(draw_transfer, "trained on one group, tested on all (MedGR2, figure 4)",
                        (RUNS, MODEL, GROUP, DATA, OUT)),
    "distribution": Command(draw_distribution, "shares of the groups in a prepared folder (MedGR2, figure 3)",
                            (PREPARED, SPLIT, GROUP, OUT)),
    "scaling": Command(draw_scaling, "accuracy by the number of generated rows kept (MedGR2, figure 2)",
                       (RUNS, DATA, OUT)),
    "curve": Command(draw_curve, "reward terms and accuracy by training step, of one run or of several side by side "
                     "(VRFT-Aug, figure 4)", (RUNS, OUT_OR_RUN)),
    "boxes": Command(draw_boxes, "images with true and predicted boxes, and their IoU",
                     (RUN, MODELS, ROWS, DATA, OUT)),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
