"""Markdown for people: the one writer of tables, and how a figure stands in a cell."""

from collections.abc import Iterable, Sequence

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
        cells = map(_cell_text, row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure_cell(value: float | None, form: str = ".3f") -> str:
    """`value` in the format `form`, a dash where there is none.

    >>> figure_cell(0.5), figure_cell(0.25, "+.2f"), figure_cell(None)
    ('0.500', '+0.25', '–')
    """
    return DASH if value is None else format(value, form)


def _cell_text(cell) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
