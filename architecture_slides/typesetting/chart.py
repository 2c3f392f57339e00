"""Charts of lines, drawn as the parts of a slide, so that their letters are as large and editable as any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from architecture_slides.typesetting.deck import LINE, PALE, Box, DeckError, Drawing, Line

COLOURS = ("#12466b", "#c2571a", "#3f7d4e", "#8a5a9e", "#7a7a7a")
"""Colours of lines, in order; each has a contrast of at least 3 to 1 with white."""

MARGIN, HEAD, FOOT, LEGEND = 60, 28, 34, 18


@dataclass(frozen=True)
class Axis:
    """An axis: its words, and where numbers are written on it, from end to end."""

    label: str
    ticks: Mapping[float, str]
    log: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value is, 0 to 1.

        Raises:
            DeckError: it is beyond the ends.
        """
        low, high = min(self.ticks), max(self.ticks)
        if not low <= value <= high:
            raise DeckError(f"{self.label}: {value:g} is beyond the axis, {low:g} to {high:g}")
        if self.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


def chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    across: Axis,
    up: Axis,
    *,
    at: tuple[float, float],
    size: tuple[float, float],
    alt: str,
    marked: bool = True,
) -> Drawing:
    """Draw lines.

    Args:
        series: points by label.
        across: the axis of their first numbers.
        up: the axis of their second.
        at: left and top, in points.
        size: width and height with everything, in points.
        alt: what it shows, for those who can't see it.
        marked: whether each point has a mark.
    """
    rows = math.ceil(len(series) / 2)
    left, top = at[0] + MARGIN, at[1] + LEGEND * rows + HEAD
    wide, high = size[0] - MARGIN - 8, size[1] - LEGEND * rows - HEAD - FOOT
    bottom = top + high

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + wide * across.share(point[0]), bottom - high * up.share(point[1])

    items: list[Box | Line] = [Box(at[0], top - HEAD, size[0], 18, text=up.label, size=11)]
    for value, words in up.ticks.items():
        y = bottom - high * up.share(value)
        items.append(Line(((left, y), (left + wide, y)), PALE, 1))
        items.append(Box(at[0], y - 9, MARGIN - 2, 18, text=words, size=10))
    for value, words in across.ticks.items():
        x = left + wide * across.share(value)
        items.append(Box(x - 30, bottom + 1, 60, 17, text=words, size=10, align="center"))
    items.append(Line(((left, bottom), (left + wide, bottom)), LINE, 1))
    items.append(Box(left, bottom + 17, wide, 17, text=across.label, size=11, align="center"))
    for number, (label, points) in enumerate(series.items()):
        colour = COLOURS[number]
        x, y = at[0] + size[0] / 2 * (number % 2), at[1] + LEGEND * (number // 2)
        items.append(Box(x + 4, y + 5, 14, 6, fill=colour))
        items.append(Box(x + 18, y - 1, size[0] / 2 - 20, 18, text=label, size=11))
        placed = tuple(map(place, points))
        items.append(Line(placed, colour, 2))
        if marked:
            items.extend(Box(px - 2.5, py - 2.5, 5, 5, fill=colour) for px, py in placed)
    return Drawing(alt, tuple(items))
