"""Preparing by hand: `python -m data_preprocess.<dataset>`, its exit codes and messages."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medical_rl.data import parquet
from medical_rl.data.prepare import command, readers
from medical_rl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def by_hand(*arguments, cwd):
    command_line = [sys.executable, "-m", "medical_rl.data_preprocess.medmnist", *map(str, arguments)]
    return subprocess.run(command_line, cwd=cwd, capture_output=True, text=True)


SETS = [name for name, module in readers.READERS.items() if "data_preprocess" in module]
# From the checkout every set; by the package's name, as from a wheel, a file and a folder.
MODULES = [f"data_preprocess.{name}" for name in SETS]
MODULES += ["medical_rl.data_preprocess.medmnist", "medical_rl.data_preprocess.custom"]


def test_there_are_ten_sets():
    assert len(SETS) == 10


@pytest.mark.parametrize("module", MODULES)
def test_every_set_runs_as_a_module_and_its_help_says_how(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: python -m {module} [-h] --source PATH --out")


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
        "--source",
        pneumonia,
        "--out",
        "prepared",
        "--allow-altered",
        "--prompt",
        "visual_attributes",
        cwd=tmp_path,
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
        (
            ["--source", "pneumoniamnist.npz", "--allow-altered", "--prompt", "no.yaml"],
            2,
            "no.yaml cannot be read",
        ),
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


def test_of_boxes_and_free_answers_the_number_is_told_and_no_commonest_one():
    def split(rows, answers, rate):
        return {
            "rows": rows,
            "distinct": rows,
            "answers": answers,
            "majority": "[1, 2]",
            "majority_rate": rate,
        }

    splits = {"train": split(60, 60, 1 / 60), "val": split(60, 2, 0.5), "test": split(2, 2, 0.5)}
    card = {"name": "demo", "splits": splits, "about": {}, "changes": [], "warnings": []}
    assert command.summary(card, "out").splitlines()[1:] == [
        "  train: 60 rows; 60 different answers",
        "  val: 60 rows; 50.0% are '[1, 2]'",
        "  test: 2 rows; 50.0% are '[1, 2]'",
    ]
