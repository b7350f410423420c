"""Preparing again: what makes it happen, what does not, and that a failure costs nothing."""

import errno
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medical_rl.data import command, parquet, prepare

PROMPT = command.load_prompt("class_names")


def run(data, out, seed=0, batch_size=1, prompt=PROMPT):
    return prepare.prepare(data, prompt, out, seed, batch_size)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_second_call_does_nothing(config, tmp_path):
    out = tmp_path / "out"
    first = run(config(), out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(config(), out) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_seed_prompt_batch_and_shots_are_part_of_the_recipe(config, bare, tmp_path):
    changes = [{}, {"seed": 1}, {"prompt": bare}, {"batch_size": 2}, {"data": config(shots=2)}]
    cards = [run(**{"data": config(), "out": tmp_path / "out", **change}) for change in changes]
    assert len({card["recipe"] for card in cards}) == 5
    assert cards[-1]["splits"]["train"]["rows"] == 4
    assert parquet.count_rows(tmp_path / "out/train.parquet") == 4


def test_a_changed_source_is_prepared_again(config, mini, mini_arrays, tmp_path):
    data = config()
    first = run(data, tmp_path / "out")
    mini(val_images=255 - mini_arrays()["val_images"])
    second = run(data, tmp_path / "out")
    assert second["files"]["val.parquet"] != first["files"]["val.parquet"]
    assert second["files"]["train.parquet"] == first["files"]["train.parquet"]


def test_settings_of_other_stages_are_not_part_of_the_recipe(config, tmp_path):
    first = run(config(), tmp_path / "out")
    assert run(config(outcome="mfrs"), tmp_path / "out")["recipe"] == first["recipe"]


def test_how_many_rows_are_read_at_a_time_is_part_of_neither_recipe_nor_stage(config, tmp_path):
    from medical_rl.compose import compose
    from medical_rl.fingerprint import stage_config

    assert run(config(num_proc=1), tmp_path / "out")["recipe"] == run(config(num_proc=2), tmp_path / "out")["recipe"]
    given = ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"]
    one, other = (stage_config(compose([*given, f"conf.data.num_proc={n}"]), "prepare") for n in (1, 4))
    assert one == other and "conf.data.shots" in one


def test_where_the_source_lies_is_not_part_of_the_recipe(config, tmp_path):
    data = config()
    moved = tmp_path / "elsewhere/pneumoniamnist.npz"
    moved.parent.mkdir()
    moved.write_bytes(Path(data["source"]).read_bytes())
    assert run({**data, "source": str(moved)}, tmp_path / "b")["recipe"] == run(data, tmp_path / "a")["recipe"]


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(b"x"), lambda p: p.unlink()])
@pytest.mark.parametrize("name", ["test.parquet", "card.json"])
def test_a_damaged_or_missing_file_is_made_again(config, tmp_path, harm, name):
    out = tmp_path / "out"
    card = run(config(), out)
    harm(out / name)
    assert run(config(), out) == card
    assert parquet.count_rows(out / "test.parquet") == 6
    assert json.loads((out / "card.json").read_text()) == card


def test_preparing_twice_gives_the_same_bytes(config, tmp_path):
    assert run(config(shots=2), tmp_path / "a")["files"] == run(config(shots=2), tmp_path / "b")["files"]


def test_a_split_of_an_older_recipe_does_not_stay(toy, three_splits, make_sample, tmp_path):
    run(toy({"warm_start": [make_sample("w")], **three_splits}), tmp_path / "out")
    (tmp_path / "out/mine.parquet").write_bytes(b"the user's own")
    run(toy(three_splits), tmp_path / "out", seed=1)
    assert "warm_start.parquet" not in names(tmp_path / "out")
    assert "mine.parquet" in names(tmp_path / "out")


def test_a_failure_leaves_the_older_preparation_whole(config, tmp_path, monkeypatch):
    out = tmp_path / "out"
    card = run(config(), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write_table = pq.ParquetWriter.write_table

    def full_disk(self, table, *args, **kwargs):
        if table.num_rows == 6:  # the test split, after train and val were written
            raise OSError(errno.ENOSPC, "No space left on device")
        write_table(self, table, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run(config(), out, seed=1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run(config(), out) == card


def test_omegaconf_configurations_are_read_as_plain_ones(config, tmp_path):
    from omegaconf import OmegaConf

    plain = run(config(shots=2), tmp_path / "out")
    assert run(OmegaConf.create(config(shots=2)), tmp_path / "out", prompt=OmegaConf.create(PROMPT)) == plain
