"""Log-probabilities and greedy responses of measured rows do not depend on what stands beside them."""

import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="preference alignment needs trl: pip install -e .[align]")

from medical_rl.pseudo_label.alignment import pair_scores  # noqa: E402
from medical_rl.pseudo_label.alignment.pairs import read_preferences, write_preferences  # noqa: E402


@pytest.fixture(scope="module")
def rows(small):
    """Pairs whose prompts and answers have different lengths."""
    found = list(read_preferences(small[1]))[:6]
    longer = found[1].messages[-1]["content"] + " Please look well."
    found[1] = dataclasses.replace(found[1], messages=({"role": "user", "content": longer},))
    found[2] = dataclasses.replace(
        found[2], chosen="<think>a long thought about it</think><answer>2</answer>", rejected=None
    )
    return found


@pytest.fixture(scope="module")
def scorer(small, phantom):
    return pair_scores.Scorer(small[0], phantom.LIMITS)


def test_a_row_scores_the_same_alone_and_in_a_batch(scorer, rows):
    together = list(scorer.records(rows, 6))
    for row, line in zip(rows, together, strict=True):
        alone = next(scorer.records([row], 6))
        assert line["chosen"] == pytest.approx(alone["chosen"], abs=1e-3)
        assert line["response"] == alone["response"] and line["id"] == row.id
        assert (line["rejected"] is None) == (row.rejected is None)


def test_a_log_probability_is_the_sum_of_the_tokens_own(scorer, rows):
    """Token by token with the whole prefix as one input, no padding, no image shared: the plainest way to the same number."""
    row = rows[0]
    inputs, answer = scorer.prompts([row]), scorer.completion(row, row.chosen)
    total, ids = 0.0, inputs["input_ids"]
    for token in answer:
        more = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        more["mm_token_type_ids"] = (ids == scorer.processor.image_token_id).to(torch.int32)
        with torch.no_grad():
            logits = scorer.model(**{**inputs, **more}, use_cache=False).logits[0, -1]
        total += float(torch.log_softmax(logits, -1)[token])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert scorer.logprobs([row], [row.chosen])[0] == pytest.approx(total, abs=1e-3)


def test_an_answer_ends_with_the_end_of_its_turn_and_nothing_after(scorer, rows):
    tokens = scorer.completion(rows[0], rows[0].chosen)
    assert tokens[-1] == scorer.processor.tokenizer.eos_token_id
    assert scorer.processor.tokenizer.decode(tokens) == rows[0].chosen + "<|im_end|>"


def test_another_picture_gives_another_score(scorer, rows):
    swapped = dataclasses.replace(rows[0], images=rows[4].images)
    assert scorer.logprobs([swapped], [rows[0].chosen]) != scorer.logprobs([rows[0]], [rows[0].chosen])


def test_a_file_that_was_cut_short_is_completed(small, phantom, rows, tmp_path):
    path, output = tmp_path / "rows.parquet", tmp_path / "scores.jsonl"
    write_preferences(rows, path)
    asked = {"model": str(small[0]), "rows": str(path), "output": str(output), "batch": 2, "max_new_tokens": 4,
             "device": "cpu", "dtype": "float32", **phantom.LIMITS}  # fmt: skip
    (tmp_path / "request.json").write_text(json.dumps(asked))
    assert pair_scores.main(str(tmp_path / "request.json")) == 0
    whole = output.read_text()
    lines = whole.splitlines(keepends=True)
    output.write_text("".join(lines[:2]) + lines[2][:9])  # a kill in the middle of the third line
    assert pair_scores.main(str(tmp_path / "request.json")) == 0
    assert output.read_text() == whole
    broken = dataclasses.replace(rows[0], id="phantom/broken", images=(b"no image",))
    write_preferences([broken], path)
    output.unlink()
    assert pair_scores.main(str(tmp_path / "request.json")) == 2
