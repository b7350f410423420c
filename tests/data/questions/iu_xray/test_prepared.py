"""IU-Xray prepared: bad images, what is dropped, wrong settings."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import prepare
from medical_rl.data_preprocess import rule_questions
from medical_rl.errors import UserError
from medical_rl.images import decode


def test_bad_images_are_dropped_with_row_and_reason(
    iu_xray, r2gen_copy, put, phantom, bomb, drops, everything, reasons, tmp_path_factory, write, ask
):
    images = r2gen_copy / "images"
    outside = put(tmp_path_factory.mktemp("elsewhere") / "CXR9_IM-9/0.png", phantom(99))
    put(images / "CXR1_IM-0001/0.png", phantom()[:60])
    put(images / "CXR2_IM-0002/0.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    put(images / "CXR3_IM-0003/0.png", bomb)
    (images / "CXR4_IM-0004/0.png").unlink()
    rows = [json.loads(line) for line in (r2gen_copy / "iuxray_test.jsonl").read_text().splitlines()]
    rows += [
        ask(100, f"../{outside.parent.parent.name}/CXR9_IM-9/0.png"),
        ask(101, str(outside)),
        ask(102, "..\\CXR9_IM-9\\0.png"),
        ask(103, "holiday.png"),
        ask(104, "CXR21_Ünïcode ü/0.png"),
    ]
    put(images / "CXR21_Ünïcode ü/0.png", phantom(21))
    write(r2gen_copy / "iuxray_test.jsonl", rows)
    found = {s.id for split in everything(iu_xray, r2gen_copy).values() for s in split}
    # 45 rows: 4 images of two rows each, three that leave the folder, one that names no study.
    assert len(found) == 45 - 8 - 4 and "iu_xray/iuxray_test/104" in found
    assert reasons() == {
        "its image cannot be decoded": 4,
        "its image is a git-lfs pointer, not the file itself": 2,
        rule_questions.ABSENT: 2,
        rule_questions.LEAVES: 3,
        "the path of its image names no study (CXR<number>_...)": 1,
    }
    examples = " ".join(drops.summary()["its image cannot be decoded"]["examples"])
    assert "iuxray_test/0" in examples and "2500000000 pixels" in examples


def test_no_image_at_all_is_an_error_that_says_what_to_do(iu_xray, r2gen_copy, tmp_path_factory, capsys):
    empty, out = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("out") / "prepared"
    with pytest.raises(
        UserError, match="None of the 20 images that iuxray_test.jsonl asks about is there.*--images"
    ):
        iu_xray.rows(r2gen_copy, "train", images=str(empty))
    assert iu_xray.main(["--source", str(r2gen_copy), "--out", str(out), "--images", str(empty)]) == 2
    # Nothing half-written.
    assert "None of the 20 images" in capsys.readouterr().err and list(out.iterdir()) == []
    code = iu_xray.main(
        ["--source", str(r2gen_copy), "--out", str(out), "--images", str(empty), "--without-images"]
    )
    assert code == 0 and all(s.images == () for s in read_samples(out / "train.parquet"))


def test_it_is_prepared_with_a_card_and_a_second_run_does_nothing(
    iu_xray, r2gen_copy, tmp_path_factory, bare
):
    out = tmp_path_factory.mktemp("out")
    data = {"name": "iu_xray", "reader": "iu_xray", "source": str(r2gen_copy), "params": {}}
    card = prepare.prepare(data, bare, out, 0, 1)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    (first, *_) = read_samples(out / "train.parquet")
    assert decode(first.images[0]).size == (5, 6) and first.group.startswith("CXR")
    readme = (out / "README.md").read_text()
    assert (
        "CC BY-NC-ND 4.0" in readme
        and "80/10/10 of the rows, whole study by study, drawn by split_seed=0" in readme
    )
    before = (out / "card.json").stat().st_mtime_ns
    assert prepare.prepare(data, bare, out, 0, 1) == card and (out / "card.json").stat().st_mtime_ns == before


def test_an_output_inside_the_folder_of_the_images_is_prepared_once_and_a_new_image_seen(
    r2gen_copy, phantom, tmp_path_factory, bare
):
    images = (r2gen_copy / "images").rename(tmp_path_factory.mktemp("elsewhere") / "images")
    data = {
        "name": "iu_xray",
        "reader": "iu_xray",
        "source": str(r2gen_copy),
        "params": {"images": str(images)},
    }
    card = prepare.prepare(data, bare, images / "prepared", 0, 1)
    before = (images / "prepared/card.json").stat().st_mtime_ns
    assert prepare.prepare(data, bare, images / "prepared", 0, 1) == card
    assert (images / "prepared/card.json").stat().st_mtime_ns == before
    (images / "CXR1_IM-0001/0.png").write_bytes(phantom(1000) + b"longer")
    assert prepare.prepare(data, bare, images / "prepared", 0, 1)["recipe"] != card["recipe"]


def test_what_was_dropped_reaches_the_card_with_row_and_reason(r2gen_copy, put, tmp_path_factory, bare):
    put(r2gen_copy / "images/CXR1_IM-0001/0.png", b"version https://git-lfs.github.com/spec/v1\n")
    out = tmp_path_factory.mktemp("out")
    card = prepare.prepare({"name": "iu", "reader": "iu_xray", "source": str(r2gen_copy)}, bare, out, 0, 1)
    reason = "its image is a git-lfs pointer, not the file itself"
    examples = ["iuxray_test/0: 0.png", "iuxray_test/1: 0.png"]
    assert card["dropped"] == {reason: {"rows": 2, "examples": examples}}
    assert f"Dropped 2 rows: {reason}" in (out / "README.md").read_text()


def test_wrong_settings_and_folders_are_told(iu_xray, r2gen_copy, tmp_path):
    with pytest.raises(UserError, match="value of splits 'official'.*published, seeded"):
        iu_xray.rows(r2gen_copy, "train", splits="official")
    with pytest.raises(UserError, match="value of ask 'normals'. Did you mean 'normal'"):
        iu_xray.rows(r2gen_copy, "train", ask="normals")
    with pytest.raises(UserError, match="There is no folder .*nowhere.*RULE's question file"):
        iu_xray.rows(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="has neither indiana_reports.csv nor XML files"):
        iu_xray.rows(r2gen_copy, "train", ask="normal")
    with pytest.raises(UserError, match="split 'dev'"):
        iu_xray.rows(r2gen_copy, "dev")
