"""The contact sheet: what it shows, and that nothing in the data can run in it or load from elsewhere."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from medical_rl.data import __main__ as command_line
from medical_rl.data import parquet
from medical_rl.data.inspect import contact_sheet
from medical_rl.data.prepare import command
from medical_rl.images import encode_png
from medical_rl.sample import Sample

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>"


def sample(number=0, **changes):
    base = {
        "id": f"row {number}",
        "source": "demo",
        "question": "Where is it?",
        "kind": "label",
        "answer": "a",
        "images": (encode_png(np.full((20, 40), 50 + number, np.uint8)),),
        "group": f"p{number}",
    }
    return Sample(**{**base, **changes})


@pytest.fixture
def page(tmp_path):
    """A function that writes rows as train and gives the text of their sheet."""

    def make(*samples, **options):
        parquet.write_split(samples, tmp_path / "train.parquet", command.load_prompt("class_names"))
        contact_sheet.write_contact_sheet(tmp_path, tmp_path / "preview.html", **options)
        return (tmp_path / "preview.html").read_text(encoding="utf-8")

    return make


def pictures(text):
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", text)]


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.attributes = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]


def test_a_row_shows_its_image_prompt_answer_and_group(page):
    text = page(sample(answer="pneumonia, left", choices=("none", "pneumonia, left")))
    assert len(pictures(text)) == 1 and pictures(text)[0].size == (280, 140)
    for part in (
        "Where is it? Answer with one of: none; pneumonia, left.",
        "<b>pneumonia, left</b>",
        "row 0 (label; group p0)",
    ):
        assert part in text


def test_nothing_in_the_data_becomes_markup(page):
    text = page(sample(question=EVIL, answer=EVIL, id=EVIL, group=EVIL))
    tags = Tags(text)
    assert tags.seen <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "div",
        "ul",
        "li",
        "figure",
        "figcaption",
        "img",
        "b",
        "small",
    }
    assert not [a for a in tags.attributes if a[1].startswith("on")]
    assert all(
        value.startswith("data:image/jpeg;base64,")
        for _, name, value in tags.attributes
        if name in ("src", "href")
    )
    assert "default-src 'none'" in text and "http" not in re.sub(r"base64,[^\"]+|http-equiv", "", text)


def test_the_gold_box_is_drawn_where_it_is(page):
    text = page(sample(kind="box", answer="[10, 5, 20, 15]", size=(20, 40)))
    image = np.asarray(pictures(text)[0]).astype(int)
    yellow = (image[..., 0] > 150) & (image[..., 1] > 130) & (image[..., 2] < 110)
    ys, xs = np.nonzero(yellow)
    # 40 pixels are shown as 280, 7 times: x from 70 to 140, y from 35 to 105
    assert abs(xs.min() - 70) <= 2 and abs(xs.max() - 140) <= 2
    assert abs(ys.min() - 35) <= 2 and abs(ys.max() - 105) <= 2


def test_a_box_in_pixels_of_a_larger_original_is_scaled(page):
    small = pictures(page(sample(kind="box", answer="[10, 5, 20, 15]", size=(20, 40))))[0]
    large = pictures(page(sample(kind="box", answer="[100, 50, 200, 150]", size=(200, 400))))[0]
    assert np.array_equal(np.asarray(small), np.asarray(large))


def test_a_broken_image_is_told_in_its_place(page):
    noise = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    text = page(sample(images=(noise[:-300], encode_png(np.zeros((5, 5), np.uint8)))))
    assert len(pictures(text)) == 1 and "broken PNG image" in text


def test_the_rows_are_drawn_with_the_seed_from_every_part(page):
    samples = [sample(i) for i in range(40)]
    shown = [re.findall(r"row \d+(?= \()", page(*samples, rows=5, seed=seed)) for seed in (0, 0, 1)]
    assert shown[0] == shown[1] != shown[2] and len(set(shown[0])) == 5


def test_by_hand(page, tmp_path, capsys):
    page(sample(), sample(1))
    assert (
        command_line.main(["preview", str(tmp_path), "--rows", "1", "--out", str(tmp_path / "x.html")]) == 0
    )
    assert "1 rows" in capsys.readouterr().out and (tmp_path / "x.html").exists()
    assert command_line.main(["preview", str(tmp_path / "gone")]) == 2
    assert command_line.main(["preview", str(tmp_path), "--rows", "0"]) == 2


def test_an_empty_page_is_a_page():
    assert contact_sheet.html_page("t", [], []).startswith("<!doctype html>")


def test_a_prompt_that_all_rows_share_stands_once_above_them(page):
    asked = "Where is it? Answer with one of: a; b."
    same = [sample(i, choices=("a", "b")) for i in range(3)]
    assert page(*same).count(asked) == 1
    other = sample(4, choices=("a", "b"), question="Which is it?")
    text = page(*same, other)
    assert text.count(asked) == 3 and "1 of 4 rows" not in text and "4 of 4 rows" in text


def test_the_page_says_what_the_card_says(page, tmp_path):
    card = {"about": {"notes": ["Phantom images drawn by code."], "altered": ["its MD5 is 1"]}, "notes": ["its MD5 is 1", "kept 3"]}  # fmt: skip
    (tmp_path / "card.json").write_text(json.dumps(card))
    lines = re.findall(r"<li>(.*)</li>", page(sample(concepts=("effusion",))))
    assert lines[1:] == ["Phantom images drawn by code.", "Altered: its MD5 is 1.", "kept 3"]
    assert "concepts: effusion" in page(sample(concepts=("effusion",)))
