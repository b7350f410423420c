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

from medical_rl import images
from medical_rl.errors import UserError
from medical_rl.parsing.response import gold
from medical_rl.sample import Sample

SIDE = 280

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 90rem; padding: 0 1.5rem; color: #1c2430; background: #f4f5f7; }
h1 { font-size: 1.4rem; margin: 0 0 .4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; } h2 small { font-weight: normal; color: #5b6470; }
ul { margin: .3rem 0; padding-left: 1.2rem; color: #3c4552; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; padding: .8rem; background: #fff; border: 1px solid #d8dce2; border-radius: 6px; overflow-wrap: anywhere; }
.pictures { display: flex; gap: .3rem; } .pictures img { flex: 1 1 0; min-width: 0; width: 100%; background: #000; border-radius: 3px; object-fit: contain; }
figcaption b { display: block; margin-top: .5rem; color: #0b5d3b; } figcaption small { display: block; color: #5b6470; font-size: .8rem; }
p.prompt { white-space: pre-wrap; margin: .5rem 0; font-size: .85rem; color: #3c4552; } p.bad { color: #a1220f; }
.shared { padding: .1rem .8rem; margin-bottom: 1rem; background: #fff; border-left: 3px solid #7a8aa0; }
</style></head><body><h1>{{ title }}</h1>
<ul>{% for line in lines %}<li>{{ line }}</li>
{% endfor %}</ul>{% for s in sections %}<h2>{{ s.heading }} <small>{{ s.aside }}</small></h2>
{% if s.shared %}<div class="shared">{% for text in s.shared %}<p class="prompt">{{ text }}</p>{% endfor %}</div>{% endif %}
<div class="grid">
{% for f in s.figures %}<figure><div class="pictures">{% for p in f.pictures %}{% if p.data %}<img alt="{{ p.alt }}" src="data:{{ p.mime }};base64,{{ p.data }}">{% else %}<p class="bad">{{ p.alt }}</p>{% endif %}{% endfor %}</div>
<figcaption>{% if f.answer %}<b>{{ f.answer }}</b>{% endif %}{% if not s.shared %}{% for text in f.texts %}<p class="prompt">{{ text }}</p>{% endfor %}{% endif %}<small>{{ f.note }}</small></figcaption></figure>
{% endfor %}</div>
{% endfor %}</body></html>
"""


def page(title: str, lines: Iterable[str], sections: Iterable[tuple[str, str, list[Mapping]]]) -> str:
    """The page; a section is (heading, aside, figures), a figure {pictures, texts, answer, note}.

    Texts that all figures of a section share stand once, above them.

    >>> "<script>" in page("<script>", [], [])
    False
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE)
    shown = [{"heading": h, "aside": a, "figures": f, "shared": _shared(f)} for h, a, f in sections]
    return template.render(title=title, lines=list(lines), sections=shown)


def _shared(figures: list[Mapping]) -> list[str]:
    """The texts of a section's figures if all have the same ones, else none."""
    texts = [figure["texts"] for figure in figures]
    return texts[0] if len(texts) > 1 and all(text == texts[0] for text in texts) else []


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
