"""A user's own set prepared: broken rows told, nothing half-written, and the command by hand."""

import numpy as np
import pytest

from medical_rl.data import parquet
from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError
from medical_rl.images import encode_png


def test_broken_rows_are_told_and_the_others_are_kept(table, picture, rows, read, everything):
    content = rows(id=lambda i: f"case-{i if i != 5 else 4}")
    content[6]["image"], content[7]["image"] = "../secret.png", "/etc/hostname"
    content[8]["image"] = "scans/gone.png"
    path = table(content)
    (path.parent / "scans/gone.png").unlink()
    (path.parent.parent / "secret.png").write_bytes(picture(1))
    (path.parent / "scans/ü 0.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    whole = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    (path.parent / "scans/ü 1.png").write_bytes(whole[:-200])
    found, dropped = read(path)
    assert len(everything(found)) == 14
    assert dropped == {
        "its id is taken by another row": 1,
        "the path of its image leaves the image folder": 2,
        "its image is not in the folder": 1,
        "its image is a git-lfs pointer, not the file itself": 1,
        "its image cannot be decoded": 1,
    }


def test_nothing_half_written_remains_and_the_next_attempt_works(table, custom, tmp_path, picture, rows):
    path, out = table(rows(), images=False), tmp_path / "out"
    config = {"name": "mine", "reader": "custom", "source": str(path)}
    prompt = command.load_prompt("class_names")
    with pytest.raises(UserError, match="no rows left") as error:
        prepare.prepare(config, prompt, out, 0, 1)
    assert error.value.exit_code == 1 and list(out.iterdir()) == []
    table(rows())
    card = prepare.prepare(config, prompt, out, 0, 1)
    assert card["splits"]["train"]["rows"] == 14 and parquet.count_rows(out / "test.parquet") == 4
    assert prepare.prepare(config, prompt, out, 0, 1) == card
    # A changed picture is a changed set, though the table is the same.
    (path.parent / "scans/ü 3.png").write_bytes(picture(99))
    assert prepare.prepare(config, prompt, out, 0, 1)["recipe"] != card["recipe"]


def test_dropped_rows_reach_the_card(table, tmp_path, rows):
    path = table(rows())
    (path.parent / "scans/ü 3.png").unlink()
    card = prepare.prepare(
        {"reader": "custom", "source": str(path)}, command.load_prompt("class_names"), tmp_path / "out", 0, 1
    )
    assert card["dropped"]["its image is not in the folder"]["rows"] == 1


def test_by_hand_to_the_exit_code(custom, table, tmp_path, capsys, rows):
    path = table(rows())
    arguments = ["--source", str(path), "--out", str(tmp_path / "out")]
    assert custom.main([*arguments, "--columns", "answer=answer", "--kind", "label", "--balanced", "6"]) == 0
    assert "train: 6 rows; 50.0% are 'normal'" in capsys.readouterr().out
    assert custom.main([*arguments, "--columns", "answer=dx"]) == 2
    assert "The source has image, answer, question" in capsys.readouterr().err
