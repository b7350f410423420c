"""Streams and files of scores: in order, resumed line by line."""

import json

import pytest

torch = pytest.importorskip("torch")

from medical_rl.errors import UserError  # noqa: E402
from medical_rl.reward_model.score import Scorer, complete_scores, count_whole_lines, score, score_file  # noqa: E402  # noqa: E402


def test_a_stream_keeps_the_order_of_its_rows(exported, rows):
    scorer = Scorer(exported)
    pairs = [(row.sample, row.text) for row in rows]
    one_by_one = [scorer.batch([pair])[0] for pair in pairs]
    # batches of five, ordered by length within a look ahead: 48 rows are no multiple of either
    assert torch.allclose(torch.tensor(list(scorer.stream(pairs, 5))), torch.tensor(one_by_one), atol=1e-4)
    assert list(scorer.stream([], 5)) == []


def test_a_stream_is_read_as_far_as_it_is_used(exported, rows):
    read = []

    def lazy():
        for i in range(10_000):
            read.append(i)
            yield rows[i % 12].sample, rows[i % 12].text

    assert len(next(score(exported, lazy(), batch=2))) == 3
    assert len(read) < 100


def test_a_file_of_scores_is_completed_not_begun_anew(exported, parquet, rows, tmp_path):
    request = {"model": str(exported), "rows": str(parquet), "output": str(tmp_path / "scores.jsonl"), "batch": 8,
               "device": "cpu", "dtype": "float32"}  # fmt: skip
    found = score_file("hf", request, tmp_path / "request.json")
    lines = (tmp_path / "scores.jsonl").read_text().splitlines(keepends=True)
    assert [json.loads(line)["id"] for line in lines] == [row.sample.id for row in rows]
    direct = [outputs for outputs in score(exported, [(row.sample, row.text) for row in rows])]
    assert torch.allclose(torch.tensor(found), torch.tensor(direct), atol=1e-4)
    (tmp_path / "scores.jsonl").write_text("".join(lines[:20]) + lines[20][:15])
    asked = []

    def outputs(request, rest):
        asked.extend(rest)
        return iter([[1.0]] * len(asked))

    complete_scores(tmp_path / "request.json", outputs)
    assert [row.text for row in asked] == [row.text for row in rows[20:]]
    again = (tmp_path / "scores.jsonl").read_text().splitlines(keepends=True)
    assert again[:20] == lines[:20] and [json.loads(line)["row"] for line in again] == list(range(48))
    complete_scores(tmp_path / "request.json", lambda *_: pytest.fail("nothing was left to score"))


def test_a_line_cut_short_is_dropped(tmp_path):
    path = tmp_path / "scores.jsonl"
    assert count_whole_lines(path) == 0
    path.write_text('{"row": 0}\n{"row": 1')
    assert count_whole_lines(path) == 1 and path.read_text() == '{"row": 0}\n'


def test_an_unknown_scorer_is_named(tmp_path):
    with pytest.raises(UserError, match="Available: hf, vllm"):
        score_file("vlm", {}, tmp_path / "request.json")
