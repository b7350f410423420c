"""The local labeller: the final answer of a model under vLLM, read as training reads it."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.errors import UserError
from medical_rl.pseudo_label.label import Label
from medical_rl.pseudo_label.labellers import label, local


@pytest.fixture
def answer(settings, work, tmp_path, monkeypatch):
    """Labels where `speak(number)` is the reply to the question of that number; and the request."""
    (tmp_path / "model").mkdir()

    def make(asked, speak, **changes):
        request = {}

        def respond(given, path, output):
            request.update(given)
            lines = (
                json.dumps({"id": s.id, "response": speak(int(s.id)), "finish": "stop"})
                for s in read_samples(given["rows"])
            )
            output.write_text("\n".join(lines) + "\n")
            return output

        monkeypatch.setattr(local, "run_request", respond)
        return label(settings("local", model=str(tmp_path / "model"), **changes), asked, work), request

    return make


def test_the_final_answer_is_the_label_and_the_thought_its_rationale(ask, answer):
    said = [
        "<think>No meniscus.</think><answer>No</answer>",
        "<think>yes</think> It is there, yes.",  # no final answer: unparsed, and nothing is guessed
        "<answer>Yes.</answer>",
        "<think>The answer is yes <answer>yes</answer>",  # the thought was never closed
        "<answer>perhaps</answer>",
    ]
    asked = [ask("Is it?", "No effusion.", "Clear.", id=f"row {n}") for n in range(5)]
    found, request = answer(asked, said.__getitem__)
    ids = ("r1", "r2")
    unparsed = {"retrieved": ids, "unparsed": True}
    assert found == [
        Label("row 0", "no", "No meniscus.", ids), Label("row 1", None, **unparsed), Label("row 2", "yes", "", ids),
        Label("row 3", None, **unparsed), Label("row 4", None, **unparsed),
    ]  # fmt: skip
    assert request["temperature"] == 0.0 and request["seed"] == 5 and request["device"] == "cpu"


def test_the_same_row_may_be_asked_with_and_without_reports(ask, answer):
    asked = [ask("Is it?", "No effusion.", id="one"), ask("Is it?", id="one")]
    found, request = answer(asked, ["<answer>no</answer>", "<answer>yes</answer>"].__getitem__)
    assert [(one.id, one.answer, one.retrieved) for one in found] == [
        ("one", "no", ("r1",)),
        ("one", "yes", ()),
    ]
    first, second = (messages(row, request["prompt"])[0]["content"] for row in read_samples(request["rows"]))
    assert (
        "No effusion." in first
        and "No effusion." not in second
        and first.endswith(second.removeprefix("<image>"))
    )


def test_without_a_model_it_says_so(settings, ask, work):
    with pytest.raises(UserError, match="conf.labeller.model=FOLDER"):
        label(settings("local"), [ask("Is it?", "No.")], work)


@pytest.mark.engine
def test_a_tiny_model_labels_under_vllm_and_a_second_call_asks_nothing(
    settings, ask, work, tmp_path, monkeypatch
):
    """Random weights say nothing readable: what counts is that each question has a reply, and the same one the second time."""
    from medical_rl.engine.host.environment import stage_environment
    from medical_rl.pseudo_label.labellers.instructions import local_prompt, prompt_sample
    from medical_rl.tiny.model import build_tiny_model

    for name, value in stage_environment(
        work.engine, "test", "generate", str(tmp_path / "metrics.jsonl")
    ).items():
        monkeypatch.setenv(name, value)
    asked = [ask("Is there a disc?", "A disc.", "No disc.", id=str(n), seed=n) for n in range(3)]
    texts = {turn["content"] for one in asked for turn in messages(prompt_sample(one), local_prompt())}
    model = build_tiny_model(texts, cache=tmp_path / "cache")
    chosen = settings("local", model=str(model), max_new_tokens=8)
    found = label(chosen, asked, work)
    replies = work.folder / "replies.jsonl"
    before = (replies.read_text(), replies.stat().st_mtime_ns)
    assert [one.id for one in found] == ["0", "1", "2"] and len(before[0].splitlines()) == 3
    assert label(chosen, asked, work) == found and (replies.read_text(), replies.stat().st_mtime_ns) == before
