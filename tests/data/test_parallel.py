"""Rows made several at a time: what comes out is what one after the other gives, and nothing hangs."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from medical_rl.data import rows as parallel
from medical_rl.data.prepare import command, prepare
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError

PROMPT = command.load_prompt("class_names")


def late(number, drops):
    """The number, later for early ones; every third is dropped, told of in its turn."""
    time.sleep(0.002 * (number % 5 == 0))
    return drops.add(f"row {number}", "it is a third") if number % 3 == 0 else number


@pytest.mark.parametrize("number", [1, 2, 7])
def test_rows_and_drops_come_in_the_order_of_the_items(number):
    drops = Drops()
    with parallel.workers(number):
        assert list(parallel.parallel_map(late, range(30), drops)) == [n for n in range(30) if n % 3]
    assert list(drops._rows) == [f"row {n}" for n in range(0, 30, 3)]


def test_a_row_that_fails_fails_in_its_turn_and_what_follows_is_never_begun():
    begun, found = [], []

    def fail(number, drops):
        begun.append(number)
        if number == 10:
            raise UserError("row 10 is broken")
        return number

    with parallel.workers(2), pytest.raises(UserError, match="row 10"):
        found.extend(
            found.append(row) for row in parallel.parallel_map(fail, range(10_000), Drops()) if row < 10
        )
    assert [row for row in found if row is not None] == list(range(10))
    assert max(begun) < 10 + 2 * parallel.WAITING + 1


def test_little_is_read_ahead_and_no_thread_stays_when_the_rest_is_not_wanted():
    read = []

    def items():
        for number in range(10_000):
            read.append(number)
            yield number

    before = threading.active_count()
    with parallel.workers(3):
        rows = parallel.parallel_map(late, items(), Drops())
        assert next(rows) == 1
        assert len(read) <= 3 * parallel.WAITING + 2
        assert threading.active_count() > before
        del rows
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "4"])
def test_a_number_that_is_none_is_told(config, tmp_path, number):
    with pytest.raises(UserError, match="num_proc must be a whole number"):
        prepare.prepare(config(num_proc=number), PROMPT, tmp_path / "out", 0, 1)


@pytest.fixture
def folder(put, image_bytes):
    """A folder of class folders with 60 images, of which some are broken, empty or git-lfs pointers."""

    def make(n=60):
        for i in range(n):
            data = {5: b"", 7: b"version https://git-lfs", 9: image_bytes(i)[:90]}.get(i % 11)
            path = put(f"{'ab'[i % 2]}/{i:03}.png", image_bytes(i, 40, 50) if data is None else data)
        return path.parents[1]

    return make


def test_one_and_several_at_a_time_write_the_same_files(folder, tmp_path):
    data = {"name": "mine", "reader": "custom", "source": str(folder()), "params": {"question": "Which?"}}
    cards = [prepare.prepare({**data, "num_proc": n}, PROMPT, tmp_path / str(n), 0, 1) for n in (1, 4, None)]
    assert cards[0] == cards[1] == cards[2], "checksums of the files, what was dropped and its order included"
    assert (
        sum(entry["rows"] for entry in cards[0]["dropped"].values()) == 15
    )  # 5, 7 and 9 of each 11, to row 59


def test_large_arrays_are_encoded_several_at_a_time_and_come_out_the_same(
    mini, config, tmp_path, monkeypatch
):
    names = set()
    encode = prepare.readers.load_reader("medmnist").encode_png

    def named(array):
        names.add(threading.current_thread().name)
        return encode(array)

    monkeypatch.setattr(prepare.readers.load_reader("medmnist"), "encode_png", named)
    source = str(mini("pneumoniamnist_128.npz", size=128))
    cards = [
        prepare.prepare(config(source=source, num_proc=n), PROMPT, tmp_path / str(n), 0, 1)["files"]
        for n in (1, 3)
    ]
    assert cards[0] == cards[1] and any(name.startswith("rows") for name in names)


def test_ctrl_c_ends_at_once_and_leaves_nothing(folder, tmp_path, root):
    slow = (
        "import sys, time\n"
        "from medical_rl import images\n"
        "from medical_rl.data.prepare import readers\n"
        "settle = images.settle\n"
        "images.settle = lambda *image: (print('.', flush=True), time.sleep(0.1), settle(*image))[-1]\n"
        "sys.exit(readers.load_reader('custom').main(sys.argv[1:]))\n"
    )
    arguments = [
        "--source",
        str(folder()),
        "--out",
        str(tmp_path / "out"),
        "--question",
        "?",
        "--num-proc",
        "4",
    ]
    child = subprocess.Popen(
        [sys.executable, "-c", slow, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    child.stdout.readline()  # the first image is being decoded
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130 and error.strip() == "stopped before the end; the same command starts over"
    assert time.monotonic() - start < 10
    assert list((tmp_path / "out").iterdir()) == []
