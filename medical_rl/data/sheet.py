"""Pages of pictures: one HTML file with everything in it, and nothing in it that runs or loads.

Whatever comes from data is escaped, and a policy in the page forbids scripts and requests all the same.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping

import jinja2
from PIL import Image, ImageDraw

from medical_rl.answers import gold
from medical_rl.data import images
from medical_rl.errors import UserError
from medical_rl.sample import Sample

SIDE = 280

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #1c2430; background: #f4f5f7; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1rem; }
figure { margin: 0; padding: .8rem; background: #fff; border: 1px solid #d8dce2; border-radius: 6px; overflow-wrap: anywhere; }
img { max-width: 100%; margin-right: .3rem; background: #000; }
figcaption b { display: block; color: #0b5d3b; } figcaption small { color: #5b6470; }
p.prompt { white-space: pre-wrap; margin: .4rem 0; max-height: 12rem; overflow: auto; } p.bad { color: #a1220f; }
</style></head><body><h1>{{ title }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}{% for heading, figures in sections %}<h2>{{ heading }}</h2><div class="grid">
{% for f in figures %}<figure>{% for p in f.pictures %}{% if p.data %}<img alt="{{ p.alt }}" src="data:{{ p.mime }};base64,{{ p.data }}">{% else %}<p class="bad">{{ p.alt }}</p>{% endif %}{% endfor %}
<figcaption>{% for text in f.texts %}<p class="prompt">{{ text }}</p>{% endfor %}{% if f.answer %}<b>{{ f.answer }}</b>{% endif %}<small>{{ f.note }}</small></figcaption></figure>
{% endfor %}</div>
{% endfor %}</body></html>
"""


def page(title: str, lines: Iterable[str], sections: Iterable[tuple[str, list[Mapping]]]) -> str:
    """The page; a section is (heading, figures), a figure {pictures, texts, answer, note}.

    >>> "<script>" in page("<script>", [], [])
    False
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE)
    return template.render(title=title, lines=list(lines), sections=list(sections))


def pictures(sample: Sample) -> list[dict]:
    """The sample's images as a page shows them: small, the gold boxes drawn into the first."""
    shown = []
    for number, data in enumerate(sample.images):
        try:
            picture = images.decode(data)
        except UserError as error:
            shown.append({"data": "", "mime": "", "alt": f"image {number + 1}: {error}"})
            continue
        boxes = _boxes(sample, picture) if number == 0 else []
        shown.append({**_inline(_drawn(picture, boxes)), "alt": f"image {number + 1} of {sample.id}"})
    return shown


def _boxes(sample: Sample, picture: Image.Image) -> list[list[float]]:
    """The gold boxes in pixels of the stored picture, which may be smaller than the original they were drawn on."""
    found = gold(sample) if sample.kind == "box" else None
    height, width = sample.size or (picture.height, picture.width)
    x, y = picture.width / max(width, 1), picture.height / max(height, 1)
    return [[x1 * x, y1 * y, x2 * x, y2 * y] for x1, y1, x2, y2 in json.loads(found or "[]")]


def _drawn(picture: Image.Image, boxes: list[list[float]]) -> Image.Image:
    """The picture at about SIDE pixels, the pixels of a small one kept sharp, with its boxes."""
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(small)
    for x1, y1, x2, y2 in boxes:
        # PIL wants the corners in order, and a box of wrong data may have them the other way round.
        (left, right), (top, bottom) = sorted((x1 * scale, x2 * scale)), sorted((y1 * scale, y2 * scale))
        pen.rectangle([left, top, right, bottom], outline=(255, 214, 0), width=2)
    return small


def _inline(picture: Image.Image) -> dict:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=88)
    return {"data": base64.b64encode(buffer.getvalue()).decode(), "mime": "image/jpeg"}
