"""The report and the exit codes of the command, and sets that must not be accused: phantoms and real X-rays."""

import dataclasses
import json

import pytest

from medical_rl.data import __main__ as command_line
from medical_rl.data.inspect.findings import CHECKS, Finding
from medical_rl.data.prepare import prepare
from medical_rl.images import encode_png


def test_the_report_can_be_read(folder, clean, capsys):
    clean["test"][3] = dataclasses.replace(clean["test"][3], images=clean["train"][2].images)
    assert command_line.main(["check", str(folder(clean))]) == 1
    out = capsys.readouterr().out
    assert "train: 20 rows (20 label), 20 groups, 20 different images" in out
    assert "      10   50.0%  'a'" in out
    assert (
        "LEAK     shared_image: 1 images, pixel for pixel, are in both train and test.\n           train/2 and test/3"
        in out
    )
    assert "FAILED: 1 leak" in out and "--accept shared_image" in out


def test_nothing_to_check_exits_2(tmp_path, capsys):
    assert command_line.main(["check", str(tmp_path / "gone")]) == 2
    assert command_line.main(["check", str(tmp_path)]) == 2
    assert command_line.main(["check", str(tmp_path), "--accept", "share_image"]) == 2
    err = capsys.readouterr().err
    assert (
        "There is no folder" in err
        and "holds no parquet files" in err
        and "Did you mean 'shared_image'" in err
    )


def test_a_finding_has_a_known_check_and_level():
    with pytest.raises(ValueError, match="no check"):
        Finding("chekc", "leak", "?")
    assert all(isinstance(text, str) for text in CHECKS.values())


@pytest.mark.parametrize("task", ["grading", "classification", "localisation"])
def test_phantoms_are_not_accused(task, tmp_path, found_in, prompt):
    sizes = {"warm_start": 100, "train": 400, "val": 50, "test": 100}
    data = {"reader": "phantoms", "source": None, "params": {"task": task, "sizes": sizes}}
    prepare.prepare(data, prompt, tmp_path / "out", 0, 1)
    assert found_in(tmp_path / "out", prompt=prompt) == {}


def test_the_real_pneumoniamnist_shares_8_images_and_no_other_xray_is_accused(
    pneumonia, tmp_path, found_in, prompt
):
    data = {"reader": "medmnist", "source": str(pneumonia), "params": {"allow_altered": True}}
    prepare.prepare(data, prompt, tmp_path / "out", 0, 1)
    found = found_in(tmp_path / "out", prompt=prompt)
    # 8, 17 and 3 counted independently with numpy (rows equal byte for byte).
    assert found["shared_image"][0].message == "8 images, pixel for pixel, are in both train and val."
    assert [f.message for f in found["duplicate"]] == [
        "train: 17 rows: a repetition.",
        "test: 3 rows: a repetition.",
    ]
    assert set(found) == {"shared_image", "duplicate", "card"}  # the last says what the card's notes say
    assert json.loads((tmp_path / "out/card.json").read_text())["warnings"]


@pytest.fixture
def alike(folder, clean, picture):
    """A folder whose only finding is a look-alike, which is a warning."""
    pixels = picture(2).copy()
    pixels[0, 0] ^= 1
    clean["test"][3] = dataclasses.replace(clean["test"][3], images=(encode_png(pixels),))
    return folder(clean)


def test_no_page_is_written_unasked(alike, capsys):
    before = sorted(path.name for path in alike.iterdir())
    assert command_line.main(["check", str(alike)]) == 0
    assert sorted(path.name for path in alike.iterdir()) == before
    assert "1 pairs look alike: --pictures FILE writes a page that shows them" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_changes_no_exit_code(alike, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command_line.main(["check", str(alike), "--pictures", str(tmp_path / "file/page.html")]) == 0
    assert "the page could not be written" in capsys.readouterr().err
