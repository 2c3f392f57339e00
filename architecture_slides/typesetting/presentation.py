"""A deck as an editable presentation (PPTX)."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from itertools import pairwise
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Pt

from architecture_slides.typesetting.deck import (
    DARK,
    HEIGHT,
    INK,
    LEFT,
    LINE,
    PALE,
    PAPER,
    RIGHT,
    WIDTH,
    Arrow,
    Box,
    Deck,
    Drawing,
    Item,
    Line,
    Slide,
    Table,
    check,
    lines,
)


def presentation(deck: Deck) -> bytes:
    """The deck, the same bytes each time.

    Raises:
        DeckError: as `check`.
    """
    check(deck)
    made = Presentation()
    made.slide_width, made.slide_height = Pt(WIDTH), Pt(HEIGHT)
    about = made.core_properties
    about.title, about.language, about.author = deck.title, deck.language, ""
    about.created = about.modified = datetime(2026, 1, 1)
    layout = made.slide_layouts[5]
    for number, slide in enumerate(deck.slides, 1):
        page = made.slides.add_slide(layout)
        title = page.shapes.title
        title.left, title.top, title.width, title.height = Pt(LEFT), Pt(22), Pt(RIGHT - LEFT), Pt(62)
        _words(title.text_frame, Box(0, 0, 0, 0, head=slide.title, size=24, ink=DARK))
        for item in (*slide.items, Box(LEFT, 508, RIGHT - LEFT, 22, text=_footer(slide, number), size=10)):
            _add(page.shapes, item)
    packed = io.BytesIO()
    made.save(packed)
    return _undated(packed.getvalue())


def _footer(slide: Slide, number: int) -> str:
    return f"{number}   {slide.source}".rstrip()


def _words(frame: Any, box: Box, room: float = 3) -> None:
    frame.word_wrap = True
    frame.vertical_anchor = MSO_ANCHOR.MIDDLE if box.align == "center" else MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = Pt(5)
    frame.margin_top = frame.margin_bottom = Pt(room)
    paragraphs = [(box.head, True)] * bool(box.head) + [
        (line, False) for line in box.text.split("\n") if line
    ]
    for place, (line, bold) in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.CENTER if box.align == "center" else PP_ALIGN.LEFT
        if box.align == "left":
            paragraph.space_after = Pt(box.size / 4)
        run = paragraph.add_run()
        run.text, run.font.size, run.font.bold, run.font.name = line, Pt(box.size), bold, "Lato"
        run.font.color.rgb = _colour(box.ink)


def _add(shapes: Any, item: Item | Arrow | Line) -> None:
    if isinstance(item, Box):
        shape = shapes.add_shape(MSO_SHAPE.RECTANGLE, Pt(item.x), Pt(item.y), Pt(item.w), Pt(item.h))
        _plain(shape)
        shape.line.fill.background()
        shape.fill.solid()
        shape.fill.fore_color.rgb = _colour(item.fill)
        _words(shape.text_frame, item)
    elif isinstance(item, Arrow):
        for place, ((x1, y1), (x2, y2)) in enumerate(pairwise(item.points)):
            line = shapes.add_connector(MSO_CONNECTOR.STRAIGHT, Pt(x1), Pt(y1), Pt(x2), Pt(y2))
            _plain(line)
            line.line.color.rgb = _colour(LINE)
            line.line.width = Pt(1.2)
            if place == len(item.points) - 2:
                stroke = line.line._get_or_add_ln()
                stroke.append(stroke.makeelement(qn("a:tailEnd"), {"type": "triangle"}))
    elif isinstance(item, Line):
        (x, y), *others = item.points
        # A thousandth of a point is exact enough, and whole numbers are asked for.
        drawn = shapes.build_freeform(int(x * 1_000), int(y * 1_000), scale=Pt(1) / 1_000)
        drawn.add_line_segments([(int(x * 1_000), int(y * 1_000)) for x, y in others], close=False)
        shape = drawn.convert_to_shape()
        _plain(shape)
        shape.fill.background()
        shape.line.color.rgb = _colour(item.colour)
        shape.line.width = Pt(item.width)
    elif isinstance(item, Drawing):
        group = shapes.add_group_shape()
        for part in item.items:
            _add(group.shapes, part)
        group._element.nvGrpSpPr.cNvPr.set("descr", item.alt)
    else:
        _add_table(shapes, item)


def _add_table(shapes: Any, item: Table) -> None:
    natural = [
        item.size
        * 1.2
        * max(lines(words, item.size, width) for words, width in zip(row, item.widths, strict=True))
        + 4
        for row in item.rows
    ]
    # What is left of the height goes between the rows, as in the PDF.
    spare = max(0, min(14, (item.h - sum(natural)) / len(natural)))
    frame = shapes.add_table(
        len(natural), len(item.widths), Pt(item.x), Pt(item.y), Pt(sum(item.widths)), Pt(item.h)
    )
    for place, height in enumerate(natural):
        frame.table.rows[place].height = Pt(height + spare)
    for place, width in enumerate(item.widths):
        frame.table.columns[place].width = Pt(width)
    for row, cells in enumerate(item.rows):
        for column, words in enumerate(cells):
            cell = frame.table.cell(row, column)
            cell.fill.solid()
            fill = DARK if row == 0 else PALE if row % 2 == 0 else PAPER
            cell.fill.fore_color.rgb = _colour(fill)
            ink = PAPER if row == 0 else INK
            head, text = (words, "") if row == 0 or column == 0 else ("", words)
            _words(cell.text_frame, Box(0, 0, 0, 0, head, text, item.size, fill, ink), room=1)
            cell.vertical_anchor = MSO_ANCHOR.MIDDLE
            cell.text_frame.paragraphs[0].space_after = Pt(0)


def _colour(written: str) -> RGBColor:
    return RGBColor(*bytes.fromhex(written[1:]))


def _plain(shape: Any) -> None:
    """Remove the theme's shadow and colours."""
    style = shape._element.find(qn("p:style"))
    shape._element.remove(style)


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
