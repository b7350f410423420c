"""Pictures: how they look, what each must say of itself, and how they are written (PNG, or a page with nothing outside it)."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.wording import DISCLAIMER

PHANTOM = "Phantoms: images drawn by code, not medical images."
# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#332288", "#666666")
FORMATS = (".png", ".html")
_LINE_IN, _WIDTH_OF_LETTER_IN = 0.16, 0.066  # of the small print

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ title }}</title>
<style>body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.3rem; } img { max-width: 100%; } table { border-collapse: collapse; margin-top: 1rem; }
td, th { padding: .2rem .7rem; border-bottom: 1px solid #d8dce2; text-align: right; } td:first-child, th:first-child { text-align: left; }
</style></head><body><h1>{{ title }}</h1><img alt="{{ title }}" src="data:image/png;base64,{{ picture }}">
{% for note in notes %}<p>{{ note }}</p>{% endfor %}
{% if body %}<table><tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in body %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}</body></html>
"""


def canvas(width: float, height: float, columns: int = 1, rows: int = 1, **shared):
    """(figure of `width` x `height` inches, its axes): drawn in memory, no screen needed."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, **shared)
    for one in np.ravel(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(
    figure,
    out: Path,
    title: str,
    notes: Sequence[str],
    table: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ()),
) -> Path:
    """`out`, written whole: a PNG with title and notes in it, or an HTML page with the picture and `table` (header, rows).

    That nothing is for clinical use stands in every one, as the last note. UserError for another format.
    """
    out, notes = Path(out), [*notes, DISCLAIMER]
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"A picture is written as {' or '.join(FORMATS)}, not as {out.name!r}.")
    lines = _wrapped(notes, figure.get_figwidth()) if out.suffix.lower() == ".png" else []
    if lines:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        # Room below the axes for the small print, however many lines it takes.
        room = (len(lines) + 1) * _LINE_IN
        figure.set_figheight(figure.get_figheight() + room)
        share = room / figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
        figure.text(
            0.01,
            _LINE_IN / 2 / figure.get_figheight(),
            "\n".join(lines),
            fontsize=7.5,
            color="#3c4552",
            va="bottom",
        )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    content = picture.getvalue() if lines else _page(title, notes, picture.getvalue(), *table).encode()
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        os.replace(scratch, out)
    finally:
        scratch.unlink(missing_ok=True)
    return out


def _page(title, notes, picture: bytes, header, body) -> str:
    import jinja2

    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE)
    data = base64.b64encode(picture).decode()
    return page.render(title=title, notes=notes, picture=data, header=header, body=body)


def _wrapped(notes: Sequence[str], width: float) -> list[str]:
    import textwrap

    return [line for note in notes for line in textwrap.wrap(note, int(width / _WIDTH_OF_LETTER_IN))]
