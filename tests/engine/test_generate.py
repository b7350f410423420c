"""What a request to `engine.generate` may ask besides greedy answers, as far as no vLLM is needed."""

import json
import types

import pytest

from medical_rl.errors import UserError
from medical_rl.sample import Sample


@pytest.fixture
def vllm_inputs(verl):
    from medical_rl.engine.vllm import inputs

    return inputs


@pytest.fixture
def generate(verl):
    from medical_rl.engine.vllm import generate

    return generate


def row(id="1"):
    return Sample(id=id, source="demo", question="Which?", kind="label", answer="a", images=(b"",))


GREEDY = {"max_new_tokens": 8, "seed": 3}
SAMPLED = {**GREEDY, "temperature": 0.7, "n": 4}


def test_without_a_temperature_it_is_greedy_as_before(generate):
    assert generate.sampling(row(), GREEDY) == {"temperature": 0.0, "max_tokens": 8, "seed": 3}


def test_sampling_is_seeded_by_request_and_row(generate):
    seeds = [
        generate.sampling(row(id), {**SAMPLED, "seed": seed})["seed"]
        for id, seed in (("1", 3), ("1", 3), ("2", 3), ("1", 4))
    ]
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3
    # the n-th response of a row has seed + n: the rows' own must lie further apart than that
    many = sorted(generate.sampling(row(str(i)), SAMPLED)["seed"] for i in range(1000))
    assert min(b - a for a, b in zip(many, many[1:], strict=False)) > 1000
    assert generate.sampling(row(), SAMPLED) | {"seed": 0} == {
        "temperature": 0.7, "max_tokens": 8, "top_p": 1.0, "n": 4, "seed": 0,
    }  # fmt: skip


def test_vllm_takes_these_parameters(generate):
    from vllm import SamplingParams

    for request in (GREEDY, SAMPLED):
        assert SamplingParams(**generate.sampling(row(), request)).n == request.get("n", 1)


def test_a_line_holds_all_responses_of_its_row(generate):
    outputs = [
        types.SimpleNamespace(text=text, finish_reason=why) for text, why in (("a", "stop"), ("b", "length"))
    ]
    assert generate.record("7", outputs[:1], 1) == {"id": "7", "response": "a", "finish": "stop"}
    assert generate.record("7", outputs, 2) == {
        "id": "7",
        "responses": ["a", "b"],
        "finishes": ["stop", "length"],
    }


def test_explicit_turns_take_the_place_of_the_template(vllm_inputs, prompt):
    turns = [{"role": "user", "content": "<image>Say something."}]
    assert vllm_inputs.chat_turns(row(), {"prompt": prompt, "messages": turns}) == turns
    assert vllm_inputs.chat_turns(row(), {"prompt": prompt})[-1]["content"].startswith("<image>Which?")


def test_several_greedy_responses_are_refused(generate, tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps({**GREEDY, "n": 2}))
    with pytest.raises(UserError, match="2 responses a row at temperature 0"):
        generate.answer(path)


def test_of_several_requests_the_first_that_fails_ends_it(generate, tmp_path, capfd):
    from medical_rl.engine.vllm.requests import answer_each

    for name in "ab":
        (tmp_path / name).write_text(json.dumps({**GREEDY, "n": 2}))
    assert answer_each(generate.answer, [tmp_path / "a", tmp_path / "b"]) == 1
    said = capfd.readouterr().err
    assert f"{tmp_path / 'a'} asks for 2 responses" in said and str(tmp_path / "b") not in said
