"""Splits that share patients, allowed by allow_leaks, are said in every table and picture of results."""

import json

import numpy as np
import pytest

from medical_rl.data.prepare.prepare import prepare
from medical_rl.evaluation.__main__ import main
from medical_rl.evaluation.results import entry, write_results
from medical_rl.images import encode_png
from medical_rl.stages.common.evaluated import card_notes

BASE, RL = ("base", None), ("rl", None)
PROMPT = {"name": "p", "template": "{{ question }}", "target": "<answer>{{ answer }}</answer>"}


def lines(text):
    return " ".join(text.split())


@pytest.fixture
def leaking(made_up):
    """A run whose test rows share 12 groups with its training rows, as its card says."""
    run = made_up("leaking", {"conf.prompt.name": "plain"}, {BASE: [1, 0], RL: [1, 1]}, phantom=False)
    card = {"name": "made_up", "about": {}, "splits": {}, "notes": [], "leaks": {"train and test": 12}}
    (run / "data" / "card.json").write_text(json.dumps(card))
    return run


def test_tables_over_runs_and_pictures_say_that_splits_share_groups(leaking, made_up, tmp_path, capsys):
    sound = made_up("sound", {"conf.prompt.name": "other"}, {BASE: [1, 0], RL: [1, 1]}, phantom=False)
    pair = [str(leaking), str(sound)]
    page = tmp_path / "t.html"
    transitions = ["transitions", str(leaking), "--from", "base", "--by", "none", "--out", str(page)]
    for command in (["collect", *pair], ["collect", *pair, "--paper"], transitions):
        assert main(command) == 0
        said = lines(capsys.readouterr().out)
        assert said.count("made_up: allow_leaks was set, and 12 groups") == 1, command
    assert "allow_leaks was set" in page.read_text()
    assert main(["collect", str(sound)]) == 0
    assert "allow_leaks" not in capsys.readouterr().out


def test_the_results_of_a_run_say_it_by_the_notes_of_its_card(tmp_path, made_up):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "t.csv").write_text("image,answer,group,split\n" + "".join(
        f"{i}.png,{'ab'[i % 2]},{i % 4},{split}\n" for i, split in enumerate(["train"] * 8 + ["val"] * 2 + ["test"] * 4)
    ))  # fmt: skip
    for i in range(14):
        (folder / f"{i}.png").write_bytes(encode_png(np.full((9, 9), 9 * i, np.uint8)))
    params = {"question": "Which?", "allow_leaks": True}
    data = {"name": "set", "reader": "custom", "source": str(folder / "t.csv"), "params": params}
    prepare(data, PROMPT, tmp_path / "out", seed=1, batch_size=2)
    notes = card_notes(tmp_path / "out")
    run = tmp_path / "run"
    run.mkdir()
    rows = [
        {"id": "1", "kind": "label", "gold": "a", "pred": "a", "choices": [], "response": "", "correct": True}
    ]
    write_results(run, "r", "tiny", 1, [entry("base", "set", "test", rows)], notes)
    text = (run / "results.md").read_text()
    assert (
        "4 groups (patients, lesions or studies) are in both train and test, allowed by allow_leaks"
        in lines(text)
    )
