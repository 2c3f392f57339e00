"""What the slides of a presentation share: theme, master and layouts, in place of python-pptx's own."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pptx import Presentation
from pptx.opc.constants import RELATIONSHIP_TYPE as RT
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Pt

from architecture_slides.typesetting.connector import rounded
from architecture_slides.typesetting.content import Language
from architecture_slides.typesetting.deck import (
    BOTTOM,
    CARD,
    DARK,
    FOOT,
    HEIGHT,
    INK,
    LEFT,
    NUMBERS,
    PALE,
    PAPER,
    RIGHT,
    TOP,
    WIDE,
    WIDTH,
)
from architecture_slides.typesetting.paint import THEME, solid

Place = tuple[float, float, float, float]
"""Left, top, width and height, in points."""

COVER, MAIN, ANNEX = range(3)
"""Layouts, by their place in the master."""

NUMBER, FOOTER, CORNER, NOTES = 11, 12, 13, (21, 22, 23, 24)
"""Placeholders of the layouts, by their index."""

ASCENT = 0.26
"""What a line has above its capital letters, in sizes; the PDF counts from the latter."""

FOOT_TOP = 512
"""Where the capital letters below a page begin, in points."""

NAMES = {
    "es": ("Portada", "Página principal", "Página del anexo"),
    "en": ("Cover", "Main page", "Annex page"),
}
PROMPTS = {
    "es": ("Lo que la página concluye", "Nota", "Número", "Fuente", "Pregunta"),
    "en": ("What the page concludes", "Note", "Number", "Source", "Question"),
}
"""What placeholders ask for: title, notes, and below these number, source and corner."""


def template(name: str, language: Language) -> Any:
    """A presentation without slides, with the layouts COVER, MAIN and ANNEX."""
    made, names = Presentation(), NAMES[language]
    made.slide_width, made.slide_height = Pt(WIDTH), Pt(HEIGHT)
    made.element.sldSz.attrib.pop("type")
    _drop(made.part, RT.PRINTER_SETTINGS)
    made.part.part_related_by(RT.VIEW_PROPS)._blob = f"<p:viewPr {nsdecls('p')}/>".encode()
    _drop(made.part.package, RT.THUMBNAIL)
    master = made.slide_masters[0]
    for layout in [*master.slide_layouts][len(names) :]:
        master.slide_layouts.remove(layout)
    master.part.part_related_by(RT.THEME)._blob = theme(name)
    title, note, *_ = PROMPTS[language]
    headed = _heading(title, _titled(LEFT, 22, WIDE, 62, 24), 24, DARK)
    written = _placeholder("body", 1, note, place=(LEFT, TOP, WIDE, BOTTOM - TOP), size=16)
    _lay(master.element, name, [_bar(), headed, written, *_foot(language, FOOT[False])[:2]])
    (styles,) = master.element.xpath("p:txStyles")
    master.element.replace(styles, _styles())
    for kind, layout in enumerate(master.slide_layouts):
        layout.element.attrib.clear()
        layout.element.set("preserve", "1")
        if kind == COVER:
            # The bar has the colour of the page.
            layout.element.set("showMasterSp", "0")
            over = _heading(title, _titled(60, 130, 820, 170, 38), 38, PAPER)
            below = _card(NOTES[0], note, (50, 332, 830, 80), 20, (DARK, PAPER))
            _lay(layout.element, names[kind], [over, below], DARK)
        else:
            wide = (WIDE + 14) / len(NOTES)
            cards = [
                _card(idx, f"{note} {place + 1}", (LEFT + place * wide, 380, wide - 14, 110), 16, (PALE, INK))
                for place, idx in enumerate(NOTES)
            ]
            _lay(layout.element, names[kind], [headed, *cards, *_foot(language, FOOT[kind == MAIN])])
    return made


def theme(name: str) -> bytes:
    """The decks' colours and letters, and shapes that are flat."""
    colours = "".join(f'<a:{key}><a:srgbClr val="{colour[1:]}"/></a:{key}>' for key, colour in THEME.items())
    letters = '<a:latin typeface="Lato"/><a:ea typeface=""/><a:cs typeface=""/>'
    fill = '<a:solidFill><a:schemeClr val="phClr"/></a:solidFill>'
    strokes = "".join(
        f'<a:ln w="{wide}">{fill}<a:prstDash val="solid"/></a:ln>' for wide in (9525, 19050, 38100)
    )
    effects = 3 * "<a:effectStyle><a:effectLst/></a:effectStyle>"
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f"<a:theme {nsdecls('a')} name={quoteattr(name)}><a:themeElements>"
        f"<a:clrScheme name={quoteattr(name)}>{colours}</a:clrScheme>"
        f'<a:fontScheme name="Lato"><a:majorFont>{letters}</a:majorFont><a:minorFont>{letters}</a:minorFont>'
        f'</a:fontScheme><a:fmtScheme name="Flat"><a:fillStyleLst>{3 * fill}</a:fillStyleLst>'
        f"<a:lnStyleLst>{strokes}</a:lnStyleLst><a:effectStyleLst>{effects}</a:effectStyleLst>"
        f"<a:bgFillStyleLst>{3 * fill}</a:bgFillStyleLst></a:fmtScheme></a:themeElements>"
        "<a:objectDefaults/><a:extraClrSchemeLst/></a:theme>"
    ).encode()


def field(text: str) -> str:
    """The number of a slide as PowerPoint keeps it true; the text is what others show."""
    identity = "{B6F15528-21DE-4FAA-801E-634DDDAF4B2B}"
    return f'<a:fld {nsdecls("a")} id="{identity}" type="slidenum"><a:rPr/><a:t>{text}</a:t></a:fld>'


def _drop(of: Any, kind: str) -> None:
    """Remove what python-pptx's presentation relates to and ours has no use for."""
    (found,) = [name for name, relation in of._rels.items() if relation.reltype == kind]
    of.drop_rel(found)


def _titled(x: float, y: float, w: float, h: float, size: float) -> Place:
    """A place without room around it, whose capital letters begin at `y`."""
    return (x, y - ASCENT * size, w, h + ASCENT * size)


def _heading(prompt: str, place: Place, size: float, ink: str) -> str:
    return _placeholder("title", 0, prompt, place=place, size=size, ink=ink, bold=True)


def _foot(language: Language, size: float) -> list[str]:
    _, _, number, source, corner = PROMPTS[language]
    gap = NUMBERS * size
    places = (
        _titled(LEFT, FOOT_TOP, gap, 18, size),
        _titled(LEFT + gap, FOOT_TOP, 560 - gap, 18, size),
        _titled(RIGHT - 320, FOOT_TOP, 320, 18, size),
    )
    return [
        _placeholder("sldNum", NUMBER, number, place=places[0], size=size, text=field("#")),
        _placeholder("ftr", FOOTER, source, place=places[1], size=size),
        _placeholder("body", CORNER, corner, place=places[2], size=size, ink=DARK, align="r"),
    ]


def _card(idx: int, prompt: str, place: Place, size: float, colours: tuple[str, str]) -> str:
    fill, ink = colours
    shape = f"{rounded(*place[2:])}{solid(fill)}"
    return _placeholder("body", idx, prompt, place=place, size=size, ink=ink, room=CARD, shape=shape)


def _placeholder(
    kind: str,
    idx: int,
    prompt: str,
    *,
    place: Place,
    size: float,
    ink: str = INK,
    align: str = "l",
    bold: bool = False,
    room: tuple[float, float] = (0, ASCENT),
    shape: str = '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom>',
    text: str = "",
) -> str:
    """The XML of a placeholder, with a prompt or another run as its text."""
    x, y, w, h = map(Pt, place)
    side, above = Pt(room[0]), Pt(max(0, room[1] - ASCENT * size))
    index = f' idx="{idx}"' if idx else ""
    written = text or f"<a:r><a:t>{escape(prompt)}</a:t></a:r>"
    return (
        f'<p:sp {nsdecls("p", "a")}><p:nvSpPr><p:cNvPr id="0" name={quoteattr(prompt)}/>'
        '<p:cNvSpPr><a:spLocks noGrp="1"/></p:cNvSpPr>'
        f'<p:nvPr><p:ph type="{kind}"{index}/></p:nvPr></p:nvSpPr><p:spPr>'
        f'<a:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="{w}" cy="{h}"/></a:xfrm>{shape}</p:spPr><p:txBody>'
        f'<a:bodyPr wrap="square" lIns="{side}" tIns="{above}" rIns="{side}" bIns="{above}" anchor="t">'
        f'<a:noAutofit/></a:bodyPr><a:lstStyle><a:lvl1pPr marL="0" indent="0" algn="{align}"><a:buNone/>'
        f'<a:defRPr sz="{round(100 * size)}" b="{int(bold)}">{solid(ink)}</a:defRPr></a:lvl1pPr></a:lstStyle>'
        f"<a:p>{written}</a:p></p:txBody></p:sp>"
    )


def _bar() -> str:
    return (
        f'<p:sp {nsdecls("p", "a")}><p:nvSpPr><p:cNvPr id="0" name=""/><p:cNvSpPr/><p:nvPr userDrawn="1"/>'
        f'</p:nvSpPr><p:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="{Pt(WIDTH)}" cy="{Pt(8)}"/></a:xfrm>'
        f'<a:prstGeom prst="rect"><a:avLst/></a:prstGeom>{solid(DARK)}<a:ln><a:noFill/></a:ln></p:spPr>'
        "</p:sp>"
    )


def _lay(element: Any, name: str, shapes: list[str], background: str = PAPER) -> None:
    """Put these shapes, and no others, on a master or a layout."""
    fresh = parse_xml(
        f"<p:cSld {nsdecls('p', 'a', 'r')} name={quoteattr(name)}><p:bg><p:bgPr>"
        f"{solid(background)}<a:effectLst/></p:bgPr></p:bg><p:spTree>"
        '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        f"{''.join(shapes)}</p:spTree></p:cSld>"
    )
    for place, shape in enumerate(fresh.xpath("p:spTree/p:sp/p:nvSpPr/p:cNvPr"), 2):
        shape.set("id", str(place))
    element.replace(element.cSld, fresh)


def _styles() -> Any:
    """How titles, texts and all others are written unless they say so."""

    def level(place: int, size: int, ink: str, font: str) -> str:
        begun = '<a:buChar char="•"/>' if place > 1 else "<a:buNone/>"
        margin = Pt(12) * (place - 1)
        return (
            f'<a:lvl{place}pPr marL="{margin}" indent="{-min(margin, Pt(12))}" algn="l" defTabSz="914400"'
            ' rtl="0" eaLnBrk="1" latinLnBrk="0" hangingPunct="1">'
            f'<a:spcBef><a:spcPts val="0"/></a:spcBef>{begun}'
            f'<a:defRPr sz="{size}" kern="1200">{solid(ink)}'
            f'<a:latin typeface="+{font}-lt"/><a:ea typeface="+{font}-ea"/><a:cs typeface="+{font}-cs"/>'
            f"</a:defRPr></a:lvl{place}pPr>"
        )

    texts = "".join(level(place, 1_600, INK, "mn") for place in (1, 2, 3))
    return parse_xml(
        f"<p:txStyles {nsdecls('p', 'a')}><p:titleStyle>{level(1, 2_400, DARK, 'mj')}</p:titleStyle>"
        f"<p:bodyStyle>{texts}</p:bodyStyle>"
        f"<p:otherStyle>{level(1, 1_400, INK, 'mn')}</p:otherStyle></p:txStyles>"
    )
