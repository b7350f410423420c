"""Pictures: how they look, what each must say, and how they are written: a PNG, or a page on its own."""

import base64
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.wording import DISCLAIMER
from medical_rl.run.files import write_bytes

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#332288", "#666666")
FORMATS = (".png", ".html")
TEMPLATE = Path(__file__).with_name("page.html.jinja")
_LINE_IN, _WIDTH_OF_LETTER_IN = 0.16, 0.066  # of the small print


def canvas(width: float, height: float, columns: int = 1, rows: int = 1, **shared):
    """(figure of `width` x `height` inches, its axes): drawn in memory, no screen needed."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, **shared)
    for axis in np.ravel(axes):
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure, out: Path | str, title: str, notes: Sequence[str], table=((), ())) -> Path:
    """Write `figure` to `out`: a PNG with title and notes, or an HTML page with `table` (header, rows).

    That nothing is for clinical use stands in every one, as the last note.
    Raises UserError for another format.
    """
    out, notes = Path(out), list(notes) + [DISCLAIMER]
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"A picture is written as {' or '.join(FORMATS)}, not as {out.name!r}.")
    as_png = out.suffix.lower() == ".png"
    if as_png:  # the notes as small print below the axes, with room for however many lines it takes
        letters = int(figure.get_figwidth() / _WIDTH_OF_LETTER_IN)
        lines = "\n".join(textwrap.fill(note, letters) for note in notes)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        room = (lines.count("\n") + 2) * _LINE_IN
        figure.set_figheight(figure.get_figheight() + room)
        share = room / figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
        bottom = _LINE_IN / 2 / figure.get_figheight()
        figure.text(0.01, bottom, lines, fontsize=7.5, color="#3c4552", va="bottom")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    content = picture.getvalue()
    if not as_png:
        import jinja2

        page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
            TEMPLATE.read_text(encoding="utf-8")
        )
        data = base64.b64encode(content).decode()
        content = page.render(title=title, notes=notes, picture=data, header=table[0], body=table[1]).encode()
    write_bytes(out, content)
    return out
