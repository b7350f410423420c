"""The README's way from a user's own table to a trained model, as far as it goes without the engine."""

import json

import pytest

from tests import own_data


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with a table of 90 phantoms, in which the README's commands were run, training as a dry run: {word: output}."""
    folder = tmp_path_factory.mktemp("own")
    own_data.write_table(folder, 90)
    told = {}
    for command in own_data.blocks()[1]:
        if "medical_rl.predict" in command:
            continue  # there is no model yet
        word = next(
            word
            for word in ("data_preprocess.custom", "check", "preview", "medical_rl.main")
            if word in command
        )
        done = own_data.run(
            command + (" conf.dry_run=true" if word == "medical_rl.main" else ""), folder, 300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        told[word] = " ".join(done.stdout.split())
    return folder, told


def test_from_a_table_to_a_trained_model_is_under_20_lines_of_readme():
    table, commands = own_data.blocks()
    text = (
        (own_data.ROOT / "README.md")
        .read_text()
        .split("## Your own data\n")[1]
        .split("```bash\n")[1]
        .split("```")[0]
    )
    assert len(text.splitlines()) + len(table.splitlines()) < 20
    assert [any(word in c for c in commands) for word in ("medical_rl.main", "medical_rl.predict")] == [
        True,
        True,
    ]


def test_the_readmes_commands_prepare_check_and_show_a_table(checkout):
    folder, told = checkout
    assert list(told) == ["data_preprocess.custom", "check", "preview", "medical_rl.main"]
    card = json.loads((folder / "prepared/scans/card.json").read_text())
    assert card["name"] == "scans" and sum(split["rows"] for split in card["splits"].values()) == 90
    assert set(card["splits"]["train"]["labels"]) == {"disc", "ring", "stripes"} and card["dropped"] == {}
    assert "passed: nothing found" in told["check"]
    assert "Not for clinical use" in (folder / "prepared/scans/preview.html").read_text()


def test_the_readmes_training_command_would_work(checkout):
    folder, told = checkout
    card = json.loads((folder / "prepared/scans/card.json").read_text())
    train = card["splits"]["train"]["rows"]
    # what was looked at by hand is what the run prepares for itself
    assert f"train {train} rows" in told["medical_rl.main"]
    assert f"{train} rows right by their own reward; mean reward 1.000" in told["medical_rl.main"]
    assert "warm_start, rl, evaluate" in told["medical_rl.main"] and not (folder / "runs").exists()
