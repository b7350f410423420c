"""Images that decoders read differently (turned by a tag, transparent, animated, in print colours) are settled once."""

import csv
import dataclasses
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from medical_rl import images
from medical_rl.data.inspect.check import check_folder
from medical_rl.data.prepare import command, prepare
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, image_boxes
from medical_rl.errors import UserError

PROMPT = command.load_prompt("class_names")
DETECTION = command.load_prompt("detection")
TURNED = 6  # "turn it a quarter to the right to see it": what a phone writes of a picture taken upright


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def drawn(height=40, width=80, mode="RGB"):
    """A picture with a bright upper left quarter, so that a turn shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 120, 40)
    return Image.fromarray(pixels).convert(mode)


def with_orientation(image, tag=TURNED, format="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = tag
    return saved(image, format, exif=exif)


def transparent():
    """A red disc in transparent corners, whose hidden colour is black."""
    rgba = np.zeros((40, 40, 4), np.uint8)
    y, x = np.ogrid[:40, :40]
    rgba[(y - 20) ** 2 + (x - 20) ** 2 < 200] = (200, 0, 0, 255)
    return Image.fromarray(rgba, "RGBA")


def prepared(tmp_path, pictures, prompt=PROMPT, answer=None, **params):
    """(card, {id: (image bytes, sample as JSON)}) of a set with these files, {name: bytes}."""
    source = tmp_path / "set"
    source.mkdir()
    with (source / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "answer", "split"])
        for number, (name, data) in enumerate(pictures.items()):
            (source / name).write_bytes(data)
            split = ("train", "train", "val", "test")[number % 4]
            writer.writerow([name, name, answer or "ab"[number % 2], split])
    data = {"name": "mine", "reader": "custom", "source": str(source / "data.csv")}
    data["params"] = {"question": "Which?", **params}
    card = prepare.prepare(data, prompt, tmp_path / "out", 0, 1)
    rows = {}
    for path in sorted((tmp_path / "out").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            sample = json.loads(row["sample"])
            rows[sample["id"]] = (row["images"][0]["bytes"], sample)
    return card, rows


def clean(number):
    rng = np.random.default_rng(number)
    return saved(Image.fromarray(rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)), "PNG")


def filled(first):
    """The first picture and clean ones, so that every split has a row."""
    return first | {f"clean{number}.png": clean(number) for number in range(4)}


def test_a_turned_jpeg_is_stored_as_a_viewer_shows_it_and_counted_on_the_card(tmp_path):
    data = with_orientation(drawn())
    card, rows = prepared(tmp_path, filled({"phone.jpg": data}))
    stored, sample = rows["phone.jpg"]
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    # What obeys the tag (vLLM, a viewer) and what does not (the trainer) see one picture, upright: 80 high, 40 wide.
    plain = Image.open(io.BytesIO(stored))
    assert plain.getexif().get(0x0112, 1) == 1 and plain.size == (40, 80)
    assert (np.asarray(plain.convert("RGB")) == np.asarray(shown)).all()
    assert sample["size"] == [80, 40] == list(images.image_size(stored))
    assert card["images"] == {
        "turned as the orientation tag says": {"rows": 1, "examples": ["row 1 (phone.jpg)"]}
    }
    sentence = "1 image was turned as the orientation tag says (row 1 (phone.jpg))."
    assert sentence in card["changes"] and sentence in (tmp_path / "out/README.md").read_text()
    assert sentence in command.summary(card, tmp_path / "out")


@pytest.mark.parametrize("tag", range(1, 9))
def test_all_eight_orientations_are_seen_alike(tag):
    for format in ("JPEG", "PNG", "WEBP"):
        data = with_orientation(drawn(), tag, format)
        shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        stored, picture, _ = images.settle(data)
        assert (np.asarray(picture) == shown).all() and (np.asarray(images.decode(data)) == shown).all()
        assert (np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")) == shown).all()
        assert images.image_size(stored) == shown.shape[:2]
        # 1 is "as it is": nothing to settle
        assert (stored == data) == (tag == 1 and format != "WEBP")


def test_a_transparent_png_gets_white_corners_for_everybody(tmp_path):
    card, rows = prepared(tmp_path, filled({"cut_out.png": saved(transparent(), "PNG")}))
    stored, _ = rows["cut_out.png"]
    assert Image.open(io.BytesIO(stored)).mode == "RGB"
    assert images.decode(stored).getpixel((0, 0)) == (255, 255, 255)
    assert images.decode(stored).getpixel((20, 20)) == (200, 0, 0)
    assert list(card["images"]) == ["put on white where transparent"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "key"])
def test_transparency_of_any_kind_is_put_on_white(mode):
    if mode == "key":  # one colour declared transparent
        data = saved(transparent().convert("RGB"), "PNG", transparency=(0, 0, 0))
    elif mode == "P":
        palette = transparent().convert("RGB").quantize(8)
        data = saved(palette, "PNG", transparency=palette.getpixel((0, 0)))
    elif mode == "PA":
        data = saved(transparent(), "WEBP", lossless=True)
    else:
        data = saved(transparent().convert(mode), "PNG")
    stored, picture, what = images.settle(data)
    assert what == ("put on white where transparent",) and picture.getpixel((0, 0)) == (255, 255, 255)
    assert (np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")) == np.asarray(picture)).all()


@pytest.mark.parametrize(
    "data",
    [
        saved(drawn(), "PNG"),
        saved(drawn(mode="L"), "PNG"),
        saved(drawn(mode="1"), "PNG"),
        saved(drawn().quantize(8), "PNG"),
        saved(drawn(mode="RGBA"), "PNG"),  # opaque: every decoder sees the same
        saved(drawn(), "JPEG"),
        saved(drawn(mode="L"), "JPEG"),
        with_orientation(drawn(), 1),
        with_orientation(drawn(), 0),  # no orientation that there is
        saved(drawn(), "JPEG", icc_profile=b"a profile that no decoder of ours reads"),
    ],
    ids=["rgb", "grey", "bits", "palette", "opaque", "jpeg", "grey jpeg", "upright", "no turn", "icc"],
)
def test_what_all_decoders_see_alike_keeps_its_bytes(data):
    stored, picture, what = images.settle(data)
    assert stored is data and what == ()
    assert (np.asarray(picture) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


def test_clean_sets_have_no_word_about_images_on_their_card(tmp_path):
    card, rows = prepared(tmp_path, filled({}))
    assert card["images"] == {} and card["changes"] == []
    assert all(stored == clean(int(name[5])) for name, (stored, _) in rows.items())


def test_real_radiographs_keep_their_bytes(realdata):
    paths = sorted((realdata / "rocov2/test").glob("*.jpg"))
    assert len(paths) > 50
    for path in paths:
        data = path.read_bytes()
        assert images.settle(data)[0] is data


def test_print_colours_deep_colours_and_first_frames_are_settled_and_named(tmp_path):
    frames = [drawn(), drawn().rotate(180)]
    deep = drawn()
    pictures = {
        "print.jpg": saved(drawn(mode="CMYK"), "JPEG"),
        "moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "moving.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "pages.tif": saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "deep.png": sixteen_bits(np.asarray(deep)),
    }
    card, rows = prepared(tmp_path, filled(pictures))
    counts = {what: entry["rows"] for what, entry in card["images"].items()}
    assert counts == {
        "taken by the first of several frames": 3,
        "put into RGB from print colours (CMYK)": 1,
        "cut from 16 to 8 bits a colour": 1,
    }
    for stored, _ in rows.values():
        picture = Image.open(io.BytesIO(stored))
        assert picture.mode in ("RGB", "L", "P") and getattr(picture, "n_frames", 1) == 1


def sixteen_bits(pixels):
    """A PNG of 16 bits a colour, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + (row.astype(">u2") * 257).astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_16_bit_grey_is_still_refused_as_its_window_is_a_choice():
    grey = Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40))
    with pytest.raises(UserError, match="more than 8 bits a pixel"):
        images.settle(saved(grey, "PNG"))


def test_a_box_drawn_on_the_turned_picture_stays_right(tmp_path):
    # The picture is 80 high and 40 wide as a viewer shows it, and 40 high and 80 wide in its file: the box's lower
    # edge at row 78 is inside the first alone.
    pictures = filled({"phone.jpg": with_orientation(drawn())})
    pictures |= {name: saved(drawn(80, 40), "PNG") for name in pictures if name != "phone.jpg"}
    card, rows = prepared(tmp_path, pictures, DETECTION, answer="[2, 50, 30, 78]", kind="box")
    assert card["dropped"] == {} and rows["phone.jpg"][1]["size"] == [80, 40]
    report = check_folder(tmp_path / "out", prompt=DETECTION)
    assert not [finding for finding in report.findings if finding.check == "gold"]


def test_a_box_outside_the_turned_picture_is_not_inside_its_file_either(tmp_path):
    pictures = filled({"phone.jpg": with_orientation(drawn())})
    pictures |= {name: saved(drawn(), "PNG") for name in pictures if name != "phone.jpg"}
    card, rows = prepared(tmp_path, pictures, DETECTION, answer="[42, 2, 78, 30]", kind="box")
    # 78 columns are there in the file, and 40 in the picture.
    assert "phone.jpg" not in rows and sum(entry["rows"] for entry in card["dropped"].values()) == 1


def mask_answer(tmp_path, picture, mask):
    for name, data in {"image.jpg": picture, "mask.png": mask}.items():
        (tmp_path / name).write_bytes(data)
    drops = Drops()
    read = files.read_picture(tmp_path / "image.jpg", "row 1", drops)
    answer = image_boxes.mask_box_answer("row 1", read, [tmp_path / "mask.png"], "union", drops)
    return answer, drops.summary()


def marked(height, width, rows, columns):
    pixels = np.zeros((height, width), np.uint8)
    pixels[slice(*rows), slice(*columns)] = 255
    return Image.fromarray(pixels)


def test_a_mask_drawn_on_the_turned_picture_fits_it(tmp_path):
    mask = saved(marked(80, 40, (50, 78), (2, 30)), "PNG")
    answer, dropped = mask_answer(tmp_path, with_orientation(drawn()), mask)
    assert (json.loads(answer), dropped) == ([2, 50, 30, 78], {})


def test_a_mask_with_the_pictures_own_tag_is_turned_with_it(tmp_path):
    # Marked in the file at rows 10 to 38, columns 50 to 78; a quarter to the right, row y becomes column 39 - y.
    mask = with_orientation(marked(40, 80, (10, 38), (50, 78)), format="PNG")
    answer, dropped = mask_answer(tmp_path, with_orientation(drawn()), mask)
    assert (json.loads(answer), dropped) == ([2, 50, 30, 78], {})


def test_what_is_transparent_in_a_mask_is_not_marked(tmp_path):
    mask = Image.new("RGBA", (80, 40), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (2, 5, 30, 20))
    answer, _ = mask_answer(tmp_path, saved(drawn(), "JPEG"), saved(mask, "PNG"))
    assert json.loads(answer) == [2, 5, 30, 20]


def test_a_picture_that_the_processor_would_refuse_is_dropped_and_named_by_its_row(tmp_path):
    strip = saved(Image.new("RGB", (2010, 10)), "PNG")  # 201 times as wide as high; 200 is the most
    least = saved(Image.new("RGB", (2000, 10)), "PNG")
    card, rows = prepared(tmp_path, filled({"strip.png": strip, "least.png": least}))
    assert "least.png" in rows and "strip.png" not in rows
    (reason,) = card["dropped"]
    (example,) = card["dropped"][reason]["examples"]
    assert "strip.png" in example and "2010 x 10" in example and "200" in example


def test_an_image_that_was_never_decoded_is_refused_with_its_row_as_it_is_written(toy, make_sample, tmp_path):
    strip = images.encode_png(np.zeros((10, 2010), np.uint8))
    rows = {split: [make_sample(f"{split}/1", images=0)] for split in ("train", "val", "test")}
    rows["val"][0] = dataclasses.replace(rows["val"][0], images=(strip,))
    with pytest.raises(UserError, match="val/1.*2010 x 10"):
        prepare.prepare(toy(rows), PROMPT, tmp_path / "out", 0, 1)


def test_the_check_finds_an_image_that_decoders_see_differently(toy, make_sample, tmp_path, monkeypatch):
    rows = {split: [make_sample(f"{split}/1", images=0)] for split in ("train", "val", "test")}
    rows["val"][0] = dataclasses.replace(rows["val"][0], images=(with_orientation(drawn()),))
    prepare.prepare(toy(rows), PROMPT, tmp_path / "out", 0, 1)  # a reader that settles nothing
    (finding,) = [each for each in check_folder(tmp_path / "out").findings if each.check == "image"]
    assert finding.fails and finding.examples == ("val/1, image 0: turned as the orientation tag says",)
