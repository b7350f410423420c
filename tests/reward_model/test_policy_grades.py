"""Grades of a policy's samples: by the extracted answer and the thought, never by R_phi; replay."""

import ast
import collections
import inspect
import json

import pytest

from medical_rl.errors import UserError
from medical_rl.judges.desk.rules import Budget, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import AskingStopped, Judge
from medical_rl.reward_model import policy_grades
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.policy_grades import mix_with_replay, policy_rows
from medical_rl.sample import Sample


def row(number=1, **fields):
    return Sample(**{"id": str(number), "source": "demo", "question": "Which?", "kind": "label", "answer": "cyst",
                     "choices": ("cyst", "mass"), **fields})  # fmt: skip


def says(thought, answer):
    return f"<think>{thought}</think><answer>{answer}</answer>"


WRITTEN = [
    (row(1), says("dark and round, a cyst", "cyst")),
    (row(1), says("bright, so a mass", "cyst")),
    (row(1), says("bright, so a mass", "mass")),
    (row(1), "I see a cyst"),
    (row(2), says("solid", "cyst or mass")),
]


@pytest.fixture
def judge(fake_endpoint, tmp_path):
    """Makes a Judge of the fake endpoint, which answers as programmed."""

    def make(verdict="sound", budget=None, local=False, **program):
        fake_endpoint.program(**{"text": json.dumps({"verdict": verdict, "reason": "r"}), **program})
        desk = SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", Limits(), budget or Budget())
        return Judge(
            Endpoint(fake_endpoint.url, "fake", timeout_s=5.0, local=local),
            desk,
            backoff_s=0.01,
            max_attempts=1,
        )

    return make


def names(rows):
    return [made.made_by.removeprefix("policy_") for made in rows]


def test_right_is_10_and_wrong_or_unread_is_minus_6():
    rows = policy_rows(WRITTEN)
    assert names(rows) == ["right", "right", "wrong", "wrong", "wrong"]
    assert [made.grade for made in rows] == [10, 10, -6, -6, -6]
    assert [(made.sample, made.text) for made in rows] == WRITTEN


def test_by_the_rule_a_right_answer_after_another_conclusion_is_0():
    rows = policy_rows(WRITTEN, "lexical")
    assert names(rows) == ["right", "unsound", "wrong", "wrong", "wrong"] and rows[1].grade == 0


def test_only_criteria_that_were_looked_at_are_given():
    (right, unsound, wrong, unread, _) = (made.criteria for made in policy_rows(WRITTEN, "lexical"))
    assert right == {"factual": 10, "format": 10, "reasoning": 10} and unsound == {**right, "reasoning": -6}
    assert wrong == {"factual": -6, "format": 10} and unread == {"factual": -6, "format": 0}
    assert "reasoning" not in policy_rows(WRITTEN)[0].criteria


@pytest.mark.parametrize(
    ("verdict", "made"), [("sound", "right"), ("unsound", "unsound"), ("unclear", "unsound")]
)
def test_the_judge_is_asked_about_right_answers_alone(judge, fake_endpoint, verdict, made):
    assert names(policy_rows(WRITTEN, "judge", judge=judge(verdict))) == [
        made,
        made,
        "wrong",
        "wrong",
        "wrong",
    ]
    assert len(fake_endpoint.log()["requests"]) == 2


def test_a_right_answer_without_a_thought_is_unsound_and_needs_no_judge(judge, fake_endpoint):
    assert names(policy_rows([(row(), "\\boxed{cyst}")], "judge", judge=judge())) == ["unsound"]
    assert fake_endpoint.log()["requests"] == []


def test_a_failed_judge_leaves_the_sample_out_and_is_counted(judge):
    dropped = collections.Counter()
    rows = policy_rows(WRITTEN, "judge", judge=judge(script=["ok", "garbage"]), allowed=0.5, dropped=dropped)
    assert names(rows) == ["right", "wrong", "wrong", "wrong"] and dropped == {"garbage": 1}


def test_too_many_failures_and_a_met_cap_stop(judge):
    with pytest.raises(AskingStopped, match="failed, more than the share"):
        policy_rows(WRITTEN, "judge", judge=judge(share_500=1.0))
    with pytest.raises(AskingStopped, match="cap of conf.judge.budget"):
        policy_rows(
            [(row(), says("other thoughts", "cyst"))], "judge", judge=judge(budget=Budget(max_requests=1))
        )


def test_a_restricted_row_is_not_sent_away(judge, fake_endpoint):
    written = [(row(source="mimic_cxr"), says("a cyst", "cyst"))]
    with pytest.raises(UserError, match="may not be sent"):
        policy_rows(written, "judge", judge=judge())
    assert fake_endpoint.log()["requests"] == []
    assert names(policy_rows(written, "judge", judge=judge(local=True))) == ["right"]


def test_an_unknown_way_and_a_missing_judge_are_refused():
    with pytest.raises(UserError, match="'jugde'.*Did you mean 'judge'"):
        policy_rows(WRITTEN, "jugde")
    with pytest.raises(UserError, match="conf/judge=local"):
        policy_rows(WRITTEN, "judge")


def test_the_reward_model_has_no_hand_in_its_own_grades():
    tree = ast.parse(inspect.getsource(policy_grades))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {"medical_rl.rewards.reward_model_client", "medical_rl.rewards.terms.learned"} & imported


def graded(n, made_by="original", grade=10.0):
    return [Graded(row(i), f"text {i}", grade, made_by) for i in range(n)]


@pytest.mark.parametrize(("share", "replayed"), [(0.3, 6), (0.5, 14), (0.9, 126)])
def test_replay_has_its_share_of_the_mix(share, replayed):
    # 14 rows of the policy: n / (n + 14) >= share first at n = 14 share / (1 - share), rounded up
    mixed = mix_with_replay(graded(14, "policy_wrong"), iter(graded(200)), share, seed=1)
    counts = collections.Counter(made.made_by for made in mixed)
    assert counts == {"policy_wrong": 14, "original": replayed}
    assert [made.made_by for made in mixed] != sorted(
        made.made_by for made in mixed
    )  # mixed, not one after the other


def test_replay_is_the_same_in_any_order_and_another_with_another_seed():
    one, other = (
        mix_with_replay(graded(10, "policy_wrong"), rows) for rows in (graded(99), graded(99)[::-1])
    )
    assert one == other != mix_with_replay(graded(10, "policy_wrong"), graded(99), seed=1)


@pytest.mark.parametrize("share", [0.29, 1.0, 0])
def test_a_share_below_the_least_is_refused(share):
    with pytest.raises(UserError, match="at least 0.3"):
        mix_with_replay(graded(1), graded(1), share)


def test_too_few_rows_to_replay_are_named():
    with pytest.raises(UserError, match="10 rows of the policy need 10 graded ones.*there are 9"):
        mix_with_replay(graded(10), graded(9), 0.5)
