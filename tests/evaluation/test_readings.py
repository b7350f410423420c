"""Strict, among parsed, lenient: what a model gains in form is not sold as knowledge, in any table of results."""

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from medical_rl.data.parquet import write_split
from medical_rl.evaluation.__main__ import main
from medical_rl.evaluation.metrics import metrics
from medical_rl.evaluation.results import entry, find_runs, write_results
from medical_rl.evaluation.tables.collect import collect_runs, collected_markdown
from medical_rl.evaluation.tables.results_table import print_results, results_markdown
from medical_rl.images import encode_png
from medical_rl.parsing.response import gold, parse, parse_lenient, read
from medical_rl.sample import Sample
from medical_rl.stages.common import evaluate
from medical_rl.stages.common.evaluated import EvalSet

PROMPT = {"name": "p", "template": "{{ question }}", "target": "<answer>{{ answer }}</answer>"}
PIXEL = encode_png(np.zeros((1, 1), np.uint8))
INSIDE = "<think>There is no opacity, so <answer>B) No</answer></think>"


def question(number, answer="B"):
    return Sample(
        str(number), "demo", "Does it show pneumonia?", "choice", answer, ("Yes", "No"), (PIXEL,), size=(1, 1)
    )


@pytest.fixture
def scored(tmp_path):
    """Scores responses to as many alike questions, whose answer is No, as the stage evaluate does."""

    def score(*responses):
        rows = tmp_path / "test.parquet"
        write_split([question(i) for i in range(len(responses))], rows, PROMPT)
        lines = [json.dumps({"id": str(i), "response": text}) + "\n" for i, text in enumerate(responses)]
        (tmp_path / "responses.jsonl").write_text("".join(lines))
        return evaluate.score(EvalSet("demo", rows, PROMPT), tmp_path / "responses.jsonl", None)

    return score


def test_an_answer_inside_the_thought_is_wrong_strictly_and_right_leniently(scored):
    records = scored(INSIDE, "<think>Clear.</think><answer>B</answer>", "A) Yes", "B) No")
    # strict: one of four, the only one parsed; lenient: three of four, as "A) Yes" is wrong however it is read
    assert [row["pred"] for row in records] == [None, "No", None, None]
    assert [row["lenient_pred"] for row in records] == ["No", "No", "Yes", "No"]
    figures = metrics(records)
    assert (figures["accuracy"], figures["accuracy_parsed"], figures["lenient"]) == (0.25, 1.0, 0.75)
    assert figures["unparsed"] == 0.75


def test_a_model_that_learns_the_form_alone_gains_in_accuracy_and_not_in_lenient(scored):
    before, after = scored(INSIDE, INSIDE), scored("<answer>B</answer>", "<answer>B</answer>")
    assert [metrics(rows)["accuracy"] for rows in (before, after)] == [0.0, 1.0]
    assert [metrics(rows)["lenient"] for rows in (before, after)] == [1.0, 1.0]
    assert "accuracy_parsed" not in metrics(before), "of nothing that is parsed there is no share"


def test_every_table_of_results_says_the_three_accuracies(scored, made_up, tmp_path, capsys):
    rows = scored(INSIDE, "<answer>B</answer>", "B) No", "A) Yes")  # 0.250, 1.000, 0.750
    run = made_up("run", {"conf.prompt.name": "plain"})
    evaluations = [entry("base", "made_up", "test", rows), entry("rl", "made_up", "test", rows)]
    write_results(run, "medgr2", "tiny", 1, evaluations)
    results = {"recipe": "medgr2", "scale": "tiny", "seed": 1, "evaluations": evaluations}
    terminal = io.StringIO()
    print_results(results, Console(width=80, file=terminal))
    runs = find_runs([run])
    assert main(["collect", str(run), "--paper", "--out", str(tmp_path / "out")]) == 0
    paper = capsys.readouterr().out
    for text in (results_markdown(results), terminal.getvalue(), collected_markdown(collect_runs(runs))):
        figures = re.findall(r"\d\.\d{3}", text)
        assert {"0.250", "1.000", "0.750"} <= set(figures)
        assert "a gain of format, not of knowledge" in " ".join(text.split())
    assert "| 25.00 / 100.00 / 75.00 |" in paper and "a gain of format" in paper
    header = (tmp_path / "out" / "collected.csv").read_text().splitlines()[0].split(",")
    assert {"accuracy", "accuracy_parsed", "lenient"} <= set(header)
    assert max(map(len, terminal.getvalue().splitlines())) <= 80


def test_records_of_an_earlier_release_have_no_lenient_figure_and_no_column(scored):
    records = [
        {k: v for k, v in row.items() if not k.startswith("lenient")} for row in scored(INSIDE, "B) No")
    ]
    evaluation = entry("base", "demo", "test", records)
    assert "lenient" not in evaluation["metrics"]
    text = results_markdown({"recipe": "r", "scale": "tiny", "seed": 1, "evaluations": [evaluation]})
    assert "enient" not in text


def test_pictures_of_accuracies_say_that_answers_are_read_strictly(made_up, tmp_path):
    groups = {"modality": ["CT", "MRI"]}
    settings = {
        "conf.loop.filter.by": "top_k",
        "conf.loop.filter.k": 3,
        "conf.data.train_where.modality": "CT",
    }
    run = made_up("run", settings, {("warm_start", None): [1, 0], ("rl", None): [1, 1]}, groups)
    page = tmp_path / "page.html"
    for command in (["transitions", str(run)], ["transfer", str(run)], ["scaling", str(run)]):
        assert main([*command, "--out", str(page)]) == 0
        assert "Answers are read strictly" in page.read_text(), command


# File -> of its rows: all, those read strictly, right strictly, read leniently as one of the options, right leniently,
# and those in which the text names an option with its letter, and in how many of these the lenient reading is that one
# (GPT-4o goes on after it in 11 and 15 answers: "**B) No**. Do you want me to ...").
OUTPUTS = {
    "openi_single__ours_process_final_150": (370, 370, 220, 370, 220, 370, 370),
    "rsna_binary__chexagent3b": (300, 0, 0, 300, 235, 300, 300),
    "rsna_binary__deepseek": (300, 0, 0, 300, 212, 300, 300),
    "rsna_binary__gpt4o": (300, 0, 0, 275, 201, 285, 274),
    "rsna_binary__llavanext": (300, 0, 0, 24, 11, 24, 24),
    "rsna_binary__meddr": (300, 0, 0, 271, 206, 201, 201),
    "rsna_binary__ours_process_final_150": (300, 300, 238, 300, 238, 300, 300),
    "rsna_binary__qwenvl72b": (300, 300, 148, 300, 148, 300, 300),
    "rsna_binary__qwenvl7b": (300, 209, 127, 300, 167, 300, 300),
    "rsna_binary__radfm": (300, 0, 0, 161, 96, 0, 0),
    "siim_binary__gpt4o": (300, 0, 0, 274, 170, 289, 274),
    "siim_binary__llavanext": (300, 0, 0, 290, 142, 290, 290),
    "siim_binary__ours_process_final_150": (300, 300, 251, 300, 251, 300, 300),
}


def chestx_sample(row):
    """The row's question as a sample: "... Options:\\nA) Yes\\nB) No", its answer a letter, some in a mark."""
    bare, _, options = row["question"].partition(" Options:\n")
    choices = tuple(re.findall(r"^[A-Z]\) (.*)$", options, re.MULTILINE))
    return Sample("x", "chestx", bare, "choice", re.sub(r"</?answer>", "", row["answer"]).strip(), choices)


def outputs(realdata, name):
    """(row, sample, what the model said: some files have the prompt before it) of a file."""
    folder = realdata / "vlm_outputs" / "chestx_reasoner"
    if not folder.is_dir():
        pytest.skip("the outputs of other models (../shared/realdata/vlm_outputs) are not there")
    for row in json.loads((folder / f"{name}.json").read_text()):
        yield row, chestx_sample(row), row["pred"].split("\nassistant\n")[-1]


def stated(text, sample):
    """The option that the text itself names last with its letter ("B) No", "<answer> C </answer>"); None without."""
    named = [
        f"{letter}\\W{{1,3}}{re.escape(option)}"
        for letter, option in zip("ABCD", sample.choices, strict=False)
    ]
    last = re.findall(rf"\b({'|'.join(named)})|<answer>\s*([A-D])\s*</answer>", text)
    return sample.choices["ABCD".index("".join(last[-1])[0])] if last else None


@pytest.mark.parametrize("name", OUTPUTS)
def test_real_outputs_of_other_models_are_read_as_they_say(realdata, name):
    counts = dict.fromkeys(
        ("rows", "strict", "strict right", "lenient", "lenient right", "stated", "agree"), 0
    )
    for row, sample, text in outputs(realdata, name):
        strict, lenient = read(parse(text), sample), read(parse_lenient(text), sample)
        says = stated(text, sample)
        counts["rows"] += 1
        counts["strict"] += strict is not None
        counts["strict right"] += strict == gold(sample)
        counts["lenient"] += lenient in sample.choices
        counts["lenient right"] += lenient == gold(sample)
        counts["stated"] += says is not None
        counts["agree"] += says is not None and says == lenient
        assert strict is None or strict == lenient, "the lenient reading is never another one"
        if "correct" in row:  # the verdict of the file's own grader
            assert (lenient == gold(sample)) == (row["correct"] == "yes")
    assert tuple(counts.values()) == OUTPUTS[name]
    if name == "rsna_binary__qwenvl7b":
        inside = [
            text
            for _, _, text in outputs(realdata, name)
            if re.search(r"<answer>.*</think>\s*$", text, re.DOTALL)
        ]
        assert len(inside) == 72
