import os
import struct
import zlib

import pytest

from medical_rl.data.rows import Drops
from medical_rl.data.sources import files
from medical_rl.errors import UserError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1381\n"


def why(path):
    drops = Drops()
    assert files.read_picture(path, "row 1", drops) is None
    ((reason, entry),) = drops.summary().items()
    assert entry["examples"][0].startswith("row 1")
    return reason


def test_a_whole_image_comes_as_its_own_bytes(put, image_bytes):
    for format in ("PNG", "JPEG"):
        data = image_bytes(format=format)
        found = files.read_picture(put(f"a.{format}", data), "row", Drops())
        assert found.data == data and found.size == (8, 10)


def test_every_broken_image_is_told_with_its_reason(put, image_bytes):
    assert why(None) == "its image is not in the folder"
    assert why(put("pointer.png", POINTER)) == "its image is a git-lfs pointer, not the file itself"
    for format in ("PNG", "JPEG"):
        data = image_bytes(height=64, width=64, format=format)
        assert why(put(f"cut.{format}", data[: len(data) // 2])) == "its image cannot be decoded"
    assert why(put("text.png", b"<html>not found</html>")) == "its image cannot be decoded"
    assert why(put("empty.png", b"")) == "its image cannot be decoded"


def test_the_real_pointer_of_a_mirror_is_recognised(realdata):
    assert "git-lfs pointer" in why(realdata / "ham10000/ISIC_0024306_segmentation_LFSPOINTER.png")


def test_an_image_bomb_is_not_decoded(put):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)  # 1.6 Gpixel from a few bytes
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )
    assert why(put("bomb.png", bomb)) == "its image cannot be decoded"


def test_a_file_too_large_to_be_an_image_is_not_read(put):
    path = put("large.png", b"")
    os.truncate(path, files.MAX_BYTES + 1)
    assert why(path) == "its image is over 256 MiB"


def test_images_are_found_at_any_depth_without_what_macos_and_tools_leave(put):
    for name in ("b/c/2.JPG", "a/1.png", "a/._1.png", "__MACOSX/a/1.png", ".cache/3.png", "notes.txt"):
        put(name, b"x")
    root = put("0.bmp", b"x").parent
    assert [p.relative_to(root).as_posix() for p in files.below(root)] == ["0.bmp", "a/1.png", "b/c/2.JPG"]


def test_a_name_finds_its_file_without_suffixes_and_says_when_there_is_no_telling(put):
    root = put("one/a.png", b"x").parent.parent
    put("two/a.png", b"x")
    put("two/a.jpg", b"x")
    index = files.ImageIndex(root)
    named = {args: [p.relative_to(root).as_posix() for p in index.find(*args)] for args in [("a.png", "one"), ("a", ""), ("a.jpg", ""), ("a.png.bmp", "two"), ("b", "")]}  # fmt: skip
    assert named == {
        ("a.png", "one"): ["one/a.png"],
        ("a", ""): ["one/a.png", "two/a.jpg", "two/a.png"],
        ("a.jpg", ""): ["two/a.jpg"],
        ("a.png.bmp", "two"): ["two/a.jpg", "two/a.png"],
        ("b", ""): [],
    }


def test_links_are_followed_and_a_circle_ends(put, tmp_path):
    root = put("a/1.png", b"x").parent.parent
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/2.png").write_bytes(b"x")
    (root / "part_2").symlink_to(tmp_path / "elsewhere")
    (root / "a/again").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [path.name for path in files.below(root)] == ["1.png", "2.png"]


def test_a_pipe_named_like_an_image_is_not_waited_for(put):
    root = put("1.png", b"x").parent
    os.mkfifo(root / "2.png")
    assert [path.name for path in files.below(root)] == ["1.png"]


@pytest.mark.parametrize("source", [None, "", "nowhere", "~nobody/x"])
def test_a_missing_folder_is_told_with_what_it_should_hold(source):
    with pytest.raises(UserError, match="There is no folder .* Get it there."):
        files.source_folder(source, "Get it there.")


def test_the_content_of_a_changed_file_is_read_again(put):
    path = put("a.png", b"one")
    before = files.content_hash(path)
    path.write_bytes(b"three")
    assert len(before) == 64 and files.content_hash(path) != before
    path.unlink()
    assert files.content_hash(path) == str(path)


def test_one_file_is_not_the_image_of_two_names_but_of_its_own(put):
    for name in ("x.png", "y.png", "z.png"):
        root = put(f"set/{name}", b"").parent
    names = ("x.png", "x.jpg", "y.jpg", "y.bmp", "z.jpg", "gone.png")
    # x.png is the file's own name; which of the two y it is cannot be told; no other name means z.
    assert files.ImageIndex(root).disputed((name, "") for name in names) == {"x.jpg", "y.jpg", "y.bmp"}


def test_files_of_one_id_are_one_image_where_they_are_equal(put, image_bytes):
    drops = Drops()
    paths = [put(f"{folder}/a.png", image_bytes(1)) for folder in "xy"]
    assert files.read_only_picture(paths, "a", drops).data == image_bytes(1) and not drops.summary()
    paths[1].write_bytes(image_bytes(2))
    assert files.read_only_picture(paths, "a", drops) is None
    assert drops.summary()["several files that differ could be its image"]["examples"] == [
        "a: x/a.png, y/a.png"
    ]
