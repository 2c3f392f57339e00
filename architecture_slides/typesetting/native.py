"""Charts of a presentation: PowerPoint's own, with their numbers in a sheet, placed as the PDF draws them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import (
    XL_AXIS_CROSSES,
    XL_CHART_TYPE,
    XL_LABEL_POSITION,
    XL_LEGEND_POSITION,
    XL_MARKER_STYLE,
    XL_TICK_MARK,
)
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from architecture_slides.typesetting.chart import BAR
from architecture_slides.typesetting.deck import (
    INK,
    LINE,
    PALE,
    Axis,
    BarChart,
    Chart,
    DeckError,
    LineChart,
    width_of,
)
from architecture_slides.typesetting.paint import paint

GAP, ENDS = " ", "  "
"""Names of series that are not to be seen: what is up to the words after bars, and what bears these."""

GROUPED = ((1_000_000, 2), (1_000, 1))
"""From which number on how many groups of three digits stand after a point."""


def native(shapes: Any, item: LineChart | BarChart) -> Any:
    """Add a chart to shapes; returns its frame."""
    frame = _lines(shapes, item) if isinstance(item, LineChart) else _bars(shapes, item)
    frame._element.nvGraphicFramePr.cNvPr.set("descr", item.drawing.alt)
    space = frame.chart._chartSpace
    for number in space.xpath("//c:axId | //c:crossAx"):
        # The schema has no negative ones.
        number.set("val", number.get("val").lstrip("-"))
    for stale in space.xpath("c:roundedCorners"):
        space.remove(stale)
    space.find(qn("c:chart")).addprevious(parse_xml(f'<c:roundedCorners {nsdecls("c")} val="0"/>'))
    bare = f"<c:spPr {nsdecls('c', 'a')}><a:noFill/><a:ln><a:noFill/></a:ln></c:spPr>"
    space.find(qn("c:chart")).addnext(parse_xml(bare))
    return frame


def step(axis: Axis) -> float:
    """What PowerPoint counts an axis by so that it writes all our numbers: a step, or on a log axis a base.

    Raises:
        DeckError: there is none.
    """
    numbers = sorted(Fraction(str(each)) for each in axis.ticks)
    if axis.log:
        for base in (10, 2):
            powers = {numbers[0] * base**power for power in range(64)}
            if powers.issuperset(numbers):
                return base
    else:
        least = min(after - before for before, after in pairwise(numbers))
        if all((each - numbers[0]) % least == 0 for each in numbers):
            return float(least)
    raise DeckError(f"{axis.label}: PowerPoint has no axis with {', '.join(axis.ticks.values())}")


def number_format(axis: Axis, most: float) -> str:
    """The format that writes an axis' numbers as its words do, whatever a viewer's points and commas.

    Those between the last of ours and `most` are not written.

    Raises:
        DeckError: there is none, for a format has two conditions at most: it writes whole numbers and shares
            of a hundred, and the words of the least numbers.
    """
    ticks = sorted(axis.ticks.items())
    units = {re.sub(r".*\d", "", words) for _, words in ticks if words}
    unit = units.pop() if len(units) == 1 else ""
    times = 100 if "%" in unit else 1
    whole = "0" + re.sub(r"[^%]+", r'"\g<0>"', unit)
    sections = [f'[>{axis.ends[1]:g}]""'] * (most > axis.ends[1])
    for least, groups in GROUPED:
        points = {words[-4 - len(unit)] for value, words in ticks if value >= least and words}
        sections += [f"[>={least}]0" + f'"{point}"000' * groups + whole[1:] for point in points]
    for (value, words), (after, _) in pairwise(ticks):
        if value < GROUPED[-1][0] and words != f"{value * times:.0f}{unit}":
            # Of two conditions that hold, the first counts.
            sections.append(f'[<{(value + after) / 2:g}]"{words}"')
    if len(sections) > 2:  # noqa: PLR2004 - as many as a format has
        raise DeckError(f"{axis.label}: PowerPoint can't write {', '.join(axis.ticks.values())}")
    return ";".join((*sections, whole))


def _lines(shapes: Any, item: LineChart) -> Any:
    data = XyChartData()
    # LibreOffice draws no line that precedes one of more points.
    guides = [(guide.label, guide.points) for guide in item.guides]
    for label, points in (*item.series.items(), *guides):
        series = data.add_series(label)
        for x, y in points:
            series.add_data_point(x, y)
    kind = XL_CHART_TYPE.XY_SCATTER_LINES if item.marked else XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS
    frame = shapes.add_chart(kind, *map(Pt, item.frame), data)
    chart = frame.chart
    drawn = [*chart.plots[0].series]
    for series, guide in zip(drawn[len(item.series) :], item.guides, strict=True):
        series.smooth = False
        _stroke(series.format.line, guide.colour, guide.width)
        series.marker.style = XL_MARKER_STYLE.NONE
    for series, colour in zip(drawn, item.colours, strict=False):
        series.smooth = False
        _stroke(series.format.line, colour, 2)
        if item.marked:
            series.marker.style, series.marker.size = XL_MARKER_STYLE.CIRCLE, 5
            paint(series.marker.format.fill, colour)
            series.marker.format.line.fill.background()
    _dress(chart, item, item.area)
    labels = [*item.series, *(guide.label for guide in item.guides)]
    _unexplained(chart, [at for at, label in enumerate(labels) if not label or label in labels[:at]])
    below, beside = chart.category_axis, chart.value_axis
    _scale(below, item.across, item.across.ends[1])
    _scale(beside, item.up, item.up.ends[1])
    for axis in (below, beside):
        axis.crosses = XL_AXIS_CROSSES.MINIMUM
    below.has_major_gridlines = False
    _stroke(below.format.line, LINE, 1)
    beside.has_major_gridlines = True
    _stroke(beside.major_gridlines.format.line, PALE, 1)
    beside.format.line.fill.background()
    # The words of an axis at the side would stand upright, or break.
    _entitle(chart, item, item.up.label, (item.frame[0] + 5, item.key[1] + item.key[3] + 0.2 * item.letters))
    _entitle(below, item, item.across.label, _under(item))
    return frame


def _unexplained(chart: Any, series: Sequence[int]) -> None:
    """Leave series out of what says which colour is which."""
    for at in reversed(series):
        left_out = f'<c:legendEntry {nsdecls("c")}><c:idx val="{at}"/><c:delete val="1"/></c:legendEntry>'
        chart.legend._element.find(qn("c:legendPos")).addnext(parse_xml(left_out))


def _bars(shapes: Any, item: BarChart) -> Any:
    # What is written after the bars stands on the plot, whose axis is longer for that than it says.
    left, top, wide, high = item.area
    room = item.frame[0] + item.frame[2] - left
    most = item.across.ends[1] * room / wide
    totals = [sum(parts) for parts in zip(*item.series.values(), strict=True)]
    unseen = {}
    if item.ends:
        unseen[GAP] = [begin - total for begin, total in zip(item.begins, totals, strict=True)]
        unseen[ENDS] = [most - begin for begin in item.begins]
    data = CategoryChartData()
    data.categories = item.names
    for label, values in {**item.series, **unseen}.items():
        data.add_series(label, values)
    frame = shapes.add_chart(XL_CHART_TYPE.BAR_STACKED, *map(Pt, item.frame), data)
    chart = frame.chart
    plot = chart.plots[0]
    plot.gap_width, plot.overlap = round(100 * (1 - BAR) / BAR), 100
    shown, hidden = [*plot.series][: len(item.series)], [*plot.series][len(item.series) :]
    for series, colour in zip(shown, item.colours, strict=True):
        paint(series.format.fill, colour)
        series.invert_if_negative = False
    for name, colour in item.highlighted.items():
        paint(shown[0].points[item.names.index(name)].format.fill, colour)
    for series in hidden:
        series.format.fill.background()
    for place, words in enumerate(item.ends):
        label = hidden[-1].points[place].data_label
        label.text_frame.text = words
        label.position = XL_LABEL_POSITION.INSIDE_BASE
    _dress(chart, item, (left, top, room, high))
    names, lengths = chart.category_axis, chart.value_axis
    names.reverse_order = True
    # The axis below is at the last name.
    lengths._element.crosses.val = XL_AXIS_CROSSES.MAXIMUM
    names.major_tick_mark = XL_TICK_MARK.NONE
    names.format.line.fill.background()
    names.has_major_gridlines = lengths.has_major_gridlines = False
    _scale(lengths, item.across, most)
    # It would go on below the words after the bars.
    lengths.format.line.fill.background()
    _entitle(lengths, item, item.across.label, _under(item))
    return frame


def _dress(chart: Any, item: Chart, area: tuple[float, float, float, float]) -> None:
    """Give a chart its letters, its legend, and its plot the place that it has in the drawing."""
    chart.has_title = False
    chart.font.size = Pt(item.letters)
    paint(chart.font.fill, INK)
    _lay(chart._chartSpace.chart.plotArea, _layout(item, area, inner=True))
    chart.has_legend = item.key[3] > 0
    if chart.has_legend:
        chart.legend.position = XL_LEGEND_POSITION.TOP
        chart.legend.include_in_layout = False
        _lay(chart.legend._element, _layout(item, item.key), after="c:legendPos")


def _scale(axis: Any, of: Axis, most: float) -> None:
    """Give an axis its numbers; those beyond the last of ours are not written."""
    axis.minimum_scale, axis.maximum_scale = of.ends[0], most
    axis.major_tick_mark = axis.minor_tick_mark = XL_TICK_MARK.NONE
    if of.log:
        base = parse_xml(f'<c:logBase {nsdecls("c")} val="{step(of):g}"/>')
        axis._element.find(qn("c:scaling")).insert(0, base)
    axis.major_unit = step(of)
    axis.tick_labels.number_format = number_format(of, most)
    axis.tick_labels.number_format_is_linked = False


def _entitle(of: Any, item: Chart, label: str, at: tuple[float, float]) -> None:
    """Write what a chart or an axis counts at a place."""
    of.has_title = bool(label)
    if not label:
        return
    title = of.chart_title if hasattr(of, "chart_title") else of.axis_title
    frame = title.text_frame
    frame.text = label
    run = frame.paragraphs[0].runs[0]
    run.font.size, run.font.bold = Pt(item.letters), False
    _lay(title._element, _layout(item, (*at, 0, 0)), after="c:tx")


def _under(item: Chart) -> tuple[float, float]:
    """Where the words of the axis below begin."""
    left, top, wide, high = item.area
    return left + (wide - width_of(item.across.label, item.letters)) / 2, top + high + 1.5 * item.letters


def _lay(element: Any, layout: Any, after: str = "") -> None:
    """Give an element a place, in place of the one that it has: after that child, or before all."""
    for stale in element.xpath("c:layout"):
        element.remove(stale)
    if after:
        element.find(qn(after)).addnext(layout)
    else:
        element.insert(0, layout)


def _layout(item: Chart, place: tuple[float, float, float, float], *, inner: bool = False) -> Any:
    """A place on a chart, in points of the slide; without width and height, where it begins."""
    x, y, w, h = item.frame
    shares = {"x": (place[0] - x) / w, "y": (place[1] - y) / h, "w": place[2] / w, "h": place[3] / h}
    told = "".join(
        f'<c:{name} val="{share:.5f}"/>' for name, share in shares.items() if name in "xy" or share
    )
    target = '<c:layoutTarget val="inner"/>' if inner else ""
    return parse_xml(
        f"<c:layout {nsdecls('c')}><c:manualLayout>{target}"
        f'<c:xMode val="edge"/><c:yMode val="edge"/>{told}</c:manualLayout></c:layout>'
    )


def _stroke(line: Any, colour: str, width: float) -> None:
    line.width = Pt(width)
    paint(line.fill, colour)
