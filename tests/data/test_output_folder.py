"""The output folder: the user's own files stay, and what a kill left goes."""

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data.prepare import card as output_folder
from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError

PROMPT = command.load_prompt("class_names")


def run(data, out, seed=0):
    return prepare.prepare(data, PROMPT, out, seed, 1)


@pytest.fixture
def table(put, image_bytes):
    """A folder with a user's own train.parquet, test.parquet and README.md, and its configuration."""
    for split, n in {"train": 40, "test": 8}.items():
        rows = [
            {
                "image": {"bytes": image_bytes(f"{split}{i}".__hash__() % 2**31), "path": None},
                "answer": "ab"[i % 2],
            }
            for i in range(n)
        ]
        path = put(f"{split}.parquet", b"")
        pq.write_table(pa.Table.from_pylist(rows), path)
    put("README.md", "my own card")
    params = {"question": "Which?"}
    return path.parent, {"name": "mine", "reader": "custom", "source": str(path.parent), "params": params}


def test_preparing_into_the_source_exits_2_and_leaves_it(table, tmp_path):
    folder, data = table
    (tmp_path / "link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for out in (folder, tmp_path / "link"):
        with pytest.raises(UserError, match="where the source lies") as error:
            run(data, out)
        assert error.value.exit_code == 2
    with pytest.raises(UserError, match="where the source lies"):
        run({**data, "source": str(folder / "train.parquet")}, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["val.parquet", "README.md"])
def test_a_file_that_no_card_of_ours_lists_is_not_overwritten(config, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"the user's own")
    with pytest.raises(UserError, match=f"holds {name}, which no preparation wrote"):
        run(config(), out)
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_bytes() == b"the user's own"


def test_our_own_files_are_known_without_their_card(config, tmp_path):
    card = run(config(), tmp_path / "out")
    (tmp_path / "out/card.json").unlink()  # as a kill between the files and the card leaves it
    assert run(config(), tmp_path / "out", seed=1)["splits"] == card["splits"]


def test_a_killed_preparation_leaves_nothing_after_the_next(put, image_bytes, tmp_path, root):
    lines = [f"{i}.png,{'ab'[i % 2]}" for i in range(60)]
    for i in range(60):
        put(f"{i}.png", image_bytes(i, 300, 300))
    source = put("t.csv", "\n".join(["image,answer", *lines])).parent
    out = tmp_path / "out"
    arguments = [
        sys.executable,
        "-m",
        "medical_rl.data_preprocess.custom",
        "--source",
        source,
        "--out",
        out,
        "--question",
        "?",
    ]
    killed = subprocess.Popen(list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob(".preparing-*/*")):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list(out.glob(".preparing-*"))
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "card.json",
        "test.parquet",
        "train.parquet",
        "val.parquet",
    ]


def test_the_folder_of_a_live_preparation_is_left_alone(tmp_path):
    with output_folder.staging(tmp_path) as one:
        with output_folder.staging(tmp_path) as other:
            assert one.is_dir() and other.is_dir() and one != other
        assert one.is_dir() and not other.exists()
    assert list(tmp_path.iterdir()) == []
