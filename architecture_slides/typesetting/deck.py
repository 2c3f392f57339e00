"""Slides of boxes, arrows, lines and tables at fixed places, on pages of 960 by 540 points.

pdf.py and presentation.py write them. Small letters, weak contrast and text that does not fit end that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeVar

from PIL import ImageFont

from architecture_slides.typesetting.content import ContentError, Language, Note, Page, Words, begun

WIDTH, HEIGHT = 960, 540
LEFT, TOP, RIGHT, BOTTOM = 36, 92, 924, 500
"""The area of a page below its title."""

WIDE = RIGHT - LEFT
"""Its width, in points."""

INK, PAPER, DARK, PALE, LINE = "#1b2733", "#ffffff", "#12466b", "#e6eef5", "#5b6b7a"
GREEN, AMBER = "#dff0e3", "#fdeccb"
RETURN, GREY = "#b3470f", "#d5d9dd"
"""Colours of what goes back to whoever produced it, and of what stands around the matter."""

SMALLEST, CONTRAST = 10, 4.5
COVER = "cover"
"""The page that is one, by its id."""

MAIN_SMALLEST, MAIN_WORDS = 14, 60
"""Of a main page, which is shown and not read: the smallest letters, the most words beside the picture."""

WIDOW = 3
"""Words that the last line of a title has at least."""

FONTS = Path(str(files("font_lato"))) / "files"
INSET = 11
"""What a label and a cell keep free of text, left and right together, and a point of doubt."""

CARD, LABEL = (12, 10), (5, 3)
"""What a box keeps free of text: at each side, above and below, in points."""

OUTLINE = 1.25
"""Width of the line around a box, in points."""

LEADING = 1.2
"""From line to line, in sizes of the letters."""

CAPITALS, BETWEEN, APART = 0.723, 0.45, 0.75
"""Height of capital letters, and what the PDF has between lines and between paragraphs, in their sizes."""

TOLERANCE = 0.1
"""What may be missing for something that fits, in points."""

CELL = (3.2, 10)
"""What a cell keeps free of text above and below, at least and at most, in points."""

HANGING = 0.77
"""How far the text of a point stands right of its bullet, in sizes of the letters."""

NUMBERS = 1.8
"""Width of a slide's number, which stands before its source, in sizes of their letters."""

FOOT = {True: 14, False: 10}
"""Size of the letters below, of main pages and of others."""


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
    """A rectangle with a bold line and text, either of which may be empty. All lengths are points.

    Without `fill` what lies beneath shows through; PAPER hides it. `outline` colours a line around it.
    `mono` is for code: its letters are all as wide.
    """

    x: float
    y: float
    w: float
    h: float
    head: str = ""
    text: str = ""
    size: float = 12
    fill: str | None = PAPER
    ink: str = INK
    align: Literal["left", "center", "right"] = "left"
    outline: str | None = None
    dashed: bool = False
    mono: bool = False
    kind: str = "box"
    room: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        """Text on a ground or in a frame needs room around it, unless it is a line's label."""
        card = self.align == "left" and self.seen and self.h > 2 * CARD[1] + LEADING * self.size
        object.__setattr__(self, "room", CARD if card else LABEL)

    @property
    def seen(self) -> bool:
        """Whether its rectangle can be told from the page."""
        return self.fill not in (None, PAPER) or self.outline is not None


@dataclass(frozen=True)
class Arrow:
    """A line through points, with a head at its end."""

    points: tuple[tuple[float, float], ...]
    colour: str = LINE
    width: float = 1.2
    kind: str = "arrow"


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float
    kind: str = "line"


Shape = Box | Arrow | Line
"""What drawings are made of."""


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of them the heads; `widths` add up to the width, `h` is the most height."""

    x: float
    y: float
    h: float
    widths: tuple[float, ...]
    rows: tuple[tuple[str, ...], ...]
    size: float = 11
    ink: str = INK
    fill: str = PAPER
    kind: str = "table"

    @property
    def heights(self) -> tuple[float, ...]:
        """How high each row is; what is left of the table's height stands between the rows."""
        longest = (
            max(
                lines(words, self.size, width, bold=row == 0 or column == 0)
                for column, (words, width) in enumerate(zip(cells, self.widths, strict=True))
            )
            for row, cells in enumerate(self.rows)
        )
        texts = [height_of([rows], self.size) for rows in longest]
        least, most = CELL
        room = max(least, min(most, (self.h - sum(texts)) / len(texts) / 2))
        return tuple(text + 2 * room for text in texts)


@dataclass(frozen=True)
class Drawing:
    """What is one diagram, and what it shows in words."""

    alt: str
    items: tuple[Shape, ...]
    kind: str = "drawing"


@dataclass(frozen=True)
class Axis:
    """An axis: its words, and where numbers are written on it, from end to end."""

    label: str
    ticks: Mapping[float, str]
    log: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the most that it holds."""
        return min(self.ticks), max(self.ticks)

    def share(self, value: float) -> float:
        """How far along the axis a value is, 0 to 1.

        Raises:
            DeckError: it is beyond the ends.
        """
        low, high = self.ends
        if not low <= value <= high:
            raise DeckError(f"{self.label}: {value:g} is beyond the axis, {low:g} to {high:g}")
        if self.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Numbers by series, and how they are drawn where there are no charts. All lengths are points.

    Attributes:
        frame: left, top, width and height of all of it.
        area: the same of what the axes enclose.
        key: the same of what says which colour is which; without height where nothing does.
        across: the axis below.
        colours: of the series, in order.
        letters: size of all words.
        drawing: the chart as lines and boxes.
    """

    frame: tuple[float, float, float, float]
    area: tuple[float, float, float, float]
    key: tuple[float, float, float, float]
    across: Axis
    colours: tuple[str, ...]
    letters: float
    drawing: Drawing
    kind: str = "chart"


@dataclass(frozen=True)
class Guide:
    """A line of a chart that is no series; those of one label are explained once, those without one never."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.5


@dataclass(frozen=True, kw_only=True)
class LineChart(Chart):
    """Lines through points, with `up` the axis at the left; each point of a series may have a mark."""

    up: Axis
    series: Mapping[str, tuple[tuple[float, float], ...]]
    marked: bool
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BarChart(Chart):
    """Horizontal bars from top to bottom, each of the parts that the series have for it.

    Attributes:
        names: of the bars.
        series: the length of each bar's part.
        ends: what is written after each bar.
        begins: where the axis has the beginning of these.
        marker: where a line crosses all of them, and its words.
        highlighted: colours of bars that differ from their series, by name.
    """

    names: tuple[str, ...]
    series: Mapping[str, tuple[float, ...]]
    ends: tuple[str, ...]
    begins: tuple[float, ...]
    marker: tuple[float, str] | None
    highlighted: Mapping[str, str]


Item = Box | Table | Drawing | LineChart | BarChart

Of = TypeVar("Of")
"""What the pages of a deck are made of."""


@dataclass(frozen=True)
class Slide:
    """A page: a title that states a conclusion, what stands below it, and where its figures come from."""

    title: str
    items: tuple[Item, ...]
    source: str = ""
    corner: str = ""
    main: bool = False
    cover: bool = False
    said: str = ""

    @property
    def words(self) -> int:
        """How many there are, those of the picture left out."""
        boxes = [item for item in self.items if isinstance(item, Box)]
        return count_words(self.title) + sum(count_words(f"{box.head} {box.text}") for box in boxes)

    @property
    def parts(self) -> Iterator[Shape | Table]:
        """What stands on it, alone or in a drawing."""
        for item in self.items:
            if isinstance(item, Chart):
                yield from item.drawing.items
            else:
                yield from item.items if isinstance(item, Drawing) else (item,)


@dataclass(frozen=True)
class Deck:
    """A deck in one language."""

    title: str
    language: Language
    slides: tuple[Slide, ...]


def count_words(text: str) -> int:
    """How many words a text has; a sign that stands alone is none."""
    return sum(any(sign.isalnum() for sign in word) for word in text.split())


def table(
    rows: Iterable[Sequence[str]], shares: Sequence[float], *, y: float = TOP, size: float = 11
) -> Table:
    """A table over the whole width, its columns in these shares."""
    widths = tuple(WIDE * share / sum(shares) for share in shares)
    return Table(LEFT, y, BOTTOM - y, widths, tuple(tuple(map(begun, row)) for row in rows), size)


@cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"Lato-{'Bold' if bold else 'Regular'}.ttf", size)


def width_of(text: str, size: float, *, bold: bool = True) -> float:
    """How wide a text is, in points; in bold letters that is the most."""
    return _font(size, bold).getlength(text)


def lines(text: str, size: float, width: float, inset: float = INSET, *, bold: bool = True) -> int:
    """How many lines a text takes; in bold letters that is the most.

    `inset` is what its box or cell keeps free, left and right together.

    The PDF measures by itself; boxes and a presentation's tables are as high as this says.
    """
    return sum(
        len(_rows(line, size, width - inset, HANGING * size * line.startswith("•"), bold=bold))
        for line in filter(None, text.split("\n"))
    )


def _rows(text: str, size: float, width: float, indent: float = 0, *, bold: bool = True) -> list[str]:
    """A paragraph, broken where it does not fit; all rows but the first are indented."""
    rows = [""]
    for word in text.split(" "):
        longer = f"{rows[-1]} {word}".strip(" ")
        if rows[-1] and width_of(longer, size, bold=bold) > width - indent * (len(rows) > 1):
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def height_of(rows: Sequence[int], size: float) -> float:
    """How high paragraphs of so many lines each are, from the first capital letters to the last line."""
    told = sum(each * (CAPITALS + BETWEEN) - BETWEEN for each in rows)
    return (told + APART * (len(rows) - 1)) * size


def text_width(text: str, size: float) -> float:
    """How wide a box has to be for a line of text."""
    return width_of(text, size) + INSET


def columns(count: int, gap: float) -> tuple[float, float]:
    """How wide each of so many columns over the whole page is, and the gap between them."""
    return (WIDE - gap * (count - 1)) / count, gap


def chip(
    x: float,
    y: float,
    w: float,
    h: float,
    text: str,
    *,
    fill: str | None,
    ink: str = INK,
    size: float = MAIN_SMALLEST,
    head: str = "",
    outline: str | None = None,
    dashed: bool = False,
) -> Box:
    """A box on a ground of its own, with its words in the middle."""
    return Box(x, y, w, h, head, text, size, fill, ink, align="center", outline=outline, dashed=dashed)


def chain(
    steps: Sequence[tuple[str, str]], *, y: float, h: float, size: float, gap: float = 22
) -> tuple[Box | Arrow, ...]:
    """Steps from left to right, each a bold line and text, with an arrow to the next."""
    width, _ = columns(len(steps), gap)
    items: list[Box | Arrow] = []
    for place, (head, text) in enumerate(steps):
        x = LEFT + place * (width + gap)
        items.append(chip(x, y, width, h, text, head=head, size=size, fill=DARK, ink=PAPER))
        if place:
            items.append(Arrow(((x - gap, y + h / 2), (x, y + h / 2))))
    return tuple(items)


def notes(of: Iterable[Note], words: Words, *, y: float, h: float, size: float = 13) -> tuple[Box, ...]:
    """Notes side by side, as high as the longest of them, and `h` at most."""
    told = [(words.of(note.head), "\n".join(f"• {words.of(point)}" for point in note.points)) for note in of]
    width, gap = columns(len(told), 14)
    high = min(h, max(_height(head, text, size, width) for head, text in told))
    return tuple(
        Box(LEFT + place * (width + gap), y, width, high, head, text, size, PALE)
        for place, (head, text) in enumerate(told)
    )


def _height(head: str, text: str, size: float, width: float) -> float:
    """How high a card is with a bold line and paragraphs, and room around them."""
    inset = 2 * CARD[0] + 1
    rows = [lines(head, size, width, inset)]
    rows += [lines(line, size, width, inset, bold=False) for line in text.split("\n")]
    return height_of(rows, size) + 2 * CARD[1]


def exhibit(
    page: Page,
    shown: Mapping[str, Callable[[Of], list[Sequence[Item]]]],
    of: Of,
    alone: Container[str],
) -> list[Sequence[Item]]:
    """What a page shows beside its notes, on each of its slides.

    Args:
        page: which.
        shown: what pages show, by their ids.
        of: what it is made of.
        alone: ids of pages that may have nothing but notes.

    Raises:
        ContentError: it is none of these.
    """
    if page.id in shown:
        return shown[page.id](of)
    if page.id in alone:
        return [()]
    raise ContentError(f"pages: {page.id}: nothing is known to be shown there")


def slides(
    page: Page,
    parts: Sequence[Sequence[Item]],
    words: Words,
    *,
    source: str,
    place: tuple[float, float, float] | None,
    corner: str = "",
) -> list[Slide]:
    """A page as one slide for each of its parts.

    Args:
        page: title and notes, and what is said.
        parts: what is shown; notes stand on each of them.
        words: the language.
        source: where the figures come from.
        place: of the notes: top, height, size of letters; none if the parts show them.
        corner: which question it answers.
    """
    beside: tuple[Box, ...] = ()
    if place and page.notes:
        y, high, size = place
        beside = notes(page.notes, words, y=y, h=high, size=size)
    title = begun(words.of(page.title))
    return [
        Slide(
            title + (f" ({number}/{len(parts)})" if len(parts) > 1 else ""),
            (*items, *beside),
            source,
            corner,
            main=not page.annex,
            cover=page.id == COVER,
            said=words.of(page.said) if page.said else "",
        )
        for number, items in enumerate(parts, 1)
    ]


def check(deck: Deck) -> None:
    """Refuse what can't be read.

    Raises:
        DeckError: letters are too small, contrast is too weak, a main page has too much; the slide is named.
    """
    for number, slide in enumerate(deck.slides, 1):
        where = f"slide {number} ({slide.title!r})"
        smallest = MAIN_SMALLEST if slide.main else SMALLEST
        size, wide = (38, 820) if slide.cover else (24, WIDE)
        if (rows := _rows(slide.title, size, wide)) and len(rows) > 1 and len(rows[-1].split()) < WIDOW:
            raise DeckError(f"{where}: its last line is {rows[-1]!r} alone")
        if slide.main and any(isinstance(item, Table) for item in slide.items):
            raise DeckError(f"{where}: a table belongs in the annex")
        if slide.main and slide.words > MAIN_WORDS:
            raise DeckError(f"{where}: {slide.words} words, {MAIN_WORDS} are allowed")
        for part in slide.parts:
            if isinstance(part, Arrow | Line) or (isinstance(part, Box) and not part.head + part.text):
                continue
            if part.size < smallest:
                raise DeckError(f"{where}: {part.size:g} pt is smaller than {smallest} pt")
            ground = part.fill or PAPER
            if isinstance(part, Table) and (tall := sum(part.heights)) > part.h + TOLERANCE:
                raise DeckError(f"{where}: a table is {tall:.0f} pt high and has {part.h:.0f}")
            if (found := contrast(ground, part.ink)) < CONTRAST:
                raise DeckError(f"{where}: {part.ink} on {ground} has a contrast of {found:.1f} only")
