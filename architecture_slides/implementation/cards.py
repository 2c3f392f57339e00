"""Words on grounds of colour, and what the colours of the implementation's deck stand for."""

from __future__ import annotations

from collections.abc import Iterable

from architecture_slides.typesetting.deck import (
    CAPITALS,
    CARD,
    DARK,
    LABEL,
    PALE,
    RETURN,
    Box,
    Shape,
    height_of,
    lines,
    text_width,
)

LETTERS = 14
OURS, AGAINST, UNDECIDED = DARK, RETURN, "#8494a3"
"""Colours of what speaks for this bundle, what speaks against it, and what can't be told apart."""

CLOSE = 490
"""Where the cards of a main page end, in points from the top."""

WARNING = "#fbeade"
"""Ground of what speaks against us."""

HEAD, BELOW = 20, 10
"""Size of a large head's letters, and what is free below them, in points."""

BAR = 6
"""Width of the bar of what speaks against us, in points."""


def height(texts: Iterable[str], size: float, wide: float, head: float = HEAD) -> float:
    """How high cards with heads of a line are with the longest of these texts, and room around it."""
    inset = 2 * CARD[0] + 1
    longest = max(
        height_of(
            [lines(line, size, wide, inset, bold=line.startswith("•")) for line in text.split("\n")], size
        )
        for text in texts
    )
    return 2 * CARD[0] + head * CAPITALS + BELOW + longest


def large(
    place: tuple[float, float, float, float],
    head: str,
    text: str,
    size: float,
    *,
    fill: str = PALE,
    ink: str = DARK,
) -> list[Box]:
    """A large head, and text below it, on one ground."""
    x, y, wide, high = place
    (beside, above), (inner, _) = CARD, LABEL
    below = above + HEAD * CAPITALS + BELOW
    return [
        Box(x, y, wide, high, head, "", HEAD, fill, ink),
        # What a label keeps free above its text is five points.
        Box(
            x + beside - inner,
            y + below - 5,
            wide - 2 * (beside - inner),
            high - below + 3,
            "",
            text,
            size,
            None,
        ),
    ]


def warning(
    place: tuple[float, float, float, float], head: str, text: str, size: float = LETTERS
) -> list[Box]:
    """What speaks against us, so that it is seen."""
    x, y, wide, high = place
    told = large((x + BAR - 2, y, wide - BAR + 2, high), head, text, size, fill=WARNING, ink=AGAINST)
    return [*told, Box(x, y, BAR, high, fill=AGAINST)]


def keys(colours: dict[str, str], middle: float, y: float) -> list[Shape]:
    """What colours stand for, side by side around the middle."""
    items: list[Shape] = []
    x = middle - sum(35 + text_width(label, LETTERS) for label in colours) / 2
    for label, colour in colours.items():
        wide = text_width(label, LETTERS)
        items += [
            Box(x, y + 5, 12, 12, fill=colour),
            Box(x + 15, y, wide, 22, text=label, size=LETTERS),
        ]
        x += 15 + wide + 20
    return items
