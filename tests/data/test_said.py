"""A limit, a reading or a doubt that changes the task is said on the card, by the command and by the check; equals are equal."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from medical_rl.data import __main__ as command_line
from medical_rl.data.prepare import command, prepare, sampling
from medical_rl.images import encode_png

PROMPT = command.load_prompt("class_names")


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of {id: answer} with a picture a row, and prepares it: (card, command's output)."""

    def make(answers, groups=True, **params):
        source, out = tmp_path / "set", tmp_path / "out"
        source.mkdir()
        with (source / "data.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "answer"] + ["group"] * groups)
            for number, answer in enumerate(answers):
                pixels = np.random.default_rng(number).integers(0, 256, (30, 40), dtype=np.uint8)
                (source / f"{number}.png").write_bytes(encode_png(pixels))
                writer.writerow([f"{number}.png", answer] + [f"patient {number}"] * groups)
        data = {"name": "mine", "reader": "custom", "source": str(source / "data.csv")}
        data["params"] = {"question": "Which?", **params}
        card = prepare.prepare(data, PROMPT, out, 0, 1)
        return card, command.summary(card, out), out

    return make


def checked(out, capsys):
    code = command_line.main(["check", str(out)])
    return code, capsys.readouterr().out


def test_over_100_classes_are_said_to_be_free_text(table, capsys):
    # 101 classes, three rows each: over the limit by one
    card, told, out = table([f"disease {number % 101}" for number in range(303)])
    (warning,) = [each for each in card["warnings"] if "101 different answers" in each]
    assert "free text" in warning and "100" in warning and "choices" in warning
    assert warning in told and warning in (out / "README.md").read_text()
    code, report = checked(out, capsys)
    assert code == 0 and f"WARNING  card: {warning}" in report


def test_100_classes_are_classes_and_nothing_is_said(table):
    card, told, _ = table([f"disease {number % 100}" for number in range(300)])
    assert card["warnings"] == [] and "free text" not in told


def test_given_classes_may_be_more_than_100(table):
    names = [f"disease {number}" for number in range(101)]
    card, _, _ = table([names[number % 101] for number in range(303)], choices=names)
    assert card["warnings"] == []


def test_no_patient_column_is_said_by_the_command_and_the_check_too(table, capsys):
    card, told, out = table(["a", "b"] * 20, groups=False)
    (warning,) = card["warnings"]
    assert "No group column" in warning and warning in told and warning in (out / "README.md").read_text()
    assert f"WARNING  card: {warning}" in checked(out, capsys)[1]


@pytest.mark.parametrize("kind", ["label", "yes_no"])
def test_the_card_and_the_check_count_no_and_No_as_one_answer(table, capsys, kind):
    # beside 101 other answers, so that no list of classes settles the spelling of a label
    others = [f"disease {number}" for number in range(101)] if kind == "label" else []
    card, _, out = table(["No", "no", "Yes", "no"] * 30 + others * 3, kind=kind)
    labels = {name.casefold() for split in card["splits"].values() for name in split["labels"]}
    for split in card["splits"].values():
        assert split["majority"].casefold() == "no"
        # 90 of 120 rows, or of 423, say no: the draw of splits moves it a little
        assert split["majority_rate"] == pytest.approx(90 / (120 + 3 * len(others)), abs=0.12)
        names = [name.casefold() for name in split["labels"]]
        assert len(names) == len(set(names))
    assert kind == "label" or labels == {"no", "yes"}
    report = checked(out, capsys)[1]
    for facts in card["splits"].values():
        assert kind == "yes_no" or f"{facts['answers']:,} different answers; the commonest" in report


@pytest.mark.parametrize(
    "kind, one, other, alike",
    [
        ("label", "Glioma", "glioma", True),
        ("grade", "3", "3.0", True),
        ("box", "[1, 2, 3, 4]", "[1.0, 2, 3, 4]", True),
        ("label", "glioma", "no glioma", False),
        ("grade", "3", "4", False),
        ("yes_no", "no", "yes", False),
    ],
)
def test_answers_that_a_reward_takes_for_one_are_one_to_card_and_draws(
    toy, make_sample, tmp_path, kind, one, other, alike
):
    rows = {}
    for split in ("train", "val", "test"):
        rows[split] = []
        for number in range(6):
            answer = (one, other)[number % 2]
            rows[split].append(
                make_sample(f"{split}/{number}", split=split, kind=kind, answer=answer, size=(9, 9))
            )
    prompt = PROMPT if kind != "box" else command.load_prompt("detection")
    card = prepare.prepare(toy(rows), prompt, tmp_path / "out", 0, 1)
    assert card["splits"]["train"]["answers"] == (1 if alike else 2)
    # two shots a class: two rows of one class, four of two
    assert len(sampling.k_shot(rows["train"], 2, seed=0)) == (2 if alike else 4)
    assert len({sample.answer for sample in sampling.balanced(rows["train"], 2, seed=0)}) <= 2


def leaking(make_sample):
    rows = {
        split: [make_sample(f"{split}/{i}", split=split, group=f"{split} {i}") for i in range(3)]
        for split in ("train", "val", "test")
    }
    rows["test"][0] = dataclasses.replace(rows["test"][0], group="train 0")
    return rows


def test_an_official_split_that_leaks_is_allowed_by_name_and_said(toy, make_sample, tmp_path, capsys):
    data = toy(leaking(make_sample)) | {"params": {"allow_leaks": True}}
    card = prepare.prepare(data, PROMPT, tmp_path / "out", 0, 1)
    assert card["leaks"] == {"train and test": 1}
    (warning,) = [each for each in card["warnings"] if "allow_leaks" in each]
    assert "1 group " in warning and "train and test" in warning
    assert warning in command.summary(card, tmp_path / "out") and warning in card["notes"]
    # the check knows: it warns, and does not fail
    code, report = checked(tmp_path / "out", capsys)
    assert code == 0 and warning in report and "WARNING  shared_group" in report


@pytest.mark.parametrize("params", [{}, {"allow_leaks": False}])
def test_without_the_permission_a_leak_is_refused(toy, make_sample, tmp_path, params):
    with pytest.raises(prepare.BadSplit, match="allow_leaks"):
        prepare.prepare(toy(leaking(make_sample)) | {"params": params}, PROMPT, tmp_path / "out", 0, 1)


def test_a_permission_that_nothing_needs_is_no_leak(toy, three_splits, tmp_path):
    data = toy(three_splits) | {"params": {"allow_leaks": True}}
    card = prepare.prepare(data, PROMPT, tmp_path / "out", 0, 1)
    assert card["leaks"] == {} and "allow_leaks" not in str(card["warnings"])
    assert json.loads((tmp_path / "out/card.json").read_text())["leaks"] == {}
