"""What can be set, by hand and in a configuration, and what the card tells of it."""

import pytest

from medical_rl.config import compose
from medical_rl.data import parquet
from medical_rl.data.prepare import command, prepare, readers


def test_by_hand_train_is_repeated_to_a_batch(medmnist, mini, tmp_path):
    arguments = [
        "--source",
        str(mini()),
        "--out",
        str(tmp_path / "out"),
        "--allow-altered",
        "--batch-size",
        "32",
    ]
    assert medmnist.main(arguments) == 0
    assert parquet.count_rows(tmp_path / "out/train.parquet") == 32


def test_no_rows_for_val_because_of_its_share_say_so(put, image_bytes, tmp_path, capsys):
    for i in range(20):
        put(f"{'ab'[i % 2]}/{i}.png", image_bytes(i))
    custom = readers.load_reader("custom")
    arguments = ["--source", str(tmp_path / "source"), "--out", str(tmp_path / "out"), "--question", "Which?"]
    assert custom.main([*arguments, "--val-share", "0"]) == 1
    assert "The split val has no rows, as val_share is 0" in capsys.readouterr().err


@pytest.mark.parametrize("reader", ["heel", "ham10000"])
def test_the_shares_of_val_and_test_are_chosen_by_hand(reader, monkeypatch):
    given = {}
    monkeypatch.setattr(command, "prepare", lambda data, *rest: given.update(data) or exit(0))
    with pytest.raises(SystemExit):
        readers.load_reader(reader).main(
            ["--source", "x", "--out", "y", "--test-share", "0.3", "--val-share", "0.1"]
        )
    assert given["params"] == {"test_share": 0.3, "val_share": 0.1}


@pytest.mark.parametrize(
    "name",
    [
        "ham10000",
        "heel",
        "covid_severity",
        "iu_xray",
        "mimic_cxr",
        "fairvlmed",
        "omnimedvqa",
        "pneumoniamnist",
    ],
)
def test_every_set_can_be_sampled(name):
    keys = {"balanced": "3", "top_k": "2", "score": "s", "shots": "4", "whole_from": "9"}
    chosen = compose.compose(
        [
            "conf=vrft_aug",
            f"conf/data={name}",
            "conf.data.source=x",
            *(f"conf.data.{k}={v}" for k, v in keys.items()),
        ]
    ).conf.data
    assert {key: str(chosen[key]) for key in keys} == keys


def test_the_card_tells_the_settings_and_no_path_or_secret(toy, three_splits, bare, tmp_path, monkeypatch):
    data = toy(three_splits, split="by lesion, seed 3", boxes="union", consensus="max", restricted=True)
    monkeypatch.setattr(readers, "check_params", lambda *args: None)
    data["params"] = {"consensus": "max", "boxes": "/home/me/boxes.json", "api_key": "abc", "table": None}
    module = readers.load_reader("toy")
    read = module.rows
    monkeypatch.setattr(module, "rows", lambda source, split, *, drops=None, **params: read(source, split))
    card = prepare.prepare(data, bare, tmp_path / "out", 0, 1)
    assert card["params"] == {"consensus": "max", "boxes": "boxes.json", "table": None}
    text = (tmp_path / "out/README.md").read_text()
    for part in ("Split: by lesion, seed 3", "Boxes: union", "Grade from two raters: max", "Restricted: no row",
                 "Settings of the reader: consensus=max, boxes=boxes.json\n"):  # fmt: skip
        assert part in text
    assert "abc" not in text and "/home/me" not in text
