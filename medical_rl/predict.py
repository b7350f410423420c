"""Ask a trained model about images: `python -m medical_rl.predict --model RUN_OR_FOLDER
--image X.png --question "..."`, or about a table: `--csv TABLE --out ANSWERS.csv`.

The model is a run folder (its stage `best`, else the stage that was trained last; never the untrained base, which
has to be named: RUN/checkpoints/base), a stage's folder below it, or any Qwen2.5-VL folder. A table has the
columns image and question, and where it has them kind, choices (or options in columns of their own) and
knowledge. Plain transformers, no engine. Not for clinical use.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medical_rl.data.options import BadOptions, clean_options, text_of
from medical_rl.data.prompts import in_pixels, messages
from medical_rl.data.rows import Drops, drop_sentences
from medical_rl.data.sources.files import checked_image
from medical_rl.errors import UserError, check_known
from medical_rl.images import decode, image_size
from medical_rl.parsing.response import parse, read
from medical_rl.parsing.text import label_key
from medical_rl.run.files import write_text
from medical_rl.run.folder import RunFolder
from medical_rl.sample import KINDS, Sample

# How a question is put where there is no run whose prompt it could take.
BARE = {
    "name": "bare",
    "template": "{{ question }}{% for letter, option in options %}\n{{ letter }}) {{ option }}{% endfor %}",
}
ADDED = ("prediction", "response", "problem")  # the columns that an answered table gains
SUFFIXES = (".csv", ".tsv", ".jsonl")


def find_model(path: Path) -> tuple[Path, str]:
    """(the model folder meant by a run, a checkpoint or a model folder, which model that is, for people).

    Of a run: the stage `best`, else the last trained of those whose inputs are still there, in the order of rounds
    and stages.
    Raises UserError with what was tried and what is there.
    """
    for folder in (path, path / "huggingface"):
        if (folder / "config.json").is_file():
            if _grades(folder):
                raise UserError(f"{folder} holds a model that grades answers and gives none (R_phi).")
            return folder, str(folder)
    from medical_rl.loop.plan import split_stage
    from medical_rl.stages import that_train

    order = [*that_train(), "best"]
    run, trained, stale = RunFolder(path), {}, []
    for stage in run.manifest()["stages"]:
        round_, name = split_stage(stage)
        model = run.output(stage, "model") if name in order else None
        if model is None or not (model / "config.json").is_file():
            continue
        if run.is_current(stage):
            rank = (name == "best", round_ or 0, order.index(name))
            trained[rank] = (path / model.relative_to(run.path), stage)
        else:
            stale.append(stage)
    outdated = f" Left out, trained from inputs that have changed since: {', '.join(stale)}." if stale else ""
    if trained:
        folder, stage = trained[max(trained)]
        return folder, f"{stage} ({folder}){outdated}"
    folders = sorted(path.glob("checkpoints/**/huggingface"))
    there = [str(folder.parent) for folder in folders if not _grades(folder)]
    named = f" Name one of {', '.join(there)} to ask it all the same." if there else ""
    raise UserError(
        f"There is no trained model in {path}. Tried: a config.json in it or in its huggingface/, and the stages of "
        f"its manifest that are done ({', '.join(order)}).{outdated}{named}"
    )


def _grades(model: Path) -> bool:
    """True for a classifier such as R_phi, which plain transformers would load with a random head that answers."""
    config = model / "config.json"
    made = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    return any("Classification" in name for name in made or ())


def run_of(model: Path) -> Path | None:
    """The run folder that `model` is part of, None for a model outside a run."""
    for folder in model.resolve().parents:
        if (folder / "config.yaml").is_file() and (folder / "manifest.json").is_file():
            return folder
    return None


class Asker:
    """Puts questions as a model's run asked its own; outside a run as they stand, options below.

    prompt  of the run
    limits  {"min_pixels", "max_pixels"} of the run's images; {} outside one
    rows    {question: a row of the run's training data that asks it}, where such rows are alike but for their images
    common  a row that stands for all, where all have the same kind, choices and knowledge; else None
    """

    def __init__(self, run: Path | None):
        self.prompt, self.limits, self.rows, self.common = BARE, {}, {}, None
        if run is None:
            return
        from omegaconf import OmegaConf

        from medical_rl.data.parquet import read_samples

        conf = OmegaConf.load(run / "config.yaml").conf
        self.limits = {name: int(conf.model[name]) for name in ("min_pixels", "max_pixels")}
        rows = run / "data" / "train.parquet"
        if rows.exists():
            self.prompt = OmegaConf.to_container(conf.prompt)
            facts: dict[str, set] = {}
            for row in read_samples(rows, with_images=False):
                question = label_key(row.question)
                self.rows.setdefault(question, row)
                facts.setdefault(question, set()).add((row.kind, row.choices, row.knowledge))
            if len(set.union(*facts.values())) == 1:
                self.common = next(iter(self.rows.values()))
            self.rows = {question: row for question, row in self.rows.items() if len(facts[question]) == 1}

    def sample(
        self,
        question: str,
        images: Sequence[bytes],
        kind: str = "",
        choices: Sequence = (),
        knowledge: str = "",
    ) -> Sample:
        """The question with what the run's rows say of it: those of the same question, else what all share.

        Raises BadOptions for choices that cannot be told apart.
        """
        own = self.rows.get(label_key(question)) or self.common
        if choices:
            kind = kind or ("label" if own and own.kind == "label" and own.choices else "choice")
            choices = clean_options(choices, lettered=kind == "choice")
        elif own and kind in ("", own.kind):
            kind, choices = own.kind, own.choices
        elif kind == "choice":
            raise BadOptions("it has no options to choose from")
        return Sample(
            id="asked", source="asked", question=question, kind=kind or "label", answer="", choices=tuple(choices),
            images=tuple(images), knowledge=knowledge or (own.knowledge if own else ""), size=image_size(images[0]),
        )  # fmt: skip

    def note(self, sample: Sample) -> str:
        """What was left out because the run's rows do not share it; "" where nothing was."""
        if self.prompt is BARE or self.common or sample.choices or label_key(sample.question) in self.rows:
            return ""
        return (
            "The rows of the model's run ask different questions, none of them this one, with options or knowledge of "
            "their own: it is asked without any. Give what to choose from: --options (a table: the column choices)."
        )


def table_questions(table, asker: Asker, asked: str | None) -> Iterator[tuple[dict, Sample | None, Drops]]:
    """(row, what it asks or None, why it asks nothing) of each row of a `data_preprocess.custom` table.

    asked  the question of a row that has none of its own
    """
    for number, row in enumerate(table.rows(), 1):
        drops = Drops()
        try:
            sample = _table_sample(table, row, f"row {number}", asker, drops, asked)
        except (BadOptions, UserError) as error:
            sample = drops.add(f"row {number}", str(error))
        yield row, sample, drops


def _table_sample(
    table, row: Mapping, name: str, asker: Asker, drops: Drops, asked: str | None
) -> Sample | None:
    from medical_rl.data_preprocess.custom.cells import options_of

    texts = {}
    for field in ("question", "kind", "knowledge"):
        texts[field] = text_of(table.cell(row, field), f"its {field}")
    question, kind = texts["question"] or (asked or "").strip(), texts["kind"]
    if not question:
        return drops.add(name, "it has no question")
    if kind and kind not in KINDS:
        return drops.add(name, f"its kind is none of {', '.join(KINDS)}")
    images = table.pictures(row, name, drops)
    if not images or None in images:
        return drops.add(name, "it has no image")
    return asker.sample(question, images, kind, options_of(table.cell(row, "choices")), texts["knowledge"])


def load_model(model: Path) -> tuple:
    """(processor, network) of a model folder."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    network = AutoModelForImageTextToText.from_pretrained(
        model, dtype="auto", device_map="auto" if torch.cuda.is_available() else None
    )
    return AutoProcessor.from_pretrained(model), network


def respond(loaded: tuple, sample: Sample, asker: Asker, max_new_tokens: int) -> str:
    """The model's greedy response to the question about its images."""
    import torch
    from qwen_vl_utils.vision_process import fetch_image

    from medical_rl.engine.verl.tokens import with_placeholders

    processor, network = loaded
    patch = processor.image_processor.patch_size
    pictures = []
    for image in sample.images:
        pictures.append(fetch_image({"image": decode(image), **asker.limits}, image_patch_size=patch))
    turns = []
    for turn in messages(sample, asker.prompt):
        turns.append({"role": turn["role"], "content": with_placeholders(turn["content"])})
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=pictures, return_tensors="pt").to(network.device)
    with torch.no_grad():
        tokens = network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]


def answer_in(response: str, sample: Sample, asker: Asker) -> str | None:
    """The answer read from a response, as rewards and the evaluation read it; None where there is none."""
    return in_pixels(read(parse(response), sample), sample, asker.prompt)


def ask_once(options) -> str:
    """Answer --question about --image; returns what is printed."""
    drops, images = Drops(), []
    for image in options.image:
        if not image.is_file():
            raise UserError(f"The image {image} does not exist.")
        images.append(checked_image(image.read_bytes(), str(image), drops))
    if None in images:
        raise UserError(" ".join(drop_sentences(drops.summary())).replace("Dropped 1 row: its", "The"))
    model, which = find_model(options.model)
    asker = Asker(None if options.as_is else run_of(model))
    try:
        sample = asker.sample(options.question, images, choices=options.options or ())
    except BadOptions as error:
        raise UserError(f"These --options cannot be asked: {error}.") from None
    print("\n".join(filter(None, [f"model: {which}", asker.note(sample)])))
    response = respond(load_model(model), sample, asker, options.max_new_tokens)
    text = answer_in(response, sample, asker)
    return f"{response}\n\nanswer: {text if text is not None else '(none could be read)'}"


def ask_table(options) -> str:
    """Answer each row of --csv and write --out; returns what is printed."""
    from rich.console import Console
    from rich.progress import track

    from medical_rl.data_preprocess.custom.table import Table

    out = options.out
    check_known("form of --out", out.suffix.lower(), SUFFIXES)
    table = Table(options.csv, options.columns, options.images, (), None, kind="choice", needed=("image",))
    if "question" not in table.names and not options.question:
        raise UserError(
            f"Which column holds the question? {options.csv} has {', '.join(table.columns)}; write --columns "
            "question=COLUMN, or give one for all rows: --question TEXT."
        )
    taken = [name for name in ADDED if name in table.columns]
    if taken:
        raise UserError(
            f"{options.csv} has columns that the answers would replace: {', '.join(taken)}. Rename them."
        )
    model, which = find_model(options.model)
    asker = Asker(None if options.as_is else run_of(model))
    # Every image is read before the model is: a table that cannot be answered is told at once.
    drops, total, without = Drops(), 0, []
    for _, sample, problem in table_questions(table, asker, options.question):
        total += 1
        drops.take(problem)
        if sample is not None and asker.note(sample):
            without.append(asker.note(sample))
    left_out = sum(entry["rows"] for entry in drops.summary().values())
    notes = drop_sentences(drops.summary())
    if without:
        notes.append(f"{len(without):,} rows: {without[0]}")
    if left_out == total:
        raise UserError(f"No row of {options.csv} can be asked. {' '.join(notes)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder of {out} cannot be made: {error.strerror or error}.") from None
    print("\n".join([f"model: {which}", *notes]))
    loaded, rows, unread = load_model(model), [], 0
    questions = track(
        table_questions(table, asker, options.question), "asking", total, console=Console(stderr=True)
    )
    for row, sample, problem in questions:
        answer = dict.fromkeys(ADDED)
        for reason, told in problem.summary().items():
            answer["problem"] = f"{reason} ({told['examples'][0]})"
        if sample is not None:
            response = respond(loaded, sample, asker, options.max_new_tokens)
            answer |= {"prediction": answer_in(response, sample, asker), "response": response}
            unread += answer["prediction"] is None
        rows.append(row | answer)
    write_text(out, _as_text(rows, [*table.columns, *ADDED], out.suffix.lower()))
    return f"{total - left_out} of {total} rows answered, {unread} of them without a readable answer: {out}"


def _as_text(rows: Sequence[Mapping], columns: Sequence[str], suffix: str) -> str:
    """The rows as a CSV or TSV table or as JSON lines; a cell that is a list or a mapping as JSON."""
    shown = []
    for row in rows:
        cells = {}
        for name, cell in row.items():
            if isinstance(cell, list | tuple | dict) and suffix != ".jsonl":
                cell = json.dumps(cell, ensure_ascii=False, default=_without_bytes)
            cells[name] = cell
        shown.append(cells)
    if suffix == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=False, default=_without_bytes) + "\n" for row in shown]
        return "".join(lines)
    text = io.StringIO()
    separator = "\t" if suffix == ".tsv" else ","
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n", delimiter=separator)
    writer.writeheader()
    writer.writerows(shown)
    return text.getvalue()


def _without_bytes(value) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)


def main(argv: list[str] | None = None) -> int:
    """Print the model, the response and the answer read from it, or answer a table; 2 on unusable input."""
    parser = argparse.ArgumentParser(
        prog="python -m medical_rl.predict", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add(
        "--model",
        required=True,
        type=Path,
        help="run folder (its best, else last trained model), stage or model folder",
    )
    add("--image", type=Path, action="append", help="PNG or JPEG; repeat for several")
    add("--question", help="put into the prompt of the model's run; of a table, for rows without their own")
    add(
        "--options",
        nargs="+",
        metavar="TEXT",
        help="what to choose from (default: the classes of the run's data)",
    )
    add("--csv", metavar="TABLE", help="a table of questions, in the forms that data_preprocess.custom reads")
    add("--out", type=Path, metavar="FILE", help=f"the answered table ({', '.join(SUFFIXES)})")
    add("--columns", nargs="+", metavar="FIELD=COLUMN", help="of a table whose columns have other names")
    add("--images", metavar="DIR", help="where a table's image paths start (default: its folder)")
    add("--as-is", action="store_true", help="ask the question as it stands, without a template")
    add("--max-new-tokens", type=int, default=512)
    options = parser.parse_args(argv)
    try:
        if options.csv and options.out and not options.image and not options.options:
            text = ask_table(options)
        elif options.image and options.question and not options.csv and not options.out:
            text = ask_once(options)
        else:
            raise UserError(
                "Ask one question, --image X.png --question TEXT, or those of a table, --csv TABLE --out FILE."
            )
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    print(f"{text}\nNot for clinical use.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
