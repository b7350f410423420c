"""Phantom studies with reports: what the picture shows, the report says, and the question's answer is."""

import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from medical_rl.config import compose
from medical_rl.data.prepare import command, prepare
from medical_rl.data.reports import FILE, read_reports
from medical_rl.errors import UserError
from medical_rl.images import decode
from medical_rl.pseudo_label.retrieval import retrieve
from medical_rl.pseudo_label.retrieval.corpus import word_counts, word_overlap
from medical_rl.tiny import phantom_reports as phantoms
from medical_rl.tiny.phantom_reports import ABSENT, FINDINGS, SEEN, study

NEGATED = re.compile(r"\b(no|not|without)\b", re.IGNORECASE)


def rows(split="train", n=600, **options):
    return list(phantoms.rows(None, split, sizes={split: n}, **options))


def grey(sample):
    return np.asarray(decode(sample.images[0]).convert("L"), float)


def test_every_report_says_of_every_finding_what_is_true_and_shows_it():
    for number in range(60):
        found = study(0, "train", number, "library/0", 0.12)
        said = {}
        for sentence in found.report.split("."):
            for finding in FINDINGS:
                if finding in sentence:
                    said[finding] = not NEGATED.search(sentence)
        assert said == found.facts and found.report.startswith(f"Series {found.series}.")
        assert len(found.report.split()) <= 35
    assert not any(NEGATED.search(s) for s in SEEN) and all(NEGATED.search(s) for s in ABSENT)


def test_a_finding_is_in_its_own_part_of_the_picture_and_plain():
    parts = {
        "bright disc": np.s_[9:19, 9:19],
        "dark band": np.s_[38:42, :],
        "striped patch": np.s_[2:20, 34:],
    }
    measured = {finding: {True: [], False: []} for finding in FINDINGS}
    for sample in rows(n=120):
        picture = grey(sample)
        for finding, part in parts.items():
            inside = picture[part]
            value = {"bright disc": inside.mean() - np.median(picture[29:31, :]), "dark band": inside.min(axis=1).max(),
                     "striped patch": inside.std()}[finding]  # fmt: skip
            measured[finding][sample.meta["facts"][finding]].append(value)
    assert min(measured["bright disc"][True]) > max(measured["bright disc"][False])
    assert min(measured["striped patch"][True]) > max(measured["striped patch"][False])
    assert np.mean(measured["dark band"][True]) < np.mean(measured["dark band"][False]) - 40


def test_rows_are_asked_in_balance_with_gold_answers_concepts_and_their_study_as_group():
    found = rows(n=1600)
    # Half of the findings are there, each independent of the others: 0.5 +- four standard errors.
    assert abs(np.mean([s.answer == "yes" for s in found]) - 0.5) < 4 * 0.5 / np.sqrt(1600)
    for s in found[:50]:
        (finding,) = s.concepts
        assert finding in s.question and finding in s.meta["thought"] and s.meta["series"] in s.question
        assert (
            s.answer == ("yes" if s.meta["facts"][finding] else "no") == s.meta["truth"]
            and s.kind == "yes_no"
        )
    # Two questions a study, of two findings, on one picture.
    assert len({s.group for s in found}) == 800
    assert (
        found[0].group == found[1].group
        and found[0].images == found[1].images
        and found[0].concepts != found[1].concepts
    )


def test_the_same_seed_draws_the_same_and_growing_a_split_changes_nothing():
    few, many = rows(n=20), rows(n=60)
    assert many[:20] == few != rows(n=20, seed=1)
    assert not {s.images for s in few} & {s.images for s in rows("test", 20)}
    corpus = dict(
        (name, s.report) for name, _, s in phantoms.corpus(sizes={"train": 20, "val": 8, "test": 8})
    )
    larger = dict(
        (name, s.report) for name, _, s in phantoms.corpus(sizes={"train": 60, "val": 8, "test": 8})
    )
    assert corpus.items() <= larger.items() and len(larger) > len(corpus)


def test_no_series_of_a_tested_row_is_in_another_split():
    series = [{s.meta["series"] for s in rows(split, 400)} for split in phantoms.SPLITS]
    assert not series[0] & series[2] and not series[0] & series[1] and not series[1] & series[2]


def test_the_reports_of_two_alike_studies_are_not_near_duplicates():
    # 1,000 reports of series of ten: were they written alike, the guard against a row's own report would take its neighbours.
    found = [study(0, "train", n, f"library/{m}", 0.0) for n in range(100) for m in range(10)]
    near = [
        word_overlap(word_counts(found[i].report), word_counts(found[j].report)) >= 0.7
        for n in range(100)
        for i in range(10 * n, 10 * n + 10)
        for j in range(i)
        if j >= 10 * n
    ]
    assert np.mean(near) < 0.05


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom_reports")
    data = {"name": "p", "reader": "phantom_reports", "source": None, "params": {"sizes": {"train": 800}}}
    return prepare.prepare(data, command.load_prompt("brief_tagged"), out, 0, 1), out


def test_they_are_prepared_as_phantoms_with_a_corpus_in_which_some_rows_find_their_own(prepared):
    card, out = prepared
    assert {s: f["rows"] for s, f in card["splits"].items()} == {"train": 800, "val": 100, "test": 300}
    assert card["about"]["phantom"] and "phantoms" in (out / "README.md").read_text()
    reports = list(read_reports(out / FILE))
    # 400, 50 and 150 studies are asked about, one a series: 600 series of six library reports each; of the training
    # studies about half have a report (200 +- 40), of the others all.
    assert sum(r.id.startswith("report library/") for r in reports) == 6 * 600
    assert card["reports"]["splits"]["val"] == 50 and card["reports"]["splits"]["test"] == 150
    assert abs(sum(r.id.startswith("report train/") for r in reports) - 200) < 40
    assert not any(r.restricted or r.images for r in reports)


def test_a_vote_of_retrieved_reports_is_right_more_often_than_the_majority_and_less_with_too_many(
    prepared, tmp_path
):
    _, out = prepared
    settings = OmegaConf.to_container(compose.choose("retriever", "bm25"), resolve=True)
    asked = list(retrieve.PreparedRows(out / "train.parquet", settings=settings))
    retrieve.retrieve(settings, asked, list(read_reports(out / FILE, with_images=False)), 41, tmp_path)
    found = retrieve.read_retrieved(tmp_path / retrieve.FILE)
    truth = {f"report {name}": s.facts for name, _, s in phantoms.corpus(sizes={"train": 800})}

    def accuracy(k):
        votes = [sum(1 if truth[hit.id][s.meta["finding"]] else -1 for hit in found[s.id][:k]) for s in asked]
        # A tie is no answer, and counts as wrong.
        return np.mean(
            [(vote > 0) == (s.answer == "yes") and vote != 0 for vote, s in zip(votes, asked, strict=True)]
        )

    majority = max(np.mean([s.answer == a for s in asked]) for a in ("yes", "no"))
    # Two studies of a series agree on a finding with 0.88^2 + 0.12^2 = 0.79, a study with its series with 0.88; beyond the
    # six or seven reports of a series others come in, which tell nothing. Four standard errors of 800 rows are 0.05.
    assert majority < 0.57
    assert abs(accuracy(1) - 0.79) < 0.05 and 0.80 < accuracy(5) < 0.92
    assert accuracy(5) > accuracy(1) + 0.03 and accuracy(5) > accuracy(41) + 0.1


@pytest.mark.parametrize(
    "options, said",
    [
        ({"sizes": {"trian": 3}}, "phantom split 'trian'. Did you mean 'train'"),
        ({"per_study": 4}, "per_study=4: a phantom study has 3 findings"),
        ({"per_series": 0}, "per_series=0"),
        ({"flip": 1.5}, "flip=1.5 is no share"),
    ],
)
def test_settings_that_cannot_be_drawn_are_refused(options, said):
    for ask in (
        phantoms.describe,
        lambda **o: next(phantoms.rows(None, "train", **o)),
        lambda **o: next(phantoms.corpus(**o)),
    ):
        with pytest.raises(UserError, match=said):
            ask(**options)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="phantom split 'dev'"):
        next(phantoms.rows(None, "dev"))


def test_the_tiny_scale_of_medfact_r1_trains_on_them():
    assert compose.choose("data", "_tiny_medfact_r1").reader == "phantom_reports"
    assert compose.choose("prompt", "_tiny_medfact_r1").name == "brief_tagged"
