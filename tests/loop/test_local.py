"""The local generator: replies of a model under vLLM, sampled with a seed, kept while the request stays the same."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.loop.generate import generate
from medical_rl.loop.generators import models
from medical_rl.loop.generators.prompts_and_replies import CUT_OFF, MALFORMED, settings_prompt

LIMITS = {"min_pixels": 3136, "max_pixels": 3136}
ENGINE = {"device": "cpu", "dtype": "float32", "gpu_memory_utilization": 0.5}
TINY = {"strategy": "distilled", "format": "lines", "per_reply": 1, "max_new_tokens": 24, "batch": 8}


@pytest.fixture
def chosen(settings, tmp_path):
    """Settings of the local generator at the tiny scale, with a model folder that no one opens."""
    (tmp_path / "model").mkdir()
    return lambda **changes: settings("local", **{**TINY, "model": str(tmp_path / "model"), **changes})


@pytest.fixture
def propose(chosen, tmp_path, monkeypatch):
    """Proposals where `speak(row id, number)` gives each reply and why it ended; and the request."""

    def make(rows, speak, **changes):
        asked = {}

        def respond(request, path, output):
            asked.update(request)
            with output.open("w") as file:
                for sample in read_samples(request["rows"]):
                    texts, finishes = zip(
                        *(speak(sample.id, number) for number in range(request["n"])), strict=True
                    )
                    line = (
                        {"responses": texts, "finishes": finishes}
                        if request["n"] > 1
                        else {"response": texts[0], "finish": finishes[0]}
                    )
                    file.write(json.dumps({"id": sample.id, **line}) + "\n")
            return output

        monkeypatch.setattr(models, "run_request", respond)
        work = RoundContext(2, 5, tmp_path / "round", tmp_path, LIMITS, ENGINE)
        return models.propose_by_local(chosen(**changes), rows, work), asked

    return make


def test_each_row_is_asked_by_the_generators_prompt_as_often_as_it_needs_replies(propose, make_row):
    rows = [make_row(i, question="SECRET-Q") for i in range(3)]
    found, asked = propose(
        rows, lambda id, number: (f"Is it {id}? | It is. | yes {number}", "stop"), per_image=3
    )
    assert [(row.id, t.question, t.answer) for row, t in found.pairs] == [
        (str(i), f"Is it {i}?", f"yes {number}") for i in range(3) for number in range(3)
    ]
    assert (
        asked["n"] == 3
        and asked["temperature"] == 0.8
        and asked["limits"] == LIMITS
        and asked["device"] == "cpu"
    )
    for sample in read_samples(asked["rows"]):
        assert messages(sample, asked["prompt"]) == [
            {"role": "user", "content": "<image>Ask. question | options | rationale | answer"}
        ]


def test_bad_replies_and_cut_ones_are_counted(propose, make_row):
    said = {0: ("I see.", "stop"), 1: ("a? | b | c", "length"), 2: ("a? | b | c", "stop"), 3: ("", "stop")}
    found, _ = propose([make_row(1)], lambda id, number: said[number])
    assert found.bad_replies == {MALFORMED: 1, CUT_OFF: 1} and len(found.pairs) == 1


def test_one_reply_may_hold_several_triplets_in_json(propose, make_row):
    one = {"question": "Is it?", "options": None, "rationale": "It is.", "answer": "yes"}
    text = json.dumps({"triplets": [one, {**one, "answer": "no"}]})
    found, asked = propose(
        [make_row(1)],
        lambda id, number: (text, "stop"),
        format="json",
        strategy="direct",
        per_image=4,
        per_reply=4,
    )
    assert asked["n"] == 1 and [t.answer for _, t in found.pairs] == ["yes", "no"]
    assert asked["prompt"] == settings_prompt({"strategy": "direct", "format": "json", "per_reply": 4})


def test_rounds_have_seeds_of_their_own(chosen, make_row, tmp_path, monkeypatch):
    seeds = []

    def respond(request, path, output):
        seeds.append(request["seed"])
        output.write_text(json.dumps({"id": "1", "responses": ["x"] * 4, "finishes": ["stop"] * 4}))
        return output

    monkeypatch.setattr(models, "run_request", respond)
    for seed, round in ((0, 1), (0, 2), (1, 1), (0, 1)):
        models.propose_by_local(
            chosen(), [make_row(1)], RoundContext(round, seed, tmp_path / "round", tmp_path, LIMITS, ENGINE)
        )
    assert seeds[0] == seeds[3] and len(set(seeds)) == 3


def test_without_a_model_or_a_temperature_it_says_so(chosen, make_row, tmp_path):
    work = RoundContext(1, 0, tmp_path / "round", tmp_path, LIMITS, ENGINE)
    with pytest.raises(UserError, match="conf.generator.model=FOLDER"):
        models.propose_by_local(chosen(model=None), [make_row(1)], work)
    with pytest.raises(UserError, match="conf.generator.temperature"):
        models.propose_by_local(chosen(temperature=0.0), [make_row(1)], work)


@pytest.mark.engine
def test_a_tiny_model_replies_under_vllm_and_a_second_call_asks_nothing(
    settings, prompt, facts_rows, tmp_path, monkeypatch
):
    """Random weights say nothing readable: what counts is that every reply came, sampled, and is the same the second time."""
    from medical_rl.engine.host.environment import stage_environment
    from medical_rl.tiny.model import build_tiny_model

    for name, value in stage_environment(ENGINE, "test", "generate", str(tmp_path / "metrics.jsonl")).items():
        monkeypatch.setenv(name, value)
    form = settings_prompt(settings("local", **TINY))
    texts = {turn["content"] for row in facts_rows(4) for turn in messages(row, form)}
    model = build_tiny_model(texts | {row.question for row in facts_rows(4)}, cache=tmp_path / "cache")
    chosen = settings("local", **TINY, model=str(model), per_image=3)
    call = {
        "round": 1,
        "seed": 0,
        "folder": tmp_path / "round",
        "prompt": prompt,
        "limits": LIMITS,
        "engine": ENGINE,
    }
    counts = generate(chosen, facts_rows(4), **call)
    assert counts["asked"] == 4 and sum(counts["bad_replies"].values()) + counts["generated"] >= 12
    replies = tmp_path / "round" / "replies.jsonl"
    lines = [json.loads(line) for line in replies.read_text().split("\n") if line]
    assert [line["id"] for line in lines] == [row.id for row in facts_rows(4)]
    said = [text for line in lines for text in line["responses"]]
    assert len(said) == 12 and len(set(said)) == 12, "each reply has a seed of its own"
    assert all(finish in ("stop", "length") for line in lines for finish in line["finishes"])
    before = (
        replies.read_text(),
        (tmp_path / "round" / "candidates.parquet").read_bytes(),
        replies.stat().st_mtime_ns,
    )
    assert generate(chosen, facts_rows(4), **call) == counts
    assert (
        replies.read_text(),
        (tmp_path / "round" / "candidates.parquet").read_bytes(),
        replies.stat().st_mtime_ns,
    ) == before
    # half of it lost, as by a kill in the middle of a line: what is missing is asked again and is the same
    replies.write_text(before[0][: len(before[0]) // 2])
    generate(chosen, facts_rows(4), **call)
    assert [json.loads(line) for line in replies.read_text().split("\n") if line] == lines
