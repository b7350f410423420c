"""Which file is an image of HAM10000, and what the card says of a split by image."""

import pytest

HEAD = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
ONE_HOT = "image,AKIEC,BCC,BKL,DF,MEL,NV,VASC\n"


@pytest.fixture
def source(put, image_bytes):
    """A source of 20 nevi, two images a lesion."""
    rows = [f"HAM_{i // 2},ISIC_{i},nv,histo,80,male,back" for i in range(20)]
    path = put("HAM10000_metadata.csv", HEAD + "\n".join(rows) + "\n")
    for i in range(20):
        put(f"part_1/ISIC_{i}.jpg", image_bytes(i, format="JPEG"))
    return path.parent


def test_a_copy_that_has_every_image_twice_is_read_and_two_files_of_one_id_are_told(
    ham, source, put, read_all
):
    for i in range(20):
        put(f"all/ISIC_{i}.jpg", (source / f"part_1/ISIC_{i}.jpg").read_bytes())
    samples, dropped = read_all(ham, source)
    assert sum(map(len, samples.values())) == 20 and not dropped
    put("all/ISIC_3.jpg", (source / "part_1/ISIC_4.jpg").read_bytes())
    samples, dropped = read_all(ham, source)
    assert sum(map(len, samples.values())) == 19
    assert dropped == {"ISIC_3": "several files that differ could be its image"}


def test_named_lesions_are_split_whole_even_by_image_and_the_card_says_so(ham, source):
    about = ham.describe(source, by_image=True)
    assert about["split"].startswith("by lesion, seed 0") and not any(
        "by image" in note for note in about["notes"]
    )
    train, test = ({s.group for s in ham.rows(source, split, by_image=True)} for split in ("train", "test"))
    assert all(group.startswith("HAM_") for group in train | test) and not train & test


def test_the_card_counts_the_images_that_are_split_on_their_own(ham, source, put):
    (source / "HAM10000_metadata.csv").unlink()
    put("truth.csv", ONE_HOT + "".join(f"ISIC_{i},0,0,0,0,0,1,0\n" for i in range(20)))
    about = ham.describe(source, by_image=True)
    assert about["split"].startswith("by image, seed 0")
    assert "The lesion of 20 images is not named: they are split by image" in about["notes"][-1]
    put("LesionGroupings.csv", "image,lesion_id\n" + "".join(f"ISIC_{i},HAM_{i // 2}\n" for i in range(8)))
    about = ham.describe(source, table="truth.csv", by_image=True)
    assert about["split"].startswith("by lesion, or image where none is named, seed 0")
    assert "The lesion of 12 images" in about["notes"][-1]
