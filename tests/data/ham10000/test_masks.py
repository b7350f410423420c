"""The masks of HAM10000 and the boxes made of them; files that cannot be used."""

import json


def test_every_bad_mask_and_image_is_a_reported_skip(
    ham, mini, put, read_all, image_bytes, realdata, mask_bytes
):
    source = mini()
    pointer = (realdata / "ham10000/ISIC_0024306_segmentation_LFSPOINTER.png").read_bytes()
    masks = "HAM10000_segmentations_lesion_tschandl/ISIC_000000{}_segmentation.png"
    put(masks.format(0), pointer)
    put(masks.format(1), mask_bytes())
    put(masks.format(2), mask_bytes((0, 0, 3, 3), size=(4, 5)))
    put(masks.format(3), mask_bytes((2, 1, 5, 6))[:-30])
    (source / masks.format(4)).unlink()
    put("HAM10000_images_part_2/ISIC_0000005.jpg", image_bytes(height=64, width=64, format="JPEG")[:900])
    samples, dropped = read_all(ham, source, task="boxes")
    assert dropped == {
        "ISIC_0000000": "its mask is a git-lfs pointer, not the file itself",
        "ISIC_0000001": "its mask is empty",
        "ISIC_0000002": "its mask has another size than the image",
        "ISIC_0000003": "its mask cannot be decoded",
        "ISIC_0000004": "its mask is not in the folder",
        "ISIC_0000005": "its image cannot be decoded",
    }
    assert sum(map(len, samples.values())) == 54


def test_a_one_pixel_mask_is_a_box_of_one_pixel_and_largest_leaves_specks_out(
    ham, mini, put, read_all, mask_bytes
):
    source = mini()
    masks = "HAM10000_segmentations_lesion_tschandl/ISIC_000000{}_segmentation.png"
    put(masks.format(0), mask_bytes((9, 7, 10, 8)))
    put(masks.format(1), mask_bytes((0, 0, 3, 3), (8, 6, 9, 7)))
    for part, wanted in (("union", [0, 0, 9, 7]), ("largest", [0, 0, 3, 3])):
        samples, _ = read_all(ham, source, task="boxes", part=part)
        found = {
            s.id[-1]: json.loads(s.answer) for rows in samples.values() for s in rows if "_000000" in s.id
        }
        assert found["0"] == [9, 7, 10, 8] and found["1"] == wanted


def test_names_that_leave_the_folder_open_nothing_and_unicode_names_are_found(
    ham, mini, put, read_all, image_bytes, tmp_path
):
    source = mini(masks=False)
    (tmp_path / "secret.jpg").write_bytes(image_bytes())
    with (source / "HAM10000_metadata.csv").open("a") as file:
        for name in ("../secret", str(tmp_path / "secret"), "Läsion 1"):
            file.write(f"HAM_{name},{name},nv,histo,80,male,back,x\n")
    put("HAM10000_images_part_1/La\u0308sion 1.jpg", image_bytes(99))
    samples, dropped = read_all(ham, source)
    assert set(dropped) == {"../secret", str(tmp_path / "secret")}
    assert set(dropped.values()) == {"its image is not in the folder"}
    assert "ham10000/Läsion 1" in {s.id for rows in samples.values() for s in rows}
