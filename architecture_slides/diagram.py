"""Diagrams: parts on a grid, and a line for each connection that has a free way."""

from __future__ import annotations

from collections.abc import Iterable

from architecture_slides.architecture import Architecture, Diagram
from architecture_slides.typesetting.content import Words
from architecture_slides.typesetting.deck import AMBER, GREEN, LEFT, PALE, RIGHT, Arrow, Box, Drawing

Place = tuple[int, int]
FILLS = {"production": GREEN, "external": AMBER, "element": PALE}
AROUND = 16
"""How far above or below the grid a line goes around, in points."""

BEFORE = 15
"""How far before its end a line that passes columns turns."""


def diagram(
    architecture: Architecture,
    of: Diagram,
    words: Words,
    *,
    top: float,
    bottom: float,
    gap: tuple[float, float],
) -> Drawing:
    """Draw a diagram.

    Args:
        architecture: what the parts and connections are of.
        of: what is drawn.
        words: the language.
        top: where the grid begins, in points.
        bottom: where it ends.
        gap: between columns and between rows, in points.
    """
    columns, rows = len(of.columns), max(map(len, of.columns))
    wide = (RIGHT - LEFT - gap[0] * (columns - 1)) / columns
    high = (bottom - top - gap[1] * (rows - 1)) / rows
    sources = {each.id: each for each in architecture.sources}
    elements = {each.id: each for each in architecture.elements}
    boxes: dict[str, Box] = {}
    for name, (column, row) in of.places.items():
        x, y = LEFT + column * (wide + gap[0]), top + row * (high + gap[1])
        if name in sources:
            fill = FILLS[sources[name].owner]
            head, text = words.of(sources[name].name), ""
        else:
            fill, head, text = FILLS["element"], words.of(elements[name].name), elements[name].launch
        boxes[name] = Box(x, y, wide, high, head, text, size=10, fill=fill, align="center")

    def shift(source: str) -> float:
        """Lines from each row turn at a place of their own, so that no two seem to be one."""
        return gap[0] * 0.7 * ((of.places[source][1] + 0.5) / rows - 0.5)

    around = {*of.over, *of.under}
    arrows = [
        _arrow(boxes[each.source], boxes[each.target], shift(each.source))
        for each in architecture.connections
        if (each.source, each.target) not in around and _free(of.places, each.source, each.target)
    ]
    arrows += [_around(boxes[one], boxes[other], top - AROUND, -1) for one, other in of.over]
    arrows += [
        _around(boxes[one], boxes[other], bottom + AROUND * (1 + place), 1)
        for place, (one, other) in enumerate(of.under)
    ]
    return Drawing(words.of(of.alt), (*arrows, *boxes.values()))


def legend(words: Words, y: float, names: Iterable[str] = tuple(FILLS)) -> tuple[Box, ...]:
    """What the colours stand for."""
    return tuple(
        Box(LEFT + 130 * place, y, 120, 19, text=words[name], size=10, fill=FILLS[name], align="center")
        for place, name in enumerate(names)
    )


def _free(places: dict[str, Place], source: str, target: str) -> bool:
    """Whether a line to the right or along a column meets nothing."""
    if source not in places or target not in places:
        return False
    (column, row), (to, end) = places[source], places[target]
    taken = set(places.values())
    if column == to:
        return not any((column, each) in taken for each in range(min(row, end) + 1, max(row, end)))
    return column < to and not any((each, row) in taken for each in range(column + 1, to))


def _arrow(one: Box, other: Box, shift: float) -> Arrow:
    if one.x == other.x:
        middle = one.x + one.w / 2
        down = one.y < other.y
        return Arrow(
            ((middle, one.y + one.h if down else one.y), (middle, other.y if down else other.y + other.h))
        )
    start, end = (one.x + one.w, one.y + one.h / 2), (other.x, other.y + other.h / 2)
    if start[1] == end[1]:
        return Arrow((start, end))
    is_next = other.x - one.x < 2 * one.w
    turn = shift + ((start[0] + end[0]) / 2 if is_next else end[0] - BEFORE)
    return Arrow((start, (turn, start[1]), (turn, end[1]), end))


def _around(one: Box, other: Box, level: float, side: int) -> Arrow:
    """A line that leaves and enters on one side, at a level beyond it; its ends leave room for others."""
    leaves, enters = (box.y if side < 0 else box.y + box.h for box in (one, other))
    start, end = one.x + one.w * 0.4, other.x + other.w * 0.6
    return Arrow(((start, leaves), (start, level), (end, level), (end, enters)))
