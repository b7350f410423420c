"""`python -m medical_rl.evaluation COMMAND ...`: tables and pictures of runs that are done.

collect makes one table of several runs; transitions, transfer, distribution and scaling draw MedGR2's figures 5, 4, 3 and 2,
curve training curves and boxes a sheet of images with their boxes, as PNG or as a page. Exit codes: 0 done; 1 a file could not be written; 2 the folder holds no such thing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.arguments import parser
from medical_rl.evaluation.groups import GROUPS
from medical_rl.evaluation.runs import phantom_note


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of a command."""
    options = parser(__doc__.split("\n\n")[1]).parse_args(argv)
    try:
        said = COMMANDS[options.command](options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: it could not be written: {error}", file=sys.stderr)
        return 1
    print(said)
    return 0


def _collect(options) -> str:
    from medical_rl.evaluation.runs import find_runs
    from medical_rl.evaluation.tables.collect import collect, markdown, write

    runs = find_runs(options.runs)
    found = collect(runs, None if options.by == "none" else options.by)
    text = markdown(found) if options.paper is None else _paper(runs, options)
    written = write(found, options.out) if options.out else []
    return "\n".join([text, *map(str, written)])


def _paper(runs, options) -> str:
    from medical_rl.evaluation.results import replace_text
    from medical_rl.evaluation.tables.paper_form import markdown, paper_form

    text = "\n".join([markdown(paper_form(runs), options.paper or None), *phantom_note(runs, None)])
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        replace_text(options.out / "paper_form.md", text)
    return text


def _transitions(options) -> str:
    from medical_rl.evaluation.predictions import read_predictions
    from medical_rl.evaluation.runs import read_run
    from medical_rl.evaluation.tables import transitions as figure

    run, by = read_run(options.run), None if options.by == "none" else options.by
    before, after = (
        read_predictions(options.run, model, options.data) for model in (options.before, options.after)
    )
    found = figure.transitions(before, after, by)
    notes = [_about([run], options.data, found[figure.ALL]["n"]), figure.NOTE]
    return _finish(
        figure.draw(found, options.before, options.after, by),
        options,
        "Error transitions",
        notes,
        figure.table(found),
    )


def _transfer(options) -> str:
    from medical_rl.evaluation.runs import find_runs
    from medical_rl.evaluation.tables import transfer as figure

    runs = find_runs(options.runs)
    found = figure.transfer(runs, options.by, options.model, options.data)
    seen = f"Model {options.model}, tested on {', '.join(found['data'])}; {sum(found['runs'].values())} of {len(runs)} runs."
    notes = [seen, *phantom_note(runs, options.data), "Framed: the group that the model was trained on."]
    return _finish(
        figure.draw(found, options.by),
        options,
        f"Transfer by {GROUPS[options.by]}",
        notes,
        figure.table(found),
    )


def _distribution(options) -> str:
    from medical_rl.data.inspect.check import card_of
    from medical_rl.evaluation.figures.plot import PHANTOM
    from medical_rl.evaluation.tables import distribution as figure

    folder = figure.prepared(options.folder)
    found, card = figure.distribution(folder, options.split, options.by), card_of(folder)
    notes = [f"{card['name']}, {options.split}, n = {sum(found.values()):,}."]
    notes += [PHANTOM] if card["about"].get("phantom") else []
    return _finish(
        figure.draw(found, options.by), options, f"Rows by {GROUPS[options.by]}", notes, figure.table(found)
    )


def _scaling(options) -> str:
    from medical_rl.evaluation.runs import find_runs
    from medical_rl.evaluation.tables import scaling as figure

    runs = find_runs(options.runs)
    found = figure.scaling(runs, options.data)
    sizes = sorted({point["n"] for points in found.values() for point in points})
    notes = [
        f"n = {', '.join(map(str, sizes))} test rows; {len(runs)} runs; bars: one standard deviation over runs.",
        *phantom_note(runs, options.data),
    ]
    return _finish(figure.draw(found), options, "Accuracy by rows kept", notes, figure.table(found))


def _curve(options) -> str:
    from medical_rl.evaluation.figures import curve as figure
    from medical_rl.evaluation.runs import find_runs, told

    runs = find_runs(options.runs)
    if len(runs) > 1:
        return _curves(runs, options)
    (run,) = runs
    options.out = options.out or run.path / "curve.png"
    found = figure.curve(run.path, run.settings.get("conf.validation.metric", "acc"))
    names = ["conf.recipe", "conf.data.name", "conf.seed", "data.train_batch_size"]
    steps = sum(len(of["rewards"]["total"]) for of in found.values())
    notes = [
        f"{told(run, [n for n in names if n in run.settings])}; n = {steps} steps.",
        *phantom_note([run], None),
    ]
    return _finish(figure.draw(found), options, "Training curve", notes, figure.table(found))


def _curves(runs, options) -> str:
    from medical_rl.evaluation.figures import curves as figure

    if options.out is None:
        raise UserError(
            f"These folders hold {len(runs)} runs: say where their picture goes, --out FILE.png or FILE.html."
        )
    found = figure.curves(runs)
    without = [run.path.name for run in runs if not (run.path / "metrics.jsonl").exists()]
    notes = [
        f"{len(found)} of {len(runs)} runs{'; no metrics: ' + ', '.join(without) if without else ''}.",
        *phantom_note(runs, None),
    ]
    return _finish(figure.draw(found), options, "Training curves", notes, figure.table(found))


def _boxes(options) -> str:
    from medical_rl.evaluation.figures import boxes as figure
    from medical_rl.evaluation.predictions import answered, read_predictions
    from medical_rl.evaluation.runs import read_run

    run, folder = read_run(options.run), options.run / (f"data_{options.data}" if options.data else "data")
    models = options.models or answered(options.run, options.data)
    predictions = {model: read_predictions(options.run, model, options.data) for model in models}
    split = run.settings.get("conf.evaluation.split", "test")
    shown = figure.sheet(
        folder / f"{split}.parquet", predictions, options.rows, int(run.settings.get("conf.seed", 0))
    )
    notes = [*figure.summary(predictions), figure.LEGEND, *phantom_note([run], options.data)]
    return _finish(figure.draw(shown), options, "True and predicted boxes", notes, figure.table(shown))


def _finish(figure, options, title: str, notes: list[str], table) -> str:
    """The Markdown table and where the picture is, after writing it."""
    from medical_rl.evaluation.figures.plot import save
    from medical_rl.evaluation.markdown import table as as_text

    out = save(figure, options.out, title, notes, table)
    return "\n\n".join([as_text(*table), *notes, str(out)])


def _about(runs, data: str | None, n: int) -> str:
    name = data or runs[0].settings.get("conf.data.name")
    return " ".join([f"{name}, n = {n:,}.", *phantom_note(runs, data)])


COMMANDS = {
    "collect": _collect,
    "transitions": _transitions,
    "transfer": _transfer,
    "distribution": _distribution,
    "scaling": _scaling,
    "curve": _curve,
    "boxes": _boxes,
}


if __name__ == "__main__":
    sys.exit(main())
