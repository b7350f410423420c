"""RULE's published pairs as a file: what is a pair of yes and no feeds the alignment, what is not is counted, what is no such file is refused."""

import json

import numpy as np
import pytest

from medical_rl.config.compose import compose
from medical_rl.errors import UserError
from medical_rl.images import encode_png
from medical_rl.parsing.response import parse, read
from medical_rl.pipeline.validate import check_config
from medical_rl.pseudo_label.alignment.rule_pairs import read_rule_pairs, rule_pairs
from medical_rl.pseudo_label.labellers.instructions import local_prompt

ASKED = (
    "You are provided with a chest X-ray image, a image-related question and 1 reference report(s): {report}\n"
    "Please answer the question based on the image and report and choose from the following two options: [yes, no]. It "
    "should be noted that ... Question: {question}\n<image>"
)
TINY = ["conf=medfact_r1", "conf/scale=tiny", "conf/engine=cpu", "conf/labeller=local"]


def entry(
    number=1,
    chosen="No, it is not.",
    rejected="Yes, it is.",
    question="Is the heart enlarged?",
    report="Clear lungs.",
):
    asked = {"from": "human", "value": ASKED.format(report=report, question=question)}
    image = f"CXR{number}_IM-1/0.png"
    return {
        "id": image, "image": image, "conversations": [asked, {"from": "gpt", "value": chosen}],
        "rejected_conversations": [asked, {"from": "gpt", "value": rejected}],
    }  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """A function that writes entries as a file, and returns its path."""

    def write(content):
        path = tmp_path / "pairs.json"
        path.write_text(json.dumps(content))
        return path

    return write


def image(folder, number):

    path = folder / f"CXR{number}_IM-1" / "0.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((8, 6), number, np.uint8)))


def test_a_pair_is_asked_with_its_report_as_the_labeller_is_and_answers_in_its_form(written, tmp_path):
    for number in range(1, 9):
        image(tmp_path / "images", number)
    path = written([entry(number, question=f"Is finding {number} there?") for number in range(1, 9)])
    pairs, notes = rule_pairs(path, tmp_path, local_prompt(), held_out=0.25, seed=1)
    assert len(pairs.train) == 6 and len(pairs.held_out) == 2 and pairs.counts["train_pairs"] == 6
    assert not {row.study for row in pairs.train} & {row.study for row in pairs.held_out}
    row = pairs.train[0]
    number = int(row.study.removeprefix("CXR"))
    ((turn),) = row.messages
    assert f"Is finding {number} there?" in turn["content"] and "Clear lungs." in turn["content"]
    assert turn["content"].count("<image>") == 1 and row.images[0][:4] == b"\x89PNG"
    assert (read(parse(row.chosen), row.sample), read(parse(row.rejected), row.sample)) == ("no", "yes")
    assert row.sample.size == (8, 6)
    assert "8 pairs" in notes[0] and "chosen for a wrong answer" in notes[-1]


@pytest.mark.parametrize(
    ("chosen", "rejected", "gold"),
    [
        ("Yes, it is.", "No.", "yes"),
        ("no", "Yes", "no"),
        # what the chosen sentence says is the opposite of the answer that RULE judged wrong
        ("The heart is enlarged.", "No, it is not.", "yes"),
        # none of these is guessed
        ("Yes, it is.", "Yes, greatly.", None),
        ("No, it is normal.", "The heart is normal.", None),
        ("The heart is normal.", "It is of normal size.", None),
        ("Nothing is seen.", "None.", None),
    ],
)
def test_only_a_yes_and_a_no_are_a_pair(written, chosen, rejected, gold):
    rows, dropped = read_rule_pairs(written([entry(), entry(2, chosen, rejected)]))
    assert [row.answer for row, _, _ in rows] == ["no"] + ([gold] if gold else [])
    assert sum(dropped.values()) == (gold is None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": 1}, "is a dict, and RULE's files are a list"),
        ([{"id": 1}], "Entry 0 .* has not the form of RULE's alignment files"),
        ([{**entry(), "image": ""}], "Entry 0"),
        ([{**entry(), "conversations": [{"value": "Is it?"}, {"value": "no"}]}], "do not begin alike"),
        ([entry(chosen="Yes", rejected="Yes")], "1 entries, and none is a pair of yes and no"),
        ([], "0 entries"),
    ],
)
def test_another_file_is_refused_before_anything_starts(written, content, says):
    path = written(content)
    with pytest.raises(UserError, match=says):
        check_config(compose([*TINY, f"conf.alignment.pairs={path}"]))


def test_a_question_that_is_asked_otherwise_is_refused(written):
    other = entry()
    for side in ("conversations", "rejected_conversations"):
        other[side][0] = {"from": "human", "value": "Is the heart enlarged? <image>"}
    with pytest.raises(UserError, match="not asked as RULE asks"):
        read_rule_pairs(written([other]))


def test_a_file_or_image_that_is_not_there_is_named(written, tmp_path):
    with pytest.raises(UserError, match="conf.alignment.pairs=/nowhere.json cannot be read"):
        read_rule_pairs("/nowhere.json")
    with pytest.raises(UserError, match=r"CXR1_IM-1/0.png.*conf.alignment.images"):
        rule_pairs(written([entry()]), tmp_path, local_prompt(), 0.5, 1)


def test_rules_own_file_of_iu_xray_feeds_the_alignment(realdata, tmp_path):
    path = realdata / "iu_xray" / "rule_alignment_iuxray.json"
    rows, dropped = read_rule_pairs(path)
    # of 1,579: 521 yes/no, 364 no/yes, 125 + 95 whose rejected answer alone begins with no or yes
    assert len(rows) == 1105 and sum(dropped.values()) == 474
    for row, _, _ in rows:
        image_path = tmp_path / row.meta["file"]
        if not image_path.exists():
            image_path.parent.mkdir(parents=True, exist_ok=True)
            image_path.write_bytes(encode_png(np.zeros((4, 4), np.uint8)))
    pairs, notes = rule_pairs(path, tmp_path, local_prompt(), held_out=0.2, seed=1)
    assert pairs.counts["right_wrong"] == 1105 and pairs.counts["unreadable"] == 0
    assert pairs.counts["train_pairs"] > 64 and pairs.counts["held_out_pairs"] > 64
    assert any(note.startswith("474 of its entries are left out") for note in notes)
