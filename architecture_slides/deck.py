"""Slides of boxes, arrows, tables and pictures at fixed places, written as a PDF and as an editable PPTX.

A page is 960 by 540 points. Small letters, weak contrast and text that does not fit end the build.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

Language = Literal["es", "en"]

HERE = Path(__file__).parent
ROOT = HERE.parent
WIDTH, HEIGHT = 960, 540
LEFT, TOP, RIGHT, BOTTOM = 36, 92, 924, 500
"""Of what stands on a page below its title."""

INK, PAPER, DARK, PALE, LINE = "#1b2733", "#ffffff", "#12466b", "#e6eef5", "#5b6b7a"
GREEN, AMBER = "#dff0e3", "#fdeccb"
SMALLEST, CONTRAST = 10, 4.5


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
class Picture:
    """A PNG, by its path from the root of the project, and what it shows in words."""

    x: float
    y: float
    w: float
    h: float
    path: str
    alt: str
    kind: str = "picture"


@dataclass(frozen=True)
class Drawing:
    """Boxes and arrows that are one diagram, and what it shows in words."""

    alt: str
    items: tuple[Box | Arrow, ...]
    kind: str = "drawing"


Item = Box | Table | Picture | Drawing


@dataclass(frozen=True)
class Slide:
    """A page: a title that states a conclusion, what stands below it, and where its figures come from."""

    title: str
    items: tuple[Item, ...]
    source: str = ""


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


def points(lines: Iterable[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"• {line}" for line in lines)


def check(deck: Deck) -> None:
    """Refuse what can't be read.

    Raises:
        DeckError: letters are too small, or contrast too weak; the slide is named.
    """
    for number, slide in enumerate(deck.slides, 1):
        for item in slide.items:
            for part in item.items if isinstance(item, Drawing) else (item,):
                if not isinstance(part, Box | Table):
                    continue
                where = f"slide {number} ({slide.title!r})"
                if part.size < SMALLEST:
                    raise DeckError(f"{where}: {part.size:g} pt is smaller than {SMALLEST} pt")
                if (found := contrast(part.fill, part.ink)) < CONTRAST:
                    raise DeckError(f"{where}: {part.ink} on {part.fill} has a contrast of {found:.1f} only")


def pdf(deck: Deck) -> bytes:
    """The deck as PDF/UA-1, the same bytes each time.

    Raises:
        DeckError: as `check`, or a text does not fit its place; the slide and the text are named.
    """
    import typst  # noqa: PLC0415 - both writers are wanted by those who build decks alone

    check(deck)
    try:
        return bytes(
            typst.compile(
                HERE / "deck.typ",
                root=ROOT,
                font_paths=[Path(str(files("font_lato"))) / "files"],
                ignore_system_fonts=True,
                timestamp=0,
                pdf_standards=["ua-1"],
                sys_inputs={"deck": json.dumps(asdict(deck), ensure_ascii=False)},
            )
        )
    except typst.TypstError as error:
        raise DeckError(str(error)) from error


def pptx(deck: Deck) -> bytes:
    """The deck as an editable presentation, the same bytes each time.

    Raises:
        DeckError: as `check`.
    """
    import pptx as library  # noqa: PLC0415
    from pptx.util import Pt  # noqa: PLC0415

    check(deck)
    presentation = library.Presentation()
    presentation.slide_width, presentation.slide_height = Pt(WIDTH), Pt(HEIGHT)
    about = presentation.core_properties
    about.title, about.language, about.author = deck.title, deck.language, ""
    about.created = about.modified = datetime(2026, 1, 1)
    layout = presentation.slide_layouts[5]
    for number, slide in enumerate(deck.slides, 1):
        page = presentation.slides.add_slide(layout)
        title = page.shapes.title
        title.left, title.top, title.width, title.height = Pt(LEFT), Pt(22), Pt(RIGHT - LEFT), Pt(62)
        _words(title.text_frame, Box(0, 0, 0, 0, head=slide.title, size=24, ink=DARK))
        for item in (*slide.items, Box(LEFT, 508, RIGHT - LEFT, 22, text=_footer(slide, number), size=10)):
            _add(page.shapes, item)
    packed = io.BytesIO()
    presentation.save(packed)
    return _undated(packed.getvalue())


def _footer(slide: Slide, number: int) -> str:
    return f"{number}   {slide.source}".rstrip()


def _words(frame: Any, box: Box) -> None:
    from pptx.dml.color import RGBColor  # noqa: PLC0415
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN  # noqa: PLC0415
    from pptx.util import Pt  # noqa: PLC0415

    frame.word_wrap = True
    frame.vertical_anchor = MSO_ANCHOR.MIDDLE if box.align == "center" else MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = Pt(5)
    frame.margin_top = frame.margin_bottom = Pt(3)
    lines = [(box.head, True)] * bool(box.head) + [(line, False) for line in box.text.split("\n") if line]
    for place, (line, bold) in enumerate(lines):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.CENTER if box.align == "center" else PP_ALIGN.LEFT
        run = paragraph.add_run()
        run.text, run.font.size, run.font.bold, run.font.name = line, Pt(box.size), bold, "Lato"
        run.font.color.rgb = RGBColor(*bytes.fromhex(box.ink[1:]))


def _add(shapes: Any, item: Item | Arrow) -> None:
    from pptx.dml.color import RGBColor  # noqa: PLC0415
    from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE  # noqa: PLC0415
    from pptx.oxml.ns import qn  # noqa: PLC0415
    from pptx.util import Pt  # noqa: PLC0415

    if isinstance(item, Box):
        shape = shapes.add_shape(MSO_SHAPE.RECTANGLE, Pt(item.x), Pt(item.y), Pt(item.w), Pt(item.h))
        shape.shadow.inherit = False
        shape.line.fill.background()
        shape.fill.solid()
        shape.fill.fore_color.rgb = RGBColor(*bytes.fromhex(item.fill[1:]))
        _words(shape.text_frame, item)
    elif isinstance(item, Arrow):
        for place, ((x1, y1), (x2, y2)) in enumerate(zip(item.points, item.points[1:], strict=False)):
            line = shapes.add_connector(MSO_CONNECTOR.STRAIGHT, Pt(x1), Pt(y1), Pt(x2), Pt(y2))
            line.line.color.rgb = RGBColor(*bytes.fromhex(LINE[1:]))
            line.line.width = Pt(1.2)
            if place == len(item.points) - 2:
                end = line.line._get_or_add_ln().makeelement(qn("a:tailEnd"), {"type": "triangle"})
                line.line._get_or_add_ln().append(end)
    elif isinstance(item, Picture):
        picture = shapes.add_picture(str(ROOT / item.path), Pt(item.x), Pt(item.y), Pt(item.w), Pt(item.h))
        picture._element.nvPicPr.cNvPr.set("descr", item.alt)
    elif isinstance(item, Drawing):
        group = shapes.add_group_shape()
        for part in item.items:
            _add(group.shapes, part)
        group._element.nvGrpSpPr.cNvPr.set("descr", item.alt)
    else:
        rows, columns = len(item.rows), len(item.widths)
        frame = shapes.add_table(rows, columns, Pt(item.x), Pt(item.y), Pt(sum(item.widths)), Pt(16 * rows))
        for place, width in enumerate(item.widths):
            frame.table.columns[place].width = Pt(width)
        for row, cells in enumerate(item.rows):
            for column, words in enumerate(cells):
                cell = frame.table.cell(row, column)
                cell.fill.solid()
                fill = DARK if row == 0 else PALE if row % 2 == 0 else PAPER
                cell.fill.fore_color.rgb = RGBColor(*bytes.fromhex(fill[1:]))
                ink = PAPER if row == 0 else INK
                head, text = (words, "") if row == 0 or column == 0 else ("", words)
                _words(cell.text_frame, Box(0, 0, 0, 0, head, text, item.size, fill, ink))


def _undated(packed: bytes) -> bytes:
    """The same archive with no time of day in it."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(packed)) as read,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in read.namelist():
            out.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), read.read(name), zipfile.ZIP_DEFLATED)
    return written.getvalue()
