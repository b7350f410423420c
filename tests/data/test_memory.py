"""Memory stays flat: eight times the rows, no more memory than a few row groups."""

import subprocess
import sys

import numpy as np
import pytest

ROWS, SIZE = 1200, 128

PREPARE = """
import re, sys
from pathlib import Path
from medical_rl.data.prepare import command, prepare
data = {"name": "p", "reader": "medmnist", "source": sys.argv[1], "params": {"allow_altered": True}, "num_proc": int(sys.argv[3])}
prepare.prepare(data, command.load_prompt("class_names"), sys.argv[2], 0, 1)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("workers", [1, 3])
def test_eight_times_the_rows_take_no_more_memory(mini_arrays, tmp_path, root, workers):
    def peak_mib(times):
        arrays = mini_arrays(size=SIZE)
        noise = np.random.default_rng(0).integers(
            0, 256, (ROWS, SIZE, SIZE), dtype=np.uint8
        )  # noise hardly shrinks
        path = tmp_path / f"pneumoniamnist_{SIZE}.npz"
        labels = np.arange(ROWS * times, dtype=np.uint8)[:, None] % 2
        np.savez(path, **arrays | {"train_images": np.concatenate([noise] * times), "train_labels": labels})
        done = subprocess.run(
            [sys.executable, "-c", PREPARE, str(path), str(tmp_path / str(times)), str(workers)],
            capture_output=True, text=True, cwd=root,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    once, eight = peak_mib(1), peak_mib(8)
    # The pictures are 19 MiB and 150 MiB, and as many again encoded; a row group of 512 is 8 MiB.
    assert eight < once + 60, f"{once:.0f} MiB for {ROWS} rows, {eight:.0f} MiB for {8 * ROWS}"
