"""conf/labeller is checked by name; answers for each k are kept while what they rest on stays."""

import dataclasses

import pytest

from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.pseudo_label.labellers import LABELLERS, SETTINGS, label, labeller_settings
from medical_rl.pseudo_label.labellers import rule as rule_labeller

REPORTS = {
    "a": Report("a", "Small effusion.", "s1"),
    "b": Report("b", "No effusion.", "s2"),
    "c": Report("c", "No effusion.", "s3"),
}


def test_every_file_of_conf_labeller_has_what_its_kind_needs(settings):
    assert set(SETTINGS) == set(LABELLERS)
    for name in ("rule", "openai", "gemini"):
        assert labeller_settings(settings(name))["name"] == name
    assert labeller_settings(settings("local", model="/a"))["kind"] == "local"


@pytest.mark.parametrize("change, said", [
    ({"kind": "rul"}, "no kind of labeller 'rul'. Did you mean 'rule'"),
    ({"modle": 1}, "setting of a labeller of kind rule named 'modle'"),
    ({"min_confidence": 1.5}, "min_confidence=1.5"),
    ({"thought": "all"}, "conf.labeller.thought 'all'"),
])  # fmt: skip
def test_what_could_not_work_is_named(settings, change, said):
    with pytest.raises(UserError, match=said):
        labeller_settings(settings("rule", **change))


def test_a_missing_setting_and_no_labeller_are_named(settings):
    short = {name: value for name, value in settings("rule").items() if name != "on_silence"}
    with pytest.raises(UserError, match="lacks on_silence"):
        labeller_settings(short)
    with pytest.raises(UserError, match="conf/labeller=rule"):
        labeller_settings(None)


def test_only_yes_no_questions_are_labelled(settings, ask, work):
    with pytest.raises(UserError, match="row '0' of demo is a label"):
        label(settings("rule"), [ask("Which?", "No.", kind="label")], work)
    assert label(settings("rule"), [], work) == []


def test_each_k_sees_its_first_reports_alone(settings, make_row, work):
    """Reports: there, not, not, with equal weights: none at k = 0, yes at 1, a tie at 2, no at 3."""
    found = answers_per_k(
        settings("rule", rank_weights="equal"),
        [make_row(0)],
        {"0": ["a", "b", "c"]},
        REPORTS,
        [0, 1, 2, 3],
        work,
    )
    assert {k: labels[0].answer for k, labels in found.items()} == {0: None, 1: "yes", 2: None, 3: "no"}


def test_finished_ks_are_read_until_a_row_a_report_or_a_setting_changes(
    settings, make_row, work, monkeypatch
):
    calls, own = [], rule_labeller.label
    monkeypatch.setattr(rule_labeller, "label", lambda *args: calls.append(len(args[1])) or own(*args))
    rows, retrieved, rule = [make_row(0), make_row(1)], {"0": ["a"], "1": ["b"]}, settings("rule")

    def run(settings=rule, rows=rows, retrieved=retrieved, reports=REPORTS):
        calls.clear()
        found = answers_per_k(settings, rows, retrieved, reports, [1], work)
        assert [one.id for one in found[1]] == [row.id for row in rows]
        return list(calls)

    assert run() == [2] and run() == []
    assert run(settings={**rule, "rank_weights": "equal"}) == [2]
    assert run() == [2] and run(
        rows=[dataclasses.replace(rows[0], id="1"), rows[1]], retrieved={"1": ["b"]}
    ) == [2]
    assert run() == [2] and run(retrieved={"0": ["b"], "1": ["b"]}) == [2]
    assert run() == [2] and run(reports={**REPORTS, "a": Report("a", "No effusion at all.", "s1")}) == [2]
    # two rows that ask the same of the same picture with the same report are asked once
    assert run(rows=[rows[0], dataclasses.replace(rows[0], id="1")], retrieved={"0": ["a"], "1": ["a"]}) == [
        1
    ]


def test_a_row_without_retrieval_and_a_report_outside_the_corpus_are_named(settings, make_row, work):
    with pytest.raises(UserError, match="Nothing was retrieved for the row '0'"):
        answers_per_k(settings("rule"), [make_row(0)], {}, REPORTS, [1], work)
    with pytest.raises(UserError, match="report 'z', retrieved for the row '0', is not in the corpus of 3"):
        answers_per_k(settings("rule"), [make_row(0)], {"0": ["z"]}, REPORTS, [1], work)
    with pytest.raises(UserError, match="k=-1"):
        answers_per_k(settings("rule"), [make_row(0)], {"0": ["a"]}, REPORTS, [-1], work)
