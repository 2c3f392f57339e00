"""A flow on an axis of time: a row for each part that takes some of it, an arrow from each to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from architecture_slides.limpiapp.architecture import Flow
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.typesetting.content import begun
from architecture_slides.typesetting.deck import (
    DARK,
    LEFT,
    LINE,
    PALE,
    RIGHT,
    WIDE,
    Arrow,
    Box,
    Drawing,
    Line,
    Shape,
    text_width,
)

LETTERS = 14
LABELS = 206
"""Width of what is written beside the rows, in points."""

BAR = 24
"""Height of a bar, in points."""

FILLS = {"lag": "#c9a3d6", "interval": "#d8d2c4", "work": "#7cc0b5"}
"""Colours of what a stage spends its time with."""

RETRY = "#4f9d92"
"""The colour of work that is done once more."""

FINISH = "#23695f"
"""The colour of the end of a flow."""

LATE = "#f9d5da"
"""The colour of what is too late, or goes wrong."""


def timeline(
    edition: Edition, flow: Flow, *, top: float, pitch: float, step: float, alt: str, until: float = 0
) -> Drawing:
    """Draw a flow; where it ends, its data are back with whoever produced them.

    Args:
        edition: the language.
        flow: what is drawn.
        top: where the rows begin, in points.
        pitch: from row to row, in points.
        step: between numbers on the axis, in the unit of the flow.
        alt: what it shows, for those who can't see it.
        until: where the axis ends if the limit is far beyond, in the unit of the flow.
    """
    rows = list(dict.fromkeys(stage.element for stage in flow.stages))
    x, wide = LEFT + LABELS, WIDE - LABELS - 40
    bottom = top + pitch * len(rows)
    until = until or flow.sla
    scale = wide / until
    items: list[Shape] = []
    for tick in range(int(until / step) + 1):
        at, told = x + tick * step * scale, edition.number(tick * step)
        unit = f" {flow.unit}" if tick * step == until else ""
        items.append(Line(((at, top), (at, bottom)), PALE, 1))
        items.append(Box(at - 40, bottom + 2, 80, 22, text=told + unit, size=LETTERS, align="center"))
    for place, row in enumerate(rows):
        spent = sum(stage.budget for stage in flow.stages if stage.element == row)
        told = f"{edition.short(row)}: {edition.number(spent)} {flow.unit}"
        items.append(Box(LEFT, top + (place + 0.5) * pitch - 13, LABELS - 6, 26, text=told, size=16))
    starts = [0.0, *accumulate(stage.budget for stage in flow.stages)]
    bars = [
        # What is too short to be seen still gets a mark.
        Box(x + start * scale, middle - BAR / 2, max(stage.budget * scale, 3), BAR, fill=FILLS[stage.kind])
        for stage, start in zip(flow.stages, starts, strict=False)
        for middle in [top + (rows.index(stage.element) + 0.5) * pitch]
    ]
    arrows = [
        Arrow(((other.x, one.y + (BAR if down else 0)), (other.x, other.y + (0 if down else BAR))))
        for one, other in pairwise(bars)
        for down in [other.y > one.y]
        if one.y != other.y
    ]
    words = [begun(edition.words.of(stage.what)) for stage in flow.stages]
    items += [*bars, *_labels(words, bars, arrows), *arrows]
    return Drawing(alt, (*items, *_ends(edition, flow, (x, top), (bottom, pitch), (wide, until))))


def _ends(
    edition: Edition,
    flow: Flow,
    at: tuple[float, float],
    rows: tuple[float, float],
    axis: tuple[float, float],
) -> list[Shape]:
    """Where a flow begins and ends, and what is left until its limit, or what a retry adds."""
    (x, top), (bottom, pitch), (wide, until) = at, rows, axis
    words, scale = edition.words, wide / until
    end, y = x + flow.worst * scale, top + 1.5 * pitch
    begins, ends = (begun(words.of(text)) if text else "" for text in (flow.begins, flow.ends))
    limit = f"{begun(words['limit'])}: {edition.number(flow.sla)} {flow.unit}"
    items: list[Shape] = [
        Line(((end, top - 8), (end, bottom)), FINISH, 3),
        Line(((x, bottom), (x + wide, bottom)), LINE, 1),
        _until(ends, end + 5, top, FINISH),
        Box(x - 5, top - 34, 200, 24, text=begins, size=LETTERS, fill=None),
    ]
    if until == flow.sla:
        spare = f"{begun(words['spare'])}: {edition.number(flow.sla - flow.worst)} {flow.unit}"
        return [
            *items,
            Line(((x + wide, top - 8), (x + wide, bottom)), DARK, 3),
            _until(limit, x + wide + 5, top, DARK),
            Arrow(((end + 4, y), (x + wide - 4, y)), DARK),
            Arrow(((x + wide - 4, y), (end + 4, y)), DARK),
            Box(end + 6, y - 26, x + wide - end - 12, 24, text=spare, size=15, fill=None, align="center"),
        ]
    again = x + flow.worst_with_retry * scale
    told = f"{begun(words['retry'])}: {edition.number(flow.worst_with_retry)} {flow.unit}"
    return [
        *items,
        _until(f"{limit} →", RIGHT + 5, top, DARK),
        Box(end + 2, y - BAR / 2, again - end - 2, BAR, fill=RETRY),
        Box(again, y - BAR / 2, 150, BAR, text=told, size=LETTERS, fill=None),
    ]


def _until(text: str, right: float, top: float, ink: str) -> Box:
    """Words above the rows that end at a line."""
    # Signs that the font lacks, such as arrows, are wider in the one that has them.
    long = 1.15 * text_width(text, LETTERS)
    return Box(right - long, top - 34, long, 24, text, size=LETTERS, ink=ink, fill=None, align="right")


def _labels(words: Sequence[str], bars: Sequence[Box], arrows: Sequence[Arrow]) -> list[Box]:
    """What each stage does: in its bar, to the right, to the left or above, where it touches nothing."""
    made: list[Box] = []
    for text, bar in zip(words, bars, strict=True):
        long = text_width(text, LETTERS)
        if long <= bar.w:
            made.append(replace(bar, text=text, size=LETTERS, align="center"))
            continue
        for x, y in ((bar.x + bar.w, bar.y), (bar.x - long, bar.y), (bar.x + 6, bar.y - BAR)):
            label = Box(x, y, long, BAR, text=text, size=LETTERS, fill=None)
            if x >= LEFT + LABELS and x + long <= RIGHT and _clear(label, [*bars, *made], arrows):
                made.append(label)
                break
    return made


def _clear(label: Box, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> bool:
    """Whether nothing but its own bar's edge touches a label."""
    top, bottom = label.y + 4, label.y + label.h - 4
    for box in boxes:
        beside = box.x + box.w <= label.x or label.x + label.w <= box.x
        if not beside and box.y < bottom and top < box.y + box.h:
            return False
    for arrow in arrows:
        (x, one), (_, other) = arrow.points
        if label.x < x < label.x + label.w and min(one, other) < bottom and top < max(one, other):
            return False
    return True
