"""The architecture as a picture: parts where they were laid, an arrow for each connection."""

from __future__ import annotations

from typing import TypedDict

from architecture_slides.limpiapp.architecture import DAY_ONE, Phase
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.typesetting.content import begun
from architecture_slides.typesetting.deck import (
    AMBER,
    DARK,
    GREEN,
    LEFT,
    LINE,
    PAPER,
    RETURN,
    RIGHT,
    WIDE,
    Arrow,
    Box,
    Drawing,
    chip,
    columns,
    notes,
    text_width,
)

DAY, LATER = "#bfdcf3", "#c6cfd6"


class Look(TypedDict, total=False):
    """How a box is drawn."""

    fill: str
    outline: str
    dashed: bool


PHASES: dict[Phase, Look] = {
    "now": Look(fill=GREEN, outline="#8dbb98"),
    "P0": Look(fill=PAPER, outline=DARK),
    DAY_ONE: Look(fill=DAY, outline="#84b6de"),
    "P2": Look(fill=LATER, outline="#9aa7b3"),
    "P3": Look(fill=PAPER, outline=LINE, dashed=True),
}
"""How an element looks, by its phase: of production, of the base, of the first day, or later."""

PHASE_WORDS: dict[Phase, str] = {
    "P0": "cloud_base",
    DAY_ONE: "first_day",
    "P2": "phase_two",
    "P3": "phase_three",
}
"""What a phase is called."""

OWNERS = {"production": PHASES["now"], "external": Look(fill=AMBER, outline="#d9b566")}
LANE, BAND = "#f3f6f8", "#ebe4f2"
MEDALS = {"bronze": "#dfb48c", "silver": "#f8fafb", "gold": "#f0cf55"}
LETTERS = 14
THIN, HOMEWARD, THICK = 1.2, 1.6, 3.0
"""Widths of arrows: of any connection, of what is on its way back, and of what comes back."""

SIGN = 18
"""Height of a route's number, in points."""

BAND_TOP, BAND_HEIGHT = 468, 32
STORE = "sql"


def look_of(edition: Edition, node: str) -> Look:
    """How a source or an element looks on every page."""
    if node in edition.sources:
        return OWNERS[edition.sources[node].owner]
    return PHASES[edition.elements[node].phase]


def picture(edition: Edition) -> Drawing:
    """The whole architecture on a page."""
    of, words = edition.of.picture, edition.words
    lanes = [Box(176, lane.y, RIGHT - 176, lane.h, fill=LANE) for lane in of.lanes]
    named = [
        Box(*lane.at, RIGHT - lane.at[0], 20, words.of(lane.name), size=LETTERS, fill=LANE, align="right")
        for lane in of.lanes
    ]
    arrows: list[Arrow] = []
    for each in edition.of.connections:
        if way := of.ways.get(each.id):
            width = THICK if each.back else HOMEWARD if each.homeward else THIN
            arrows.append(Arrow(tuple(way), LINE if width == THIN else RETURN, width))
            if each.call:
                arrows.append(Arrow(tuple(reversed(way))))
    # Returns lie on top, so that nothing hides them.
    arrows.sort(key=lambda arrow: arrow.width)
    parts: list[Box] = []
    for node, spot in of.spots.items():
        look = look_of(edition, node)
        if node == STORE:
            parts += _store(edition, look)
        else:
            parts.append(chip(spot.x, spot.y, spot.w, spot.h, edition.short(node), **look))
    numbers = [_number(*route.at, route.number) for route in of.routes]
    return Drawing(words.of(of.alt), (*lanes, *named, *arrows, *parts, *_band(edition), *numbers))


def _number(x: float, y: float, number: int) -> Box:
    """The sign of a route."""
    return chip(x, y, text_width(str(number), LETTERS), SIGN, str(number), fill=DARK, ink=PAPER)


def _store(edition: Edition, look: Look) -> list[Box]:
    """The store with its medallion layers: bronze at the side that data come in by."""
    spot, words = edition.of.picture.spots[STORE], edition.words
    top, high = spot.y + 26, spot.h - 32
    half = (high - 6) / 2
    layers = {
        "bronze": (spot.x + 6, top, 58, high),
        "silver": (spot.x + 70, top, spot.w - 76, half),
        "gold": (spot.x + 70, top + half + 6, spot.w - 76, half),
    }
    return [
        Box(spot.x, spot.y, spot.w, spot.h, **look),
        Box(
            spot.x + 2,
            spot.y + 3,
            spot.w - 4,
            20,
            edition.short(STORE),
            size=LETTERS,
            fill=None,
            align="center",
        ),
        *(chip(*place, words[name], fill=MEDALS[name]) for name, place in layers.items()),
    ]


def _band(edition: Edition) -> list[Box]:
    """What runs, watches and protects all the rest, in a row."""
    gap, inner = 6, BAND_HEIGHT - 8
    head = edition.words["band"]
    names = {name: edition.short(name) for name in edition.of.picture.band}
    wide = {name: text_width(text, LETTERS) for name, text in names.items()}
    x = LEFT + 4 + text_width(head, LETTERS)
    spare = (RIGHT - 4 - x - sum(wide.values()) - gap * (len(names) - 1)) / len(names)
    made = [
        Box(LEFT, BAND_TOP, WIDE, BAND_HEIGHT, fill=BAND),
        chip(LEFT + 4, BAND_TOP + 4, x - LEFT - 4, inner, "", head=head, fill=BAND),
    ]
    for name, text in names.items():
        made.append(chip(x, BAND_TOP + 4, wide[name] + spare, inner, text, **look_of(edition, name)))
        x += wide[name] + spare + gap
    return made


def legend(edition: Edition, y: float) -> Drawing:
    """What the colours stand for."""
    words = edition.words
    looks: dict[str, Look] = {
        words["production"]: OWNERS["production"],
        words["external"]: OWNERS["external"],
        **{words[name]: PHASES[phase] for phase, name in PHASE_WORDS.items()},
    }
    wide, gap = columns(len(looks) + 1, 8)
    boxes = [
        chip(LEFT + place * (wide + gap), y, wide, 20, name, **look)
        for place, (name, look) in enumerate(looks.items())
    ]
    boxes.append(chip(RIGHT - wide, y, wide, 20, words["gets_back"], fill=RETURN, ink=PAPER))
    return Drawing("; ".join(box.text for box in boxes), tuple(boxes))


def key(edition: Edition, y: float) -> Drawing:
    """What the numbers stand for, in two lines over the whole width."""
    told = [(route.number, begun(edition.words.of(route.brief))) for route in edition.of.picture.routes]
    half = -(-len(told) // 2)
    wide, gap = columns(half, 4)
    items: list[Box] = []
    for place, (number, text) in enumerate(told):
        row, column = divmod(place, half)
        x, top = LEFT + column * (wide + gap), y + 21 * row
        sign = _number(x, top, number)
        items += [sign, Box(x + sign.w, top - 1, wide - sign.w, 20, text=text, size=LETTERS)]
    return Drawing("; ".join(f"{number} {text}" for number, text in told), tuple(items))


def cards(edition: Edition, page: str, y: float, h: float, size: float = 18) -> tuple[Box, ...]:
    """The notes of a main page, side by side."""
    return notes(edition.page(page).notes, edition.words, y=y, h=h, size=size)
