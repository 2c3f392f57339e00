"""Markdown: tables, and names of fields and categories in them."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> Iterator[str]:
    """Yield the lines of a table.

    Args:
        head: names of the columns.
        rows: cells.
        texts: how many columns hold text; those after them hold figures.
    """
    yield _line(head)
    yield f"|{'---|' * texts}{'---:|' * (len(head) - texts)}"
    for row in rows:
        yield _line(row)


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def code(name: str) -> str:
    """Return a name in the type of code, in which Markdown has no meaning."""
    return f"`` {name} ``" if "`" in name else f"`{name}`"


def text(stated: object) -> str:
    """Return what somebody stated as one line of text."""
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        return f"{stated:,}" if isinstance(stated, int) else f"{stated:,.12g}"
    return html.escape(" ".join(str(stated).split()), quote=False)
