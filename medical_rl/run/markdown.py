"""Markdown for people: the one writer of tables, and how a figure stands in a cell."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DASH = "–"  # where there is no figure


def markdown_table(header: Sequence, rows: Iterable[Sequence]) -> str:
    r"""A Markdown table; bars and line breaks in a cell (class names come from data) are made harmless.

    >>> print(markdown_table(["class", "n"], [["a|b", 3]]))
    | class | n |
    | --- | --- |
    | a\|b | 3 |
    """
    lines = []
    for row in (header, ["---"] * len(header), *rows):
        cells = (" ".join(str(cell).replace("|", "\\|").split()) for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill_template(path: Path, values: Mapping) -> str:
    """The text of the jinja template `path` filled with `values`; one that is missing raises jinja's error."""
    import jinja2

    settings = {"trim_blocks": True, "keep_trailing_newline": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Template(path.read_text(encoding="utf-8"), **settings).render(values)


def figure_cell(value: float | None, form: str = ".3f") -> str:
    """`value` in the format `form`, a dash where there is none.

    >>> figure_cell(0.5), figure_cell(0.25, "+.2f"), figure_cell(None)
    ('0.500', '+0.25', '–')
    """
    return DASH if value is None else format(value, form)
