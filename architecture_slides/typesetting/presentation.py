"""A deck as an editable presentation (PPTX)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pptx.enum.dml import MSO_LINE
from pptx.enum.shapes import MSO_SHAPE, PP_PLACEHOLDER
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE as RT
from pptx.opc.package import XmlPart
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from architecture_slides.typesetting.connector import connector, fasten, rounded
from architecture_slides.typesetting.deck import (
    BETWEEN,
    CAPITALS,
    CARD,
    DARK,
    HANGING,
    INK,
    LABEL,
    OUTLINE,
    PALE,
    PAPER,
    Arrow,
    BarChart,
    Box,
    Deck,
    Drawing,
    Item,
    Line,
    LineChart,
    Slide,
    Table,
    check,
    lines,
)
from architecture_slides.typesetting.master import (
    ANNEX,
    ASCENT,
    CORNER,
    COVER,
    FOOTER,
    MAIN,
    NOTES,
    NUMBER,
    field,
    template,
    theme,
)
from architecture_slides.typesetting.native import native
from architecture_slides.typesetting.paint import paint

ALIGNED = {"left": PP_ALIGN.LEFT, "center": PP_ALIGN.CENTER, "right": PP_ALIGN.RIGHT}
SPOKEN = {"es": "es-CL", "en": "en-GB"}
"""Which Spanish and which English a spelling checker takes."""

AUTHOR = "propensity-bento"
ABOUT = {
    "es": ("Arquitectura", "arquitectura de datos; aprendizaje de máquina; propensión; BentoML"),
    "en": ("Architecture", "data architecture; machine learning; propensity; BentoML"),
}
"""Category and key words of the file."""

DATE = datetime(2026, 1, 1)
"""Of all that has one: the same deck is the same bytes."""

FREE = {"left": (1, 0.5), "center": (0.2, 0.2), "right": (0.5, 1)}
"""How much of what the PDF keeps free of text beside it is so here, left and right."""

BULLET = "• "

PLAIN = "{2D5ABB26-0587-4C30-8999-92F81FD0307C}"
"""PowerPoint's table style without lines and colours."""


def presentation(deck: Deck) -> bytes:
    """The deck, the same bytes each time.

    Raises:
        DeckError: as `check`, or PowerPoint has no axis with a chart's numbers.
    """
    check(deck)
    made = template(deck.title, deck.language)
    for number, slide in enumerate(deck.slides, 1):
        kind = COVER if slide.cover else MAIN if slide.main else ANNEX
        _slide(made.slides.add_slide(made.slide_layouts[kind]), slide, number)
    _describe(made, deck)
    packed = io.BytesIO()
    made.save(packed)
    return _undated(packed.getvalue())


def _slide(page: Any, slide: Slide, number: int) -> None:
    """Fill a slide of its layout; placeholders without anything to hold go."""
    page.shapes.title.text = slide.title
    held = {shape.placeholder_format.idx: shape for shape in page.placeholders}
    cards = [held.pop(idx) for idx in NOTES if idx in held]
    for item in slide.items:
        # A placeholder without words is not shown.
        if isinstance(item, Box) and item.room == CARD and item.head + item.text and cards:
            shape = cards.pop(0)
            _card(shape, item)
            # Above what comes before it.
            page.shapes._spTree.append(shape._element)
        else:
            _add(page.shapes, item)
    if slide.corner:
        held.pop(CORNER).text = slide.corner
    for shape in (*cards, *(held[idx] for idx in held if idx)):
        shape._element.getparent().remove(shape._element)
    if not slide.cover:
        paragraph = _cloned(page, NUMBER).text_frame.paragraphs[0]._p
        paragraph.append(parse_xml(field(str(number))))
        _cloned(page, FOOTER).text = slide.source
    if slide.said:
        page.notes_slide.notes_text_frame.text = slide.said
        for shape in page.notes_slide.placeholders:
            if shape.placeholder_format.type == PP_PLACEHOLDER.SLIDE_NUMBER:
                shape.text_frame.paragraphs[0]._p.append(parse_xml(field(str(number))))


def _cloned(page: Any, idx: int) -> Any:
    """A placeholder of the layout that python-pptx leaves out of a new slide."""
    page.shapes.clone_placeholder(page.slide_layout.placeholders.get(idx))
    return page.placeholders[idx]


def _card(shape: Any, box: Box) -> None:
    """Put a box's text where the layout has room for it, at the box's place."""
    shape.left, shape.top, shape.width, shape.height = map(Pt, (box.x, box.y, box.w, box.h))
    _round(shape, box)
    _words(shape.text_frame, box)


def _add(shapes: Any, item: Item) -> None:
    if isinstance(item, Box):
        _add_box(shapes, item)
    elif isinstance(item, Drawing):
        _add_drawing(shapes, item)
    elif isinstance(item, LineChart):
        native(shapes, item)
    elif isinstance(item, BarChart):
        _add_bars(shapes, item)
    else:
        _add_table(shapes, item)


def _add_box(shapes: Any, box: Box) -> Any:
    shape = shapes.add_shape(MSO_SHAPE.ROUNDED_RECTANGLE, *map(Pt, (box.x, box.y, box.w, box.h)))
    # The theme's shadow, its lines and colours.
    shape._element.remove(shape._element.find(qn("p:style")))
    _round(shape, box)
    _words(shape.text_frame, box)
    shape.name = box.head or box.text.partition("\n")[0] or shape.name
    return shape


def _round(shape: Any, box: Box) -> None:
    """Give a shape the corners, the colour and the frame of a box."""
    properties = shape._element.spPr
    for stale in properties.xpath("a:prstGeom"):
        properties.remove(stale)
    properties.find(qn("a:xfrm")).addnext(
        parse_xml(
            rounded(box.w, box.h)
            if box.head + box.text
            else f'<a:prstGeom {nsdecls("a")} prst="rect"><a:avLst/></a:prstGeom>'
        )
    )
    if box.fill:
        paint(shape.fill, box.fill)
    else:
        shape.fill.background()
    if box.outline:
        shape.line.width = Pt(OUTLINE)
        paint(shape.line.fill, box.outline)
        # Four widths of line and three of gap, as the PDF.
        shape.line.dash_style = MSO_LINE.DASH if box.dashed else MSO_LINE.SOLID
    else:
        shape.line.fill.background()


def _add_drawing(shapes: Any, item: Drawing) -> None:
    """A group of shapes whose arrows follow its boxes."""
    group = shapes.add_group_shape()
    boxes: list[tuple[Box, Any]] = []
    arrows: list[tuple[Sequence[tuple[float, float]], Any]] = []
    corners: list[tuple[float, float]] = []
    filled = [part for part in item.items if isinstance(part, Box) and part.seen]
    for part in item.items:
        if isinstance(part, Box):
            shape = _add_box(group.shapes, part)
            corners += [(part.x, part.y), (part.x + part.w, part.y + part.h)]
            if part.seen:
                boxes.append((part, shape))
        else:
            line = _add_line(group.shapes, part, filled)
            corners += part.points
            if isinstance(part, Arrow):
                arrows.append((part.points, line))
    fasten(arrows, boxes)
    group._element.nvGrpSpPr.cNvPr.set("descr", item.alt)
    _frame(group, corners)


def _add_line(shapes: Any, line: Arrow | Line, boxes: Sequence[Box] = ()) -> Any:
    headed = isinstance(line, Arrow)
    made = connector(line.points, line.colour, line.width, headed=headed, boxes=boxes if headed else ())
    about, identity = made.xpath(".//p:cNvPr")[0], shapes._next_shape_id
    about.set("id", str(identity))
    about.set("name", f"Line {identity}")
    shapes._spTree.append(made)
    return made


def _frame(group: Any, corners: Sequence[tuple[float, float]]) -> None:
    """Say how far a group reaches: python-pptx takes turned connectors as they are before they are turned."""
    (left, top), (right, bottom) = (
        (bound(x for x, _ in corners), bound(y for _, y in corners)) for bound in (min, max)
    )
    told = f'x="{Pt(left)}" y="{Pt(top)}"/>', f'cx="{Pt(right - left)}" cy="{Pt(bottom - top)}"/>'
    properties = group._element.grpSpPr
    for stale in properties.xpath("a:xfrm"):
        properties.remove(stale)
    at, reach = told
    properties.insert(
        0,
        parse_xml(f"<a:xfrm {nsdecls('a')}><a:off {at}<a:ext {reach}<a:chOff {at}<a:chExt {reach}</a:xfrm>"),
    )


def _add_bars(shapes: Any, item: BarChart) -> None:
    """A chart; PowerPoint has no line across bars: it is drawn over them, in one group."""
    if not item.marker:
        native(shapes, item)
        return
    group = shapes.add_group_shape()
    group._element.nvGrpSpPr.cNvPr.set("descr", item.drawing.alt)
    native(group.shapes, item)
    *_, line, label = item.drawing.items
    for part in (line, label):
        _add_box(group.shapes, part) if isinstance(part, Box) else _add_line(group.shapes, part)
    x, y, w, h = item.frame
    _frame(group, ((x, y), (x + w, y + h)))


def _words(frame: Any, box: Box) -> None:
    """Write the text of a box, its lines that begin with a bullet as PowerPoint's own."""
    side, above = box.room
    paragraphs = [(box.head, True)] * bool(box.head) + [
        (line, False) for line in box.text.split("\n") if line
    ]
    # Letters are a bit wider than in the PDF: what is a line there is one here, too.
    frame.word_wrap = (
        box.mono
        or box.room == CARD
        or any(lines(line, box.size, box.w, 2 * side, bold=bold) > 1 for line, bold in paragraphs)
    )
    frame.vertical_anchor = MSO_ANCHOR.MIDDLE if box.align == "center" else MSO_ANCHOR.TOP
    frame.margin_left, frame.margin_right = (Pt(side * share) for share in FREE[box.align])
    # The PDF has 5 points above a label that is not centred.
    below = 0 if box.align == "center" else max(0, max(above, 5) - ASCENT * box.size)
    frame.margin_top = frame.margin_bottom = Pt(below)
    for place, (line, bold) in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = ALIGNED[box.align]
        if box.align == "left" and place < len(paragraphs) - 1:
            paragraph.space_after = Pt(box.size / 4)
        if line.startswith(BULLET):
            _point(paragraph, box.size)
        run = paragraph.add_run()
        run.text, run.font.size, run.font.bold = line.removeprefix(BULLET), Pt(box.size), bold
        paint(run.font.fill, box.ink)
        if box.mono:
            run.font.name = "Consolas"


def _point(paragraph: Any, size: float) -> None:
    hanging = Pt(HANGING * size)
    properties = paragraph._p.get_or_add_pPr()
    properties.set("marL", str(hanging))
    properties.set("indent", str(-hanging))
    properties.append(parse_xml(f'<a:buFont {nsdecls("a")} typeface="Lato"/>'))
    properties.append(parse_xml(f'<a:buChar {nsdecls("a")} char="•"/>'))


def _add_table(shapes: Any, item: Table) -> None:
    heights = [Pt(height) for height in item.heights]
    frame = shapes.add_table(
        len(heights), len(item.widths), Pt(item.x), Pt(item.y), Pt(sum(item.widths)), sum(heights)
    )
    (style,) = frame._element.xpath(".//a:tableStyleId")
    style.text = PLAIN
    for place, height in enumerate(heights):
        frame.table.rows[place].height = height
    for place, width in enumerate(item.widths):
        frame.table.columns[place].width = Pt(width)
    for row, cells in enumerate(item.rows):
        for column, words in enumerate(cells):
            cell = frame.table.cell(row, column)
            fill = DARK if row == 0 else PALE if row % 2 == 0 else PAPER
            ink = PAPER if row == 0 else INK
            head, text = (words, "") if row == 0 or column == 0 else ("", words)
            _words(cell.text_frame, Box(0, 0, 0, 0, head, text, item.size, fill, ink))
            cell.text_frame.word_wrap = True
            cell.margin_left, cell.margin_right = (Pt(LABEL[0] * share) for share in FREE["left"])
            cell.margin_top = cell.margin_bottom = 0
            for paragraph in cell.text_frame.paragraphs:
                # Lines as high as those of the PDF: a row grows where they are higher.
                paragraph.line_spacing, paragraph.space_after = Pt(item.size * (CAPITALS + BETWEEN)), None
            cell.vertical_anchor = MSO_ANCHOR.MIDDLE
            paint(cell.fill, fill)


def _describe(made: Any, deck: Deck) -> None:
    """Give the file its properties, slides and notes one theme, every word its language."""
    about = made.core_properties
    about.title, about.subject, about.author = deck.title, deck.slides[0].title, AUTHOR
    about.last_modified_by, about.language, about.revision = AUTHOR, SPOKEN[deck.language], 1
    about.comments = ""
    about.category, about.keywords = ABOUT[deck.language]
    about.created = about.modified = DATE
    package = made.part.package
    told = sum(bool(slide.said) for slide in deck.slides)
    package.part_related_by(RT.EXTENDED_PROPERTIES)._blob = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Properties '
        'xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties">'
        f"<Application>{AUTHOR}</Application><PresentationFormat>Widescreen</PresentationFormat>"
        f"<Slides>{len(deck.slides)}</Slides><Notes>{told}</Notes></Properties>"
    ).encode()
    if told:
        master = made.notes_master
        master.part.part_related_by(RT.THEME)._element = parse_xml(theme(deck.title))
        for date in master.element.xpath(".//p:sp[p:nvSpPr/p:nvPr/p:ph/@type='dt']"):
            date.getparent().remove(date)
        relation = made.part.relate_to(master.part, RT.NOTES_MASTER)
        listed = f'<p:notesMasterId r:id="{relation}"/>'
        listed = f"<p:notesMasterIdLst {nsdecls('p', 'r')}>{listed}</p:notesMasterIdLst>"
        made.element.find(qn("p:sldMasterIdLst")).addnext(parse_xml(listed))
    for part in package.iter_parts():
        if isinstance(part, XmlPart):
            for flag in part._element.xpath("/c:chartSpace/c:roundedCorners"):
                flag.addprevious(parse_xml(f'<c:lang {nsdecls("c")} val="{SPOKEN[deck.language]}"/>'))
            for run in part._element.xpath("//a:r[not(a:rPr)]"):
                run.insert(0, run.makeelement(qn("a:rPr")))
            for written in part._element.xpath("//a:rPr | //a:endParaRPr | //a:defRPr"):
                written.set("lang", SPOKEN[deck.language])


def _undated(packed: bytes) -> bytes:
    """The same archive, and the workbooks in it, with no time of day."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(packed)) as read,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in read.namelist():
            held = read.read(name)
            if name.endswith(".xlsx"):
                held = _undated(held)
            if name == "docProps/core.xml":
                held = re.sub(rb"(?<=>)\d{4}-\d\d-\d\dT[\d:]+Z", f"{DATE:%Y-%m-%dT%H:%M:%SZ}".encode(), held)
            out.writestr(zipfile.ZipInfo(name, DATE.timetuple()[:6]), held, zipfile.ZIP_DEFLATED)
    return written.getvalue()
