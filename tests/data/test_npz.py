import os
import zipfile

import numpy as np
import pytest

from medical_rl.data.sources import npz
from medical_rl.errors import UserError


class Trap:
    """Unpickling this makes a folder: the proof that something was executed."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_rows_equal_numpy_whatever_the_chunk(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (7, 3, 3), dtype=np.uint8)
    np.savez_compressed(tmp_path / "x.npz", a=array, b=np.arange(4))
    assert npz.headers(tmp_path / "x.npz") == {
        "a": ((7, 3, 3), np.dtype("uint8")),
        "b": ((4,), np.arange(4).dtype),
    }
    for chunk_bytes in (1, 18, 1 << 20):  # a row has 9 bytes: one, two or all rows at a time
        assert (np.stack(list(npz.stream(tmp_path / "x.npz", "a", chunk_bytes))) == array).all()


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    marker = tmp_path / "executed"
    np.savez(tmp_path / "x.npz", a=np.array([Trap(marker), 1], dtype=object))
    with pytest.raises(UserError, match="Python objects in a"):
        npz.headers(tmp_path / "x.npz")
    with pytest.raises(UserError, match="Python objects in a"):
        list(npz.stream(tmp_path / "x.npz", "a"))
    assert not marker.exists()
    # The trap is a real one: numpy springs it when told to unpickle.
    np.load(tmp_path / "x.npz", allow_pickle=True)["a"]
    assert marker.exists()


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"no file {tmp_path}/gone.npz"):
        npz.headers("gone.npz")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"just text", b"PK\x03\x04 cut off"])
def test_what_is_no_npz_is_told_with_its_path(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="x.npz cannot be read as an npz file"):
        npz.headers(path)


def test_a_git_lfs_pointer_is_called_one(tmp_path):
    path = tmp_path / "x.npz"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UserError, match="git-lfs pointer"):
        npz.headers(path)


def test_a_folder_is_told_to_be_one(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        npz.headers(tmp_path)


def test_an_array_that_ends_early_is_found_while_streaming(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((10, 4), np.uint8))
    whole = (tmp_path / "a.npy").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", whole[:-6])  # 34 of 40 bytes: rows 0 to 7, and half of row 8
    rows = npz.stream(tmp_path / "x.npz", "a", chunk_bytes=4)
    with pytest.raises(UserError, match="truncated.*rows 8 to 8"):
        list(rows)


def test_flipped_bytes_are_found_by_the_checksum(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros((1000, 4), np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as an npz file"):
        list(npz.stream(path, "a"))


@pytest.mark.parametrize(
    ("array", "reason"), [(np.asfortranarray(np.zeros((3, 4))), "Fortran"), (np.float64(1), "single number")]
)
def test_layouts_we_would_misread_are_refused(tmp_path, array, reason):
    np.savez(tmp_path / "x.npz", a=array)
    with pytest.raises(UserError, match=reason):
        npz.headers(tmp_path / "x.npz")
