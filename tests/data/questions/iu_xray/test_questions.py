"""RULE's questions about IU-Xray and R2Gen's split."""

import collections
import json

import pytest

from medical_rl.data_preprocess import rule_questions
from medical_rl.data_preprocess.iu_xray import studies
from medical_rl.errors import UserError


def test_the_real_questions_give_2488_rows_split_by_study_with_every_drop_told(
    iu_xray, real, everything, drops, reasons, tmp_path, put, phantom
):
    questions = real("rule_iuxray_test.jsonl")
    for i, name in enumerate(sorted({q.image for q in rule_questions.questions(questions)})):
        put(tmp_path / name, phantom(i))
    found = everything(iu_xray, tmp_path, questions=str(questions))
    sizes = {split: len(samples) for split, samples in found.items()}
    assert sum(sizes.values()) == 2488
    assert reasons() == {
        rule_questions.NEITHER: 72,
        rule_questions.NOT_AN_ANSWER: 10,
        rule_questions.FRAGMENT: 3,
    }
    # 80/10/10 of 2,573 rows are 257 and 257 of val and test before the 85 drops, whole studies together.
    assert 240 <= sizes["val"] <= 257 and 240 <= sizes["test"] <= 257
    groups = {split: {s.group for s in samples} for split, samples in found.items()}
    assert (
        not groups["train"] & groups["test"]
        and not groups["train"] & groups["val"]
        and not groups["val"] & groups["test"]
    )
    assert {s.kind for samples in found.values() for s in samples} == {"yes_no"}
    told = collections.Counter(
        bool(set(s.concepts) - {"chest radiograph", "radiograph"}) for split in found.values() for s in split
    )
    # The lexicon finds something beside the kind of image in 97 % of the questions; "Is it normal?" has nothing.
    assert told[True] / 2488 > 0.97
    # 72 of the 85 cannot be kept; the 13 in doubt can.
    kept = everything(iu_xray, tmp_path, questions=str(questions), doubtful="keep")
    assert sum(map(len, kept.values())) == 2573 - 72


def test_a_row_has_its_study_its_image_as_it_came_and_its_concepts(iu_xray, r2gen_copy, everything):
    samples = [s for split in everything(iu_xray, r2gen_copy).values() for s in split]
    assert len(samples) == 40 and len({s.id for s in samples}) == 40
    s = next(s for s in samples if s.id == "iu_xray/iuxray_test/0")
    assert (s.group, s.question, s.answer, s.choices) == (
        "CXR1",
        "Is the phantom's heart enlarged?",
        "no",
        ("yes", "no"),
    )
    assert s.images == ((r2gen_copy / "images/CXR1_IM-0001/0.png").read_bytes(),) and s.size == (6, 5)
    assert s.concepts == ("heart",) and s.meta["report"] == "Phantom report." and not s.restricted
    assert all(s.concepts == () for s in iu_xray.rows(r2gen_copy, "train", concepts="none"))


def test_the_split_follows_its_seed_and_not_the_order_of_rows(iu_xray, r2gen_copy, everything):
    def splits(**options):
        return {s.id: s.split for found in everything(iu_xray, r2gen_copy, **options).values() for s in found}

    before = splits()
    path = r2gen_copy / "iuxray_test.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert splits() == before != splits(split_seed=1)


def test_the_broken_real_annotation_is_repaired_with_a_message(real):
    entries, repairs = studies.read_annotation(real("r2gen_annotation_BROKEN_TEST_KEY.json"))
    assert collections.Counter(e["split"] for e in entries) == {"train": 2069, "val": 296, "test": 590}
    assert (
        len(repairs) == 1
        and "'    '" in repairs[0]
        and "read as 'test', which its 590 entries state" in repairs[0]
    )


def test_an_annotation_that_contradicts_itself_is_refused(tmp_path):
    def entry(split):
        return {"id": "CXR1_IM-1", "report": "Phantom.", "image_path": [], "split": split}

    for content, reason in (
        ({"train": [entry("test")]}, "The entries under 'train' .* state the splits test"),
        ({"": [entry("val"), entry("test")]}, "The entries under '' .* state the splits test, val"),
        ({"": []}, "state the splits none"),
        ({"train": [{"id": "x"}]}, "Entry 0 under 'train' .* lacks one of id, report"),
        ([], "should hold an object"),
    ):
        path = tmp_path / "annotation.json"
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=reason):
            studies.read_annotation(path)


def test_rules_real_questions_are_all_of_r2gens_test_split(iu_xray, real, tmp_path, put, phantom, everything):
    questions = real("rule_iuxray_test.jsonl")
    put(tmp_path / "annotation.json", real("r2gen_annotation_BROKEN_TEST_KEY.json").read_bytes())
    options = {"questions": str(questions), "splits": "published", "require_images": False}
    found = everything(iu_xray, tmp_path, **options)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 0, "val": 0, "test": 2488}
    assert all(s.images == () for s in found["test"])
    about = iu_xray.describe(tmp_path, **options)
    assert "four" not in about["altered"][0] and "read as 'test'" in about["altered"][0]


def test_the_published_split_needs_its_annotation_and_names_the_rows_it_leaves_out(
    iu_xray, r2gen_copy, everything, reasons
):
    with pytest.raises(UserError, match="splits=published needs R2Gen's annotation.json"):
        iu_xray.rows(r2gen_copy, "train", splits="published")
    part = [
        {"id": f"CXR{i}_IM-{i:04}", "report": "", "image_path": [], "split": "train"} for i in range(1, 20)
    ]
    (r2gen_copy / "annotation.json").write_text(json.dumps({"train": part}))
    found = everything(iu_xray, r2gen_copy, splits="published")
    # Study 20 is in no split: its two rows are told once, though three passes meet them.
    assert len(found["train"]) == 38 and reasons() == {rule_questions.NO_SPLIT: 2}
