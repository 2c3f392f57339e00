"""Charts: numbers as an item of a slide, with how a page without charts of its own draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from architecture_slides.typesetting.deck import (
    DARK,
    INSET,
    LINE,
    PALE,
    Axis,
    BarChart,
    Box,
    DeckError,
    Drawing,
    Guide,
    Line,
    LineChart,
    Shape,
    text_width,
    width_of,
)

COLOURS = ("#12466b", "#c2571a", "#3f7d4e", "#8a5a9e", "#7a7a7a")
"""Colours of series, in order; each has a contrast of at least 3 to 1 with white."""

ROW = 1.6
"""Height of a row of words, in sizes of their letters."""

KEY = 24
"""Width of a colour that is explained, in points."""

BAR = 0.6
"""How much of the distance from bar to bar a bar takes."""

BESIDE = 5
"""What a marker has at its right before a label, in points."""


def chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    across: Axis,
    up: Axis,
    *,
    at: tuple[float, float],
    size: tuple[float, float],
    alt: str,
    marked: bool = True,
    letters: float = 11,
    colours: Sequence[str] = COLOURS,
    guides: Sequence[Guide] = (),
) -> LineChart:
    """Lines.

    Args:
        series: points by label.
        across: the axis of their first numbers.
        up: the axis of their second.
        at: left and top, in points.
        size: width and height with everything, in points.
        alt: what it shows, for those who can't see it.
        marked: whether each point has a mark.
        letters: size of all words, in points.
        colours: of the series, in order.
        guides: lines beneath the series.

    Raises:
        DeckError: a point is beyond an axis.
    """
    row = ROW * letters
    used = tuple(colours[: len(series)])
    told = {guide.label: guide.colour for guide in guides if guide.label}
    keys, key = _keys(dict(zip(series, used, strict=True)) | told, at, size[0], letters)
    head = key[1] + key[3]
    margin = max(text_width(words, letters) for words in up.ticks.values()) + 6
    # The last number below is in the middle of its line.
    beyond = max(8, width_of(across.ticks[across.ends[1]], letters) / 2)
    left, top = at[0] + margin, head + row + letters
    wide, high = size[0] - margin - beyond, at[1] + size[1] - 2 * row - top
    bottom = top + high

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + wide * across.share(point[0]), bottom - high * up.share(point[1])

    items: list[Shape] = [*keys, Box(at[0], head, size[0], row, text=up.label, size=letters)]
    items += _numbers(across, (left, bottom, wide), letters)
    for value, words in up.ticks.items():
        y = bottom - high * up.share(value)
        # The middle of its digits is at the line.
        items.append(
            Box(
                at[0],
                y - 5 - 0.36 * letters,
                margin - 6,
                letters + 3,
                text=words,
                size=letters,
                align="right",
            )
        )
        items.append(Line(((left, y), (left + wide, y)), PALE, 1))
    items.append(Line(((left, bottom), (left + wide, bottom)), LINE, 1))
    items += [Line(tuple(map(place, guide.points)), guide.colour, guide.width) for guide in guides]
    for colour, points in zip(used, series.values(), strict=True):
        placed = tuple(map(place, points))
        items.append(Line(placed, colour, 2))
        if marked:
            items.extend(Box(px - 2.5, py - 2.5, 5, 5, fill=colour) for px, py in placed)
    return LineChart(
        frame=(*at, *size),
        key=key,
        area=(left, top, wide, high),
        across=across,
        colours=used,
        letters=letters,
        drawing=Drawing(alt, tuple(items)),
        up=up,
        series={label: tuple(points) for label, points in series.items()},
        marked=marked,
        guides=tuple(guides),
    )


def bars(
    names: Sequence[str],
    series: Mapping[str, Sequence[float]],
    across: Axis,
    *,
    at: tuple[float, float],
    size: tuple[float, float],
    alt: str,
    colours: Sequence[str] = COLOURS,
    ends: Sequence[str] = (),
    marker: tuple[float, str] | None = None,
    highlighted: Mapping[str, str] | None = None,
    letters: float = 14,
) -> BarChart:
    """Horizontal bars, each of as many parts as there are series.

    Args:
        names: what stands before each bar, from top to bottom.
        series: the length of each bar's part, by label; a single series needs no key.
        across: the axis of the lengths, from 0.
        at: left and top, in points.
        size: width and height with everything, in points.
        alt: what it shows, for those who can't see it.
        colours: of the series, in order.
        ends: what stands after each bar, or right of the marker if it would cross that.
        marker: where a line crosses all bars, and its words.
        highlighted: colours of bars that differ from their series, by name; for a single series.
        letters: size of all words, in points.

    Raises:
        DeckError: a bar or the marker is longer than the axis, or the axis does not begin at 0, is
            logarithmic; names, lengths and ends are not equally many.
    """
    if across.log or across.ends[0] != 0:
        raise DeckError(f"{across.label}: an axis of bars begins at 0 and is not logarithmic")
    if any(len(each) != len(names) for each in (*series.values(), *([ends] if ends else []))):
        raise DeckError(f"{across.label}: {len(names)} bars need as many lengths and ends")
    row, apart = ROW * letters, highlighted or {}
    used = tuple(colours[: len(series)])
    told = dict(zip(series, used, strict=True)) if len(series) > 1 else {}
    keys, key = _keys(told, at, size[0], letters) if told else ([], (*at, size[0], 0))
    head = key[1] + key[3]
    before = max(text_width(name, letters) for name in names)
    # Signs that the font lacks, such as arrows, are wider in the one that has them.
    takes = [1.15 * width_of(end, letters) + INSET for end in ends]
    after = max(takes, default=INSET) + BESIDE * bool(marker)
    left, top = at[0] + before, head + row * bool(marker)
    wide = size[0] - before - after
    bottom = at[1] + size[1] - row * (1.2 + bool(across.label))
    pitch = (bottom - top) / len(names)
    items: list[Shape] = [*keys, *_numbers(across, (left, bottom, wide), letters)]
    begins: list[float] = []
    for place, name in enumerate(names):
        middle, length = top + (place + 0.5) * pitch, 0.0
        items.append(Box(at[0], middle - row / 2, before, row, text=name, size=letters, align="right"))
        for values, colour in zip(series.values(), used, strict=True):
            if values[place]:
                x, end = (left + wide * across.share(each) for each in (length, length + values[place]))
                fill = apart.get(name, colour)
                items.append(Box(x, middle - BAR * pitch / 2, end - x, BAR * pitch, fill=fill))
            length += values[place]
        if ends:
            begin, line = (wide * across.share(each) for each in (length, marker[0] if marker else 0))
            if begin <= line < begin + takes[place]:
                begin = line + BESIDE
            begins.append(begin / wide * across.ends[1])
            items.append(
                Box(left + begin, middle - row / 2, takes[place], row, text=ends[place], size=letters)
            )
    if marker:
        x = left + wide * across.share(marker[0])
        items.append(Line(((x, top), (x, bottom)), DARK, 3))
        half = text_width(marker[1], letters) / 2
        items.append(Box(x - half, top - row, 2 * half, row, text=marker[1], size=letters, align="center"))
    return BarChart(
        frame=(*at, *size),
        key=key,
        area=(left, top, wide, bottom - top),
        across=across,
        colours=used,
        letters=letters,
        drawing=Drawing(alt, tuple(items)),
        names=tuple(names),
        series={label: tuple(values) for label, values in series.items()},
        ends=tuple(ends),
        begins=tuple(begins),
        marker=marker,
        highlighted=apart,
    )


def _keys(
    colours: Mapping[str, str], at: tuple[float, float], wide: float, letters: float
) -> tuple[list[Shape], tuple[float, float, float, float]]:
    """What the colours stand for, in as many rows as that takes, and the place of all of it."""
    items: list[Shape] = []
    row, x, y = ROW * letters, at[0], at[1]
    for label, colour in colours.items():
        takes = text_width(label, letters)
        if items and x + KEY + takes > at[0] + wide:
            x, y = at[0], y + row
        items.append(Box(x + 5, y + row / 2 - 3, KEY - 8, 6, fill=colour))
        items.append(Box(x + KEY, y, takes, row, text=label, size=letters))
        x += KEY + takes + letters
    used = x - at[0] if y == at[1] else wide
    return items, (*at, min(used, wide), y + row - at[1])


def _numbers(across: Axis, line: tuple[float, float, float], letters: float) -> list[Shape]:
    """What is written below an axis that begins at `left, top` and is so `wide`."""
    left, top, wide = line
    y, high = top + 0.6 * letters, letters + 3
    items: list[Shape] = [
        Box(left, y + high, wide, high + 1, text=across.label, size=letters, align="center")
    ]
    for value, words in across.ticks.items():
        x, half = left + wide * across.share(value), text_width(words, letters) / 2
        items.append(Box(x - half, y, 2 * half, high, text=words, size=letters, align="center"))
    return items
