"""Each kind of bad input, by hand from the source to the exit code: told with row and reason, nothing half-written or run."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from medical_rl.data import parquet
from medical_rl.data.prepare import readers
from medical_rl.images import encode_png

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1381\n"
WHOLE = ["README.md", "card.json", "test.parquet", "train.parquet", "val.parquet"]


class Trap:
    """Unpickling this makes a folder: the proof that something was executed."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def noise(seed, size=(20, 20)):
    return encode_png(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8))


@pytest.fixture
def by_hand(tmp_path, capsys):
    """A function that gives (exit code, what was printed, the names in the output folder, the card's dropped rows)."""

    def run(reader, source, *options):
        out = tmp_path / "out"
        code = readers.load_reader(reader).main(["--source", str(source), "--out", str(out), *options])
        said = capsys.readouterr()
        card = json.loads((out / "card.json").read_text()) if (out / "card.json").exists() else {}
        names = sorted(path.name for path in out.iterdir()) if out.exists() else []
        return code, said.out + said.err, names, card.get("dropped")

    return run


@pytest.fixture
def own(put):
    """A function that writes a user's table of 30 rows with a picture each; `changes` are of row 7."""

    def make(data=None, **changes):
        lines = []
        for i in range(30):
            row = {"id": f"case-{i}", "image": f"{i}.png", "answer": "ab"[i % 2], "question": "Which?"}
            row |= changes if i == 7 else {}
            put(f"{i}.png", data if data is not None and i == 7 else noise(i))
            lines.append(row)
        return put("mine.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines))

    return make


@pytest.fixture
def ham(put):
    """A function that writes a HAM10000 of 40 images with masks; `header` is its table's."""

    def make(header="lesion_id,image_id,dx,dx_type,age"):
        mask = np.zeros((20, 20), np.uint8)
        mask[2:9, 3:8] = 255
        for i in range(40):
            put(f"ISIC_{i}.png", noise(i))
            put(f"ISIC_{i}_segmentation.png", encode_png(mask * (i != 7)))
        rows = [f"HAM_{i},ISIC_{i},nv,histo,{'nan' if i == 7 else 50}" for i in range(40)]
        return put("HAM10000_metadata.csv", "\n".join([header, *rows]) + "\n").parent

    return make


DROPPED = {
    "a truncated image": ({"data": noise(7)[:-100]}, "row 8 (case-7): 7.png: ", "its image cannot be decoded"),
    "a git-lfs pointer": ({"data": POINTER}, "row 8 (case-7): 7.png", "its image is a git-lfs pointer, not the file itself"),
    "an empty file": ({"data": b""}, "row 8 (case-7): 7.png", "its image cannot be decoded"),
    "another row's id": ({"id": "case-6"}, "row 8 (case-6)", "its id is taken by another row"),
    "a path upwards": ({"image": "../secret.png"}, "row 8 (case-7): ../secret.png", "the path of its image leaves the image folder"),
    "a path from the root": ({"image": "/etc/hostname"}, "row 8 (case-7): /etc/hostname", "the path of its image leaves the image folder"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "row", "reason"), DROPPED.values(), ids=list(DROPPED))
def test_a_bad_row_is_left_out_and_told_and_the_others_are_whole(
    by_hand, own, tmp_path, changes, row, reason
):
    (tmp_path / "secret.png").write_bytes(noise(1000))
    code, said, names, dropped = by_hand("custom", own(**changes))
    ((told, entry),) = dropped.items()
    assert (code, names, told, entry["rows"]) == (0, WHOLE, reason, 1)
    assert entry["examples"][0].startswith(row), entry
    assert f"Dropped 1 row: {reason}" in said
    samples = [
        s
        for split in ("train", "val", "test")
        for s in parquet.read_samples(tmp_path / f"out/{split}.parquet")
    ]
    assert len(samples) == 29 and noise(1000) not in {s.images[0] for s in samples}


def test_a_box_outside_the_image_is_left_out_and_told(by_hand, own):
    path = own(answer="[1, 1, 21, 9]")
    path.write_text(path.read_text().replace('"a"', '"[1, 1, 9, 9]"').replace('"b"', '"[2, 2, 9, 9]"'))
    code, _, names, dropped = by_hand("custom", path, "--kind", "box", "--prompt", "detection")
    assert (code, names) == (0, WHOLE)
    assert dropped.keys() == {"its box reaches outside the image"}
    assert dropped["its box reaches outside the image"]["examples"][0].startswith("row 8 (case-7)")


def test_names_in_any_script_are_read_and_kept(by_hand, own, put, tmp_path):
    name = "Läsion 胸部 №7 😷.png"
    put(name, noise(7))
    code, _, names, dropped = by_hand("custom", own(id="患者 7", image=name))
    assert (code, names, dropped) == (0, WHOLE, {})
    samples = [
        s
        for split in ("train", "val", "test")
        for s in parquet.read_samples(tmp_path / f"out/{split}.parquet")
    ]
    assert {s.id: s.images[0] for s in samples}["患者 7"] == noise(7)


def test_an_empty_mask_is_left_out_and_told(by_hand, ham):
    code, _, names, dropped = by_hand("ham10000", ham(), "--task", "boxes", "--prompt", "detection")
    assert (code, names, dropped) == (0, WHOLE, {"its mask is empty": {"rows": 1, "examples": ["ISIC_7"]}})


def test_a_nan_age_is_null_in_the_row_and_told_in_the_card(by_hand, ham, tmp_path):
    code, _, names, dropped = by_hand("ham10000", ham())
    assert (code, names, dropped) == (0, WHOLE, {})
    assert "1 rows have no usable age." in (tmp_path / "out/README.md").read_text()
    samples = [
        s
        for split in ("train", "val", "test")
        for s in parquet.read_samples(tmp_path / f"out/{split}.parquet")
    ]
    ages = {s.id: s.meta["age"] for s in samples}
    assert ages.pop("ham10000/ISIC_7") is None and set(ages.values()) == {50}
    assert not any("NaN" in s.to_json() for s in samples)


def test_wrong_columns_are_named_and_leave_nothing(by_hand, ham):
    code, said, names, _ = by_hand("ham10000", ham("lesion,picture,diagnosis,dx_type,age"))
    assert (code, names) == (2, [])
    assert (
        "HAM10000_metadata.csv has the columns lesion, picture, diagnosis, dx_type, age; a table of HAM10000 has"
        in said
    )
    assert "lesion_id, image_id, dx; or image, AKIEC" in said


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_pickle_inside_an_npz_is_refused_and_not_run(by_hand, put, mini_arrays, tmp_path):
    marker = tmp_path / "executed"
    trap = npz(**mini_arrays() | {"val_labels": np.array([[Trap(marker)]] * 4, dtype=object)})
    source = put("pneumoniamnist.npz", trap)
    code, said, names, _ = by_hand("medmnist", source, "--allow-altered")
    assert (code, names, marker.exists()) == (2, [], False)
    assert "Python objects in val_labels" in said and str(source) in said
    # The trap is a real one.
    np.load(source, allow_pickle=True)["val_labels"]
    assert marker.exists()


def test_a_zip_bomb_is_refused_by_its_header_and_not_unpacked(by_hand, put, mini_arrays):
    source = put("pneumoniamnist.npz", npz(**{k: v for k, v in mini_arrays().items() if k != "test_images"}))
    with (
        zipfile.ZipFile(source, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("test_images.npy", "w") as member,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": (6, 1 << 18, 1 << 18)}  # 384 GiB
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(1 << 20))
    assert source.stat().st_size < 10_000
    code, said, names, _ = by_hand("medmnist", source, "--allow-altered")
    assert (code, names) == (2, []) and "262144 x 262144 pixels" in said
