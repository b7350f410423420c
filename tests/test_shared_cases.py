"""Cases of ../shared/cases, whose right values were decided before the product was asked; read in place."""

import dataclasses
import json

import pytest

from medical_rl.parsing.response import gold_problem, parse, parse_lenient, read
from medical_rl.pseudo_label.report_reader.questions import query
from medical_rl.pseudo_label.report_reader.reading import read_report
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.fact import fact
from medical_rl.rewards.terms.format import format_reward
from medical_rl.sample import Sample


@pytest.fixture(scope="session")
def cases(realdata):
    """The cases of one file, {id: case}; skipped where the folder is not beside the checkout."""

    def load(name):
        file = realdata.parent / "cases" / name
        if not file.is_file():
            pytest.skip(f"the cases (../shared/cases/{name}) are not beside this checkout")
        return {case["id"]: case for case in map(json.loads, file.read_text(encoding="utf-8").splitlines())}

    return load


def sample_of(case):
    size = tuple(case["size"]) if case.get("size") else None
    choices = tuple(case.get("choices") or ())
    question = case.get("question", "?")
    return Sample("1", "shared", question, case["kind"], case["answer"], choices=choices, size=size)


@pytest.mark.parametrize(
    "name, expected", [("graders.jsonl", "expect_accuracy"), ("parser.jsonl", "expect_acc")]
)
def test_accuracy_is_what_a_careful_person_says(cases, name, expected):
    wrong = {}
    for key, case in cases(name).items():
        sample, response = sample_of(case), parse(case["response"])
        assert gold_problem(sample) is None, key
        if accuracy(response, sample) != case[expected]:
            wrong[key] = (read(response, sample), case["answer"], case.get("why") or case.get("note"))
    assert wrong == {}


def test_a_form_is_what_its_paper_says(cases):
    wrong = {}
    for key, case in cases("format.jsonl").items():
        if format_reward(parse(case["response"]), sample_of(case), case["form"]) != case["expect"]:
            wrong[key] = case.get("note", case["response"])
    assert wrong == {}


def test_the_fact_reward_names_a_concept_as_a_careful_person_does(cases):
    wrong = {}
    for name, expected, options in (
        ("fact.jsonl", "expect", {}),
        ("fact_negated.jsonl", "expect_fact_skip_negated", {"skip_negated": True}),
    ):
        for key, case in cases(name).items():
            sample = dataclasses.replace(sample_of(case), concepts=tuple(case["concepts"]))
            if fact(parse(case["response"]), sample, **options) != pytest.approx(case[expected]):
                wrong[key] = case.get("note") or case.get("why")
    assert wrong == {}


@pytest.mark.parametrize("name", ["rule.jsonl", "rule2.jsonl", "negation.jsonl"])
def test_a_report_says_what_a_careful_person_reads_in_it(cases, name):
    answers, wrong = {"affirmed": "yes", "negated": "no"}, {}
    for key, case in cases(name).items():
        state = read_report(query(case["question"]), case["report"]).state
        # no statement at all will do where a doubtful one is expected
        accepted = case.get("accept", [answers.get(case.get("expect"))])
        if answers.get(state) not in accepted:
            wrong[key] = (state, case.get("why") or case["note"])
    assert wrong == {}


def texts(realdata, name):
    """(response, sample) of a file of real outputs: two options, of which "answer" names the letter."""
    file = realdata / "vlm_outputs" / "chestx_reasoner" / f"{name}.json"
    for number, row in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        letter = row["answer"].replace("<answer>", "").replace("</answer>", "").strip()
        options = row["question"].partition("Options:\n")[2].splitlines()
        choices = tuple(line[3:] for line in options if line[1:3] == ") ")
        text = row["pred"].rpartition("\nassistant\n")[2]
        answer = choices["ABCD".index(letter)]
        yield text, Sample(str(number), name, "?", "choice", answer, choices=choices)


# {file: (read strictly, of them right, read leniently, of them right)}
OUTPUTS = {
    "openi_single__ours_process_final_150": (370, 220, 370, 220),
    "rsna_binary__chexagent3b": (0, 0, 300, 235),
    "rsna_binary__deepseek": (0, 0, 300, 212),
    "rsna_binary__gpt4o": (0, 0, 275, 201),
    "rsna_binary__llavanext": (0, 0, 24, 11),
    "rsna_binary__meddr": (0, 0, 271, 206),
    "rsna_binary__ours_process_final_150": (300, 238, 300, 238),
    "rsna_binary__qwenvl72b": (300, 148, 300, 148),
    "rsna_binary__qwenvl7b": (209, 127, 300, 167),
    "rsna_binary__radfm": (0, 0, 161, 96),
    "siim_binary__gpt4o": (0, 0, 274, 170),
    "siim_binary__llavanext": (0, 0, 290, 142),
    "siim_binary__ours_process_final_150": (300, 251, 300, 251),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_real_outputs_are_read_strictly_and_leniently(realdata, name):
    counts = [0, 0, 0, 0]
    for text, sample in texts(realdata, name):
        for place, parser in ((0, parse), (2, parse_lenient)):
            answer = read(parser(text), sample)
            counts[place] += answer in sample.choices
            counts[place + 1] += answer == sample.answer
        assert read(parse(text), sample) in (None, read(parse_lenient(text), sample)), "never stricter"
    assert tuple(counts) == OUTPUTS[name]


def test_answers_inside_the_thought_are_lost_to_the_strict_reading_alone(realdata):
    inside = []
    for text, sample in texts(realdata, "rsna_binary__qwenvl7b"):
        before = text.partition("</think>")[0]
        if "</think>" in text and "<answer>" in before and "</answer>" in before:
            inside.append((read(parse(text), sample), read(parse_lenient(text), sample) in sample.choices))
    assert len(inside) == 72 and all(lenient for _, lenient in inside)
    assert sum(strict is None for strict, _ in inside) >= 60
