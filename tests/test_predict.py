"""Which model `medical_rl.predict` asks, what it is asked about, and what it writes for a table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from medical_rl import predict
from medical_rl.data.parquet import write_split
from medical_rl.errors import UserError
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.stages.common.models import resolve_model

PIXEL = encode_png(np.zeros((1, 1), np.uint8))
LOOP = ("round_1/warm_start", "round_1/rl", "round_2/warm_start", "round_2/rl")


@pytest.fixture
def make_run(tmp_path):
    """A run folder whose stages are done, each with a model folder."""

    def make(*stages: str, failed: tuple[str, ...] = ()) -> Path:
        run = tmp_path / "run"
        manifest = {}
        for stage in ("base", *stages, *failed):
            relative = f"checkpoints/{stage}/huggingface"
            (run / relative).mkdir(parents=True)
            (run / relative / "config.json").write_text(
                '{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}'
            )
            output = {"path": relative, "sha256": stage, "stamp": ""}
            status = "failed" if stage in failed else "done"
            name = "prepare" if stage == "base" else stage
            manifest[name] = {"status": status, "outputs": {"model": output}}
        (run / "manifest.json").write_text(json.dumps({"stages": manifest}))
        return run

    return make


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        ((*LOOP, "best"), "best"),  # MedGR2's own
        (LOOP, "round_2/rl"),  # the loop was killed before `best`
        (LOOP[:3], "round_2/warm_start"),  # and before the second round's RL
        (("warm_start", "sft", "rl"), "rl"),  # the rival arm is none that is taken unasked
        (("warm_start", "localize_sft", "localize_rl"), "localize_rl"),
        (("warm_start",), "warm_start"),
        (
            ("reward_model", "align", *LOOP[:1]),
            "round_1/warm_start",
        ),  # what answers no question is passed over
    ],
)
def test_a_run_answers_with_its_best_model_else_the_last_that_was_trained(make_run, stages, wanted):
    run = make_run(*stages)
    folder, which = predict.find_model(run)
    assert folder == run / "checkpoints" / wanted / "huggingface"
    assert which.startswith(f"{wanted} (")


def test_a_stage_that_failed_is_none_that_was_trained(make_run):
    folder, _ = predict.find_model(make_run("warm_start", failed=("rl",)))
    assert folder.parent.name == "warm_start"


def test_a_model_whose_inputs_have_changed_since_is_left_out_and_told(make_run):
    run = make_run("warm_start", "rl")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"]["rl"]["inputs"] = {"warm_start/model": "of an earlier warm start"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    folder, which = predict.find_model(run)
    assert folder.parent.name == "warm_start" and which.endswith("inputs that have changed since: rl.")


def test_the_untrained_model_is_never_taken_unasked(make_run):
    run = make_run()
    with pytest.raises(UserError, match=r"no trained model.*checkpoints/base"):
        predict.find_model(run)
    assert predict.find_model(run / "checkpoints" / "base")[0].parent.name == "base"


def test_a_reward_model_is_asked_no_question(make_run):
    run = make_run("reward_model")
    config = run / "checkpoints" / "reward_model" / "huggingface" / "config.json"
    config.write_text('{"architectures": ["Qwen2_5_VLForSequenceClassification"]}')
    with pytest.raises(UserError, match="grades answers and gives none"):
        predict.find_model(run / "checkpoints" / "reward_model")
    with pytest.raises(UserError, match=r"Name one of [^ ]*checkpoints/base to ask"):
        predict.find_model(run)


@pytest.mark.parametrize("setting", ["conf.model.path", "conf.evaluation.models", "conf.generator.model"])
def test_a_setting_that_takes_a_model_chooses_none_of_a_runs_and_names_them(make_run, setting):
    run = make_run(*LOOP, "best")
    with pytest.raises(
        UserError, match=rf"{setting} takes.*give one of its models.*checkpoints/best/huggingface"
    ):
        resolve_model(str(run), setting=setting)


def png(path: Path, level: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((8, 8), level, np.uint8)))
    return path


@pytest.fixture
def engine(monkeypatch):
    """Stands for the model: what happens, in order, and the samples it is asked; it says `answer`."""

    class Events(list):
        answer = "<think>Seen.</think><answer>B</answer>"

    events = Events()

    def respond(loaded, sample, asker, tokens):
        events.append(sample)
        return events.answer

    monkeypatch.setattr(predict, "load_model", lambda folder: events.append(f"load {folder}"))
    monkeypatch.setattr(predict, "respond", respond)
    return events


def ask(*arguments) -> int:
    return predict.main(list(map(str, arguments)))


def test_it_says_which_model_answers(make_run, engine, tmp_path, capsys):
    run = make_run(*LOOP, "best")
    assert ask("--model", run, "--image", png(tmp_path / "x.png"), "--question", "Which?", "--as-is") == 0
    assert "model: best (" in capsys.readouterr().out
    assert engine[0] == f"load {run / 'checkpoints' / 'best' / 'huggingface'}"


def test_a_table_is_answered_row_by_row_and_keeps_its_columns(make_run, engine, tmp_path, capsys):
    run = make_run("rl")
    png(tmp_path / "scans" / "a.png")
    png(tmp_path / "scans" / "b.png")
    table = tmp_path / "scans" / "questions.csv"
    table.write_text(
        "patient,image,question,choices\n"
        "p1,a.png,Which plane?,axial|sagittal\n"
        'p2,b.png,Is there fluid?,"[""yes, much"", ""no""]"\n'
        "p3,gone.png,Which plane?,axial|sagittal\n"
    )
    out = tmp_path / "made" / "answers.csv"
    assert ask("--model", run, "--csv", table, "--out", out) == 0
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["patient"] for row in rows] == ["p1", "p2", "p3"]
    assert [row["prediction"] for row in rows] == ["sagittal", "no", ""]  # the text of option B
    assert [bool(row["response"]) for row in rows] == [True, True, False]
    assert "not in the folder" in rows[2]["problem"] and "gone.png" in rows[2]["problem"]
    said = capsys.readouterr().out
    assert "2 of 3 rows answered" in said and "model: rl (" in said and "Not for clinical use." in said
    assert [sample.choices for sample in engine[1:]] == [("axial", "sagittal"), ("yes, much", "no")]


def test_a_table_of_json_lines_is_answered_as_json_lines(make_run, engine, tmp_path):
    png(tmp_path / "a.png")
    lines = tmp_path / "questions.jsonl"
    lines.write_text(json.dumps({"image": "a.png", "question": "Which?", "choices": ["x", "y"]}) + "\n")
    assert ask("--model", make_run("rl"), "--csv", lines, "--out", tmp_path / "answers.jsonl") == 0
    (row,) = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert row["choices"] == ["x", "y"] and row["prediction"] == "y" and row["problem"] is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("image,question\ngone.png,Which?\n", "not in the folder"),
        ("image,question\nbroken.png,Which?\n", "cannot be decoded"),
        ("image,question,kind\na.png,Which?,kindly\n", "its kind is none of"),
        ("image,question,kind\na.png,Which?,choice\n", "no options to choose from"),
        ("image,finding\na.png,x\n", "Which column holds the question"),
        ("question\nWhich?\n", "Which column holds the image"),
        ("image,question,response\na.png,Which?,x\n", "would replace: response"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_model_is_loaded(
    make_run, engine, tmp_path, capsys, content, complaint
):
    png(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "t.csv").write_text(content)
    out = tmp_path / "answers.csv"
    assert ask("--model", make_run("rl"), "--csv", tmp_path / "t.csv", "--out", out) == 2
    assert complaint in capsys.readouterr().err
    assert engine == [] and not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--image", "IMAGE"),
        ("--question", "Which?"),
        ("--csv", "t.csv"),
        ("--csv", "t.csv", "--out", "a.csv", "--image", "IMAGE"),
        ("--image", "IMAGE", "--question", "Which?", "--out", "a.csv"),
    ],
)
def test_half_a_question_is_refused(make_run, engine, tmp_path, capsys, arguments):
    image = str(png(tmp_path / "x.png"))
    asked = [image if part == "IMAGE" else part for part in arguments]
    assert ask("--model", make_run("rl"), *asked) == 2
    assert "--csv TABLE --out FILE" in capsys.readouterr().err and engine == []


def test_a_broken_image_is_told_before_the_model_is_loaded(make_run, engine, tmp_path, capsys):
    (tmp_path / "x.png").write_bytes(b"no image")
    assert ask("--model", make_run("rl"), "--image", tmp_path / "x.png", "--question", "Which?") == 2
    assert "x.png" in capsys.readouterr().err and engine == []


def test_a_question_of_the_runs_own_has_its_options_and_another_one_none_of_them(
    make_run, engine, tmp_path, capsys
):
    """Rows of multiple-choice sets have options of their own: the first row's are not those of any question."""
    run = make_run("rl")
    rows = [
        Sample("1", "s", "Which organ?", "choice", "A", ("heart", "lung"), (PIXEL,)),
        Sample("2", "s", "Which plane?", "choice", "A", ("axial", "sagittal"), (PIXEL,)),
        Sample("3", "s", "What is seen?", "choice", "A", ("mass", "cyst"), (PIXEL,)),
        Sample("4", "s", "What is seen?", "choice", "A", ("fluid", "air"), (PIXEL,)),
    ]
    prompt = {"name": "p", "template": "{{ question }}", "target": "<answer>{{ letter }}</answer>"}
    (run / "data").mkdir()
    write_split(rows, run / "data" / "train.parquet", prompt)
    model = {"min_pixels": 1, "max_pixels": 9}
    (run / "config.yaml").write_text(yaml.safe_dump({"conf": {"model": model, "prompt": prompt}}))
    image = png(tmp_path / "x.png")
    for question in ("which plane", "Is it broken?", "What is seen?"):
        assert ask("--model", run, "--image", image, "--question", question) == 0
    assert [sample.choices for sample in engine if isinstance(sample, Sample)] == [
        ("axial", "sagittal"),
        (),
        (),
    ]
    assert capsys.readouterr().out.count("it is asked without any") == 2


def test_a_model_folder_outside_a_run_answers_a_table(tmp_path):
    from medical_rl.tiny.model import build_tiny_model

    model = build_tiny_model(["Which?", "<answer>A</answer>"], cache=tmp_path)
    png(tmp_path / "a.png")
    (tmp_path / "t.tsv").write_text("image\tquestion\tA\tB\na.png\tWhich?\tx\ty\n")
    out = tmp_path / "answers.tsv"
    assert ask("--model", model, "--csv", tmp_path / "t.tsv", "--out", out, "--max-new-tokens", 3) == 0
    header, row = out.read_text().splitlines()
    assert header.split("\t") == ["image", "question", "A", "B", "prediction", "response", "problem"]


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        ("A,B", "axial,sagittal"),
        ("choice_A,choice_B", "axial,sagittal"),
        ("choices", '"[""axial"", ""sagittal""]"'),
        (
            "choices",
            '"[{""letter"": ""A"", ""content"": ""axial""}, {""letter"": ""B"", ""content"": ""sagittal""}]"',
        ),
        ("choices", '"{""A"": ""axial"", ""B"": ""sagittal""}"'),
    ],
)
def test_options_are_read_in_every_form_that_a_table_is_prepared_in(
    make_run, engine, tmp_path, columns, cells
):
    png(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(f"image,question,{columns}\na.png,Which plane?,{cells}\n")
    assert ask("--model", make_run("rl"), "--csv", tmp_path / "t.csv", "--out", tmp_path / "o.csv") == 0
    assert engine[1].choices == ("axial", "sagittal") and engine[1].kind == "choice"


def test_the_yes_no_questions_of_vqa_rad_are_answered_as_they_are_published(
    realdata, make_run, engine, tmp_path
):
    table = realdata / "vqa_rad" / "vqa_rad_yesno_DERIVED.csv"
    if not table.is_file():
        pytest.skip("VQA-RAD is not among the real files")
    asked, out = tmp_path / "first.csv", tmp_path / "answers.csv"
    asked.write_text("".join(table.read_text().splitlines(keepends=True)[:201]))
    engine.answer = "<answer>No.</answer>"
    told = ("--csv", asked, "--images", table.parent, "--out", out)
    assert ask("--model", make_run("rl"), *told) == 0
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    # in order, with their own columns; kind yes_no: "No." is read as no
    with asked.open() as lines:
        assert [row["id"] for row in rows] == [row["id"] for row in csv.DictReader(lines)]
    assert len(rows) == 200 and {row["prediction"] for row in rows} == {"no"}
    assert {sample.kind for sample in engine[1:]} == {"yes_no"}
