"""Slides of boxes, arrows, lines and tables at fixed places, on pages of 960 by 540 points.

pdf.py and presentation.py write them. Small letters, weak contrast and text that does not fit end that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from PIL import ImageFont

from architecture_slides.typesetting.content import Language, Note, Page, Words

WIDTH, HEIGHT = 960, 540
LEFT, TOP, RIGHT, BOTTOM = 36, 92, 924, 500
"""The area of a page below its title."""

INK, PAPER, DARK, PALE, LINE = "#1b2733", "#ffffff", "#12466b", "#e6eef5", "#5b6b7a"
GREEN, AMBER = "#dff0e3", "#fdeccb"
QUIET = "#eeeeee"
SMALLEST, CONTRAST = 10, 4.5
FONTS = Path(str(files("font_lato"))) / "files"
INSET = 11
"""What a box and a cell keep free of text, left and right together, and a point of doubt."""


class DeckError(Exception):
    """A deck that can't be built; the message says where."""


def _luminance(colour: str) -> float:
    """WCAG's relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]  # noqa: PLR2004
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@dataclass(frozen=True)
class Box:
    """A rectangle with a bold line and text, either of which may be empty. All lengths are points."""

    x: float
    y: float
    w: float
    h: float
    head: str = ""
    text: str = ""
    size: float = 12
    fill: str = PAPER
    ink: str = INK
    align: Literal["left", "center"] = "left"
    kind: str = "box"


@dataclass(frozen=True)
class Arrow:
    """A line through points, with a head at its end."""

    points: tuple[tuple[float, float], ...]
    kind: str = "arrow"


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float
    kind: str = "line"


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of them the heads; `widths` add up to the table's width."""

    x: float
    y: float
    h: float
    widths: tuple[float, ...]
    rows: tuple[tuple[str, ...], ...]
    size: float = 11
    ink: str = INK
    fill: str = PAPER
    kind: str = "table"


@dataclass(frozen=True)
class Drawing:
    """What is one diagram, and what it shows in words."""

    alt: str
    items: tuple[Box | Arrow | Line, ...]
    kind: str = "drawing"


Item = Box | Table | Drawing


@dataclass(frozen=True)
class Slide:
    """A page: a title that states a conclusion, what stands below it, and where its figures come from."""

    title: str
    items: tuple[Item, ...]
    source: str = ""

    @property
    def parts(self) -> Iterator[Box | Arrow | Line | Table]:
        """What stands on it, alone or in a drawing."""
        for item in self.items:
            yield from item.items if isinstance(item, Drawing) else (item,)


@dataclass(frozen=True)
class Deck:
    """A deck in one language."""

    title: str
    language: Language
    slides: tuple[Slide, ...]


def table(
    rows: Iterable[Sequence[str]], shares: Sequence[float], *, y: float = TOP, size: float = 11
) -> Table:
    """A table over the whole width, its columns in these shares."""
    widths = tuple((RIGHT - LEFT) * share / sum(shares) for share in shares)
    return Table(LEFT, y, BOTTOM - y, widths, tuple(tuple(row) for row in rows), size)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / "Lato-Bold.ttf", size)


def lines(text: str, size: float, width: float) -> int:
    """How many lines a text takes, at most: as if all of it were bold.

    The PDF measures by itself; boxes and a presentation's tables are as high as this says.
    """
    count = 0
    for line in filter(None, text.split("\n")):
        told = ""
        count += 1
        for word in line.split():
            longer = f"{told} {word}".strip()
            if told and _font(size).getlength(longer) > width - INSET:
                count, longer = count + 1, word
            told = longer
    return count


def chain(
    steps: Sequence[tuple[str, str]], *, y: float, h: float, size: float, gap: float = 22
) -> tuple[Box | Arrow, ...]:
    """Steps from left to right, each a bold line and text, with an arrow to the next."""
    width = (RIGHT - LEFT - gap * (len(steps) - 1)) / len(steps)
    items: list[Box | Arrow] = []
    for place, (head, text) in enumerate(steps):
        x = LEFT + place * (width + gap)
        items.append(Box(x, y, width, h, head, text, size, DARK, PAPER, align="center"))
        if place:
            items.append(Arrow(((x - gap, y + h / 2), (x, y + h / 2))))
    return tuple(items)


def notes(of: Iterable[Note], words: Words, *, y: float, h: float, size: float = 13) -> tuple[Box, ...]:
    """Notes side by side, as high as the longest of them, and `h` at most."""
    told = [(words.of(note.head), "\n".join(f"• {words.of(point)}" for point in note.points)) for note in of]
    gap = 14
    width = (RIGHT - LEFT - gap * (len(told) - 1)) / len(told)
    longest = max(
        lines(head, size, width) * 1.2 + lines(text, size, width) * 1.2 + 0.75 * text.count("•")
        for head, text in told
    )
    high = min(h, longest * size + 16)
    return tuple(
        Box(LEFT + place * (width + gap), y, width, high, head, text, size, PALE)
        for place, (head, text) in enumerate(told)
    )


def slides(
    page: Page,
    parts: Sequence[Sequence[Item]],
    words: Words,
    *,
    source: str,
    place: tuple[float, float, float],
) -> list[Slide]:
    """A page as one slide for each of its parts.

    Args:
        page: title and notes.
        parts: what is shown; notes stand on each of them.
        words: the language.
        source: where the figures come from.
        place: of the notes: top, height, size of letters.
    """
    y, high, size = place
    beside = notes(page.notes, words, y=y, h=high, size=size) if page.notes else ()
    title = words.of(page.title)
    return [
        Slide(title + (f" ({number}/{len(parts)})" if len(parts) > 1 else ""), (*items, *beside), source)
        for number, items in enumerate(parts, 1)
    ]


def check(deck: Deck) -> None:
    """Refuse what can't be read.

    Raises:
        DeckError: letters are too small, or contrast too weak; the slide is named.
    """
    for number, slide in enumerate(deck.slides, 1):
        where = f"slide {number} ({slide.title!r})"
        for part in slide.parts:
            if isinstance(part, Arrow | Line) or (isinstance(part, Box) and not part.head + part.text):
                continue
            if part.size < SMALLEST:
                raise DeckError(f"{where}: {part.size:g} pt is smaller than {SMALLEST} pt")
            if (found := contrast(part.fill, part.ink)) < CONTRAST:
                raise DeckError(f"{where}: {part.ink} on {part.fill} has a contrast of {found:.1f} only")
