"""Preparing by hand: `python data_preprocess/<dataset>.py`, its exit codes and messages."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medical_rl import compose
from medical_rl.data import command, parquet, prepare, readers
from medical_rl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def by_hand(*arguments, cwd):
    command_line = [sys.executable, str(ROOT / "data_preprocess/medmnist.py"), *map(str, arguments)]
    return subprocess.run(command_line, cwd=cwd, capture_output=True, text=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_by_hand_from_any_folder(mini, tmp_path):
    done = by_hand("--source", mini(), "--out", "prepared", "--allow-altered", "--shots", 2, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "train: 4 rows; 50.0% are 'normal'" in done.stdout
    assert "altered: train has 12 rows, official 4,708" in done.stdout
    assert parquet.count_rows(tmp_path / "prepared/train.parquet") == 4


def test_by_hand_an_altered_file_exits_2_with_one_paragraph(pneumonia, tmp_path):
    done = by_hand("--source", pneumonia, "--out", "prepared", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert names(tmp_path) == []


def test_by_hand_the_real_file(pneumonia, tmp_path):
    done = by_hand(
        "--source", pneumonia, "--out", "prepared", "--allow-altered", "--prompt", "visual_attributes", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    # The mirror's train (3,882 rows) shares 8 pictures with val; counted independently with numpy.
    assert "8 images of val are identical to images of train." in done.stdout
    card = json.loads((tmp_path / "prepared/card.json").read_text())
    assert card["splits"]["test"]["majority_rate"] == 0.625
    assert card["changes"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--source", "gone.npz"], 2, "There is no MedMNIST file"),
        (["--source", "pneumoniamnist.npz", "--allow-altered", "--shots", "0"], 2, "at least 1"),
        (
            ["--source", "pneumoniamnist.npz", "--allow-altered", "--prompt", "clas_names"],
            2,
            "Did you mean 'class_names'",
        ),
        (["--source", "pneumoniamnist.npz", "--allow-altered", "--prompt", "no.yaml"], 2, "no.yaml cannot be read"),
    ],
)
def test_exit_codes_and_messages(medmnist, mini, tmp_path, monkeypatch, capsys, arguments, code, message):
    mini()
    monkeypatch.chdir(tmp_path)
    assert medmnist.main([*arguments, "--out", "prepared"]) == code
    assert message in capsys.readouterr().err


def test_nothing_left_exits_1(medmnist, mini, tmp_path, capsys):
    path = mini(val_images=np.zeros((0, 8, 8), np.uint8), val_labels=np.zeros((0, 1), np.uint8))
    assert medmnist.main(["--source", str(path), "--out", str(tmp_path / "out"), "--allow-altered"]) == 1
    assert "split val" in capsys.readouterr().err


def test_a_full_disk_exits_1_without_a_traceback(medmnist, mini, tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parquet, "write_split", full)
    assert medmnist.main(["--source", str(mini()), "--out", str(tmp_path / "out"), "--allow-altered"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert names(tmp_path / "out") == []


def test_a_prompt_may_come_from_a_yaml_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("template: 'Q: {{ question }}'\ntarget: '{{ answer }}'\n")
    assert command.load_prompt(str(path)) == {
        "name": "mine",
        "system": None,
        "template": "Q: {{ question }}",
        "target": "{{ answer }}",
    }
    path.write_text("- just\n- a list\n")
    with pytest.raises(UserError, match="not a mapping"):
        command.load_prompt(str(path))


def test_by_hand_train_is_repeated_to_a_batch(medmnist, mini, tmp_path):
    arguments = ["--source", str(mini()), "--out", str(tmp_path / "out"), "--allow-altered", "--batch-size", "32"]
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
        readers.load_reader(reader).main(["--source", "x", "--out", "y", "--test-share", "0.3", "--val-share", "0.1"])
    assert given["params"] == {"test_share": 0.3, "val_share": 0.1}


@pytest.mark.parametrize(
    "name", ["ham10000", "heel", "covid_severity", "iu_xray", "mimic_cxr", "fairvlmed", "omnimedvqa", "pneumoniamnist"]
)
def test_every_set_can_be_sampled(name):
    keys = {"balanced": "3", "top_k": "2", "score": "s", "shots": "4", "whole_from": "9"}
    chosen = compose.compose(
        ["conf=vrft_aug", f"conf/data={name}", "conf.data.source=x", *(f"conf.data.{k}={v}" for k, v in keys.items())]
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
