"""Presentations: what a person edits is there as PowerPoint has it, and where the PDF has it."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER
from pptx.oxml import parse_xml

from architecture_slides.__main__ import decks
from architecture_slides.typesetting.chart import bars, chart
from architecture_slides.typesetting.connector import bent
from architecture_slides.typesetting.deck import (
    CARD,
    DARK,
    PAPER,
    Arrow,
    Axis,
    Box,
    Deck,
    DeckError,
    Drawing,
    Guide,
    Item,
    Line,
    LineChart,
    Slide,
    Table,
)
from architecture_slides.typesetting.master import CORNER, NOTES
from architecture_slides.typesetting.native import number_format, step
from architecture_slides.typesetting.pdf import pdf
from architecture_slides.typesetting.presentation import presentation

pytestmark = pytest.mark.thorough

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
POINT = 12_700
LANGUAGES = {"es": "es-CL", "en": "en-GB"}


@pytest.fixture(scope="module")
def made() -> dict[str, Deck]:
    return decks()


@pytest.fixture(scope="module", params=["limpiapp", "implementation.en"])
def deck(request: pytest.FixtureRequest, made: dict[str, Deck]) -> Deck:
    return made[request.param]


@pytest.fixture(scope="module")
def packed(deck: Deck) -> bytes:
    return presentation(deck)


def of(*items: Item, cover: bool = False) -> bytes:
    return presentation(Deck("a deck", "en", (Slide("a title", items, source="a source", cover=cover),)))


def opened(packed: bytes) -> Any:
    return Presentation(io.BytesIO(packed))


def parts(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as read:
        return {name: read.read(name) for name in read.namelist()}


def trees(packed: bytes) -> Iterator[tuple[str, Any]]:
    for name, part in parts(packed).items():
        if name.endswith((".xml", ".rels")):
            yield name, parse_xml(part)


def path(line: Any) -> list[tuple[float, float]]:
    """Where a connector or a freeform goes, in points, as the standard defines the presets."""
    frame = line.find(f"{P}spPr/{A}xfrm")
    x, y = (int(frame.find(f"{A}off").get(name)) / POINT for name in "xy")
    w, h = (int(frame.find(f"{A}ext").get(name)) / POINT for name in ("cx", "cy"))
    preset = line.find(f"{P}spPr/{A}prstGeom")
    if preset is None:
        drawn = line.iter(f"{A}pt")
        return [(x + int(each.get("x")) / POINT, y + int(each.get("y")) / POINT) for each in drawn]
    adjusted = [int(each.get("fmla").removeprefix("val ")) / 100_000 for each in preset.iter(f"{A}gd")]
    points = [(0.0, 0.0)]
    for place, share in enumerate(adjusted):
        points.append((points[-1][0], share * h) if place % 2 else (share * w, points[-1][1]))
    if preset.get("prst") != "straightConnector1":
        points.append((w, points[-1][1]) if len(adjusted) % 2 == 0 else (points[-1][0], h))
    points.append((w, h))
    flipped = [(-1 if frame.get(name) == "1" else 1) for name in ("flipH", "flipV")]
    turn = math.radians(int(frame.get("rot", 0)) / 60_000)
    placed = []
    for px, py in points:
        fx, fy = (px - w / 2) * flipped[0], (py - h / 2) * flipped[1]
        rx, ry = fx * math.cos(turn) - fy * math.sin(turn), fx * math.sin(turn) + fy * math.cos(turn)
        placed.append((x + w / 2 + rx, y + h / 2 + ry))
    return placed


def site(shape: Any, index: int) -> tuple[float, float]:
    """Where a shape can be glued to, in points."""
    x, y, w, h = (each / POINT for each in (shape.left, shape.top, shape.width, shape.height))
    if index < 4:
        return [(x + w / 2, y), (x, y + h / 2), (x + w / 2, y + h), (x + w, y + h / 2)][index]
    guides = {each.get("name"): each.get("fmla").split() for each in shape._element.iter(f"{A}gd")}
    at = shape._element.findall(f".//{A}cxn/{A}pos")[index]
    shares = [int(guides[at.get(name)][1]) / int(guides[at.get(name)][3]) for name in "xy"]
    return x + shares[0] * w, y + shares[1] * h


def test_layouts_are_ours_and_only_ours(packed: bytes, deck: Deck) -> None:
    names = {
        "es": ["Portada", "Página principal", "Página del anexo"],
        "en": ["Cover", "Main page", "Annex page"],
    }[deck.language]
    (master,) = opened(packed).slide_masters
    assert [layout.name for layout in master.slide_layouts] == names
    files = {name for name in parts(packed) if "/slideLayouts/slideLayout" in name}
    assert files == {f"ppt/slideLayouts/slideLayout{place}.xml" for place in (1, 2, 3)}
    for page, slide in zip(opened(packed).slides, deck.slides, strict=True):
        assert page.slide_layout.name == names[0 if slide.cover else 1 if slide.main else 2]
        assert page._element.find(f"{P}cSld/{P}bg") is None
    theme = parse_xml(parts(packed)["ppt/theme/theme1.xml"])
    assert {each.get("typeface") for each in theme.iter(f"{A}latin")} == {"Lato"}
    assert theme.find(f".//{A}dk2/{A}srgbClr").get("val") == DARK[1:]


def test_titles_numbers_sources_and_notes_are_placeholders(packed: bytes, deck: Deck) -> None:
    for number, (page, slide) in enumerate(zip(opened(packed).slides, deck.slides, strict=True), 1):
        held = {shape.placeholder_format.type: shape for shape in page.placeholders}
        assert held[PP_PLACEHOLDER.TITLE].text == slide.title
        fields = page._element.findall(f".//{A}fld")
        if slide.cover:
            assert fields == []
        else:
            assert [(each.get("type"), each.findtext(f"{A}t")) for each in fields] == [
                ("slidenum", str(number))
            ]
            assert held[PP_PLACEHOLDER.FOOTER].text == slide.source
        boxes = [
            item
            for item in slide.items
            if isinstance(item, Box) and item.room == CARD and item.head + item.text
        ]
        cards = [shape for shape in page.placeholders if shape.placeholder_format.idx in NOTES]
        for shape, box in zip(cards, boxes[: len(NOTES)], strict=True):
            place = [each / POINT for each in (shape.left, shape.top, shape.width, shape.height)]
            assert place == pytest.approx([box.x, box.y, box.w, box.h], abs=0.001)
        corners = [shape.text for shape in page.placeholders if shape.placeholder_format.idx == CORNER]
        assert corners == [slide.corner] * bool(slide.corner)


def test_a_point_is_powerpoints_own_and_a_card_has_room() -> None:
    card = Box(40, 100, 400, 90, "head", "• one\n• two", 16, "#e6eef5")
    (page,) = opened(of(card)).slides
    shape = page.placeholders[21]
    assert [paragraph.text for paragraph in shape.text_frame.paragraphs] == ["head", "one", "two"]
    assert len(shape._element.findall(f".//{A}buChar")) == 2
    assert card.room == CARD
    assert shape.text_frame.margin_left == CARD[0] * POINT


@pytest.mark.parametrize(
    ("box", "card"),
    [
        (Box(0, 0, 200, 90, text="words", fill="#e6eef5"), True),
        (Box(0, 0, 200, 90, text="words"), False),
        (Box(0, 0, 200, 90, text="words", fill=None), False),
        (Box(0, 0, 200, 90, text="words", outline=DARK), True),
        (Box(0, 0, 200, 20, text="words", fill="#e6eef5"), False),
        (Box(0, 0, 200, 90, text="words", fill="#e6eef5", align="center"), False),
    ],
    ids=["on a ground", "on paper", "on no ground", "in a frame", "of one line", "centred"],
)
def test_only_a_card_has_the_room_of_one(box: Box, card: bool) -> None:
    assert (box.room == CARD) is card


def test_what_lies_beneath_a_box_without_ground_is_seen() -> None:
    (page,) = opened(of(*(Box(40, 100, 200, 60, text="words", fill=fill) for fill in (PAPER, None)))).slides
    boxes = [shape for shape in page.shapes if shape.has_text_frame and shape.text == "words"]
    assert [box._element.spPr.find(f"{A}noFill") is not None for box in boxes] == [False, True]


def test_a_box_may_have_a_frame_of_a_line_or_of_dashes() -> None:
    label = Box(40, 100, 200, 60, text="words", align="center")
    boxes = label, replace(label, outline=DARK), replace(label, outline="#c9820a", dashed=True)
    (page,) = opened(of(*boxes)).slides
    none, line, dashes = (each._element.spPr.find(f"{A}ln") for each in page.shapes if each.name == "words")
    assert none.find(f"{A}noFill") is not None
    assert [int(each.get("w")) for each in (line, dashes)] == [1.25 * POINT] * 2
    assert [each.find(f"{A}prstDash").get("val") for each in (line, dashes)] == ["solid", "dash"]
    assert line.find(f"{A}solidFill/{A}schemeClr").get("val") == "tx2"
    assert dashes.find(f"{A}solidFill/{A}srgbClr").get("val") == "C9820A"


@pytest.mark.parametrize("text", ["words", ""], ids=["with words", "without"])
def test_only_boxes_with_words_have_round_corners(text: str) -> None:
    box = Box(40, 100, 200, 60, text=text, fill="#dff0e3", align="center")
    (page,) = opened(of(box)).slides
    drawn = {each.get("prst") for each in page._element.iter(f"{A}prstGeom")}
    assert drawn == ({"roundRect"} if text else {"rect"})
    glued = Drawing("a box", (box, Arrow(((240, 110), (300, 110)))))
    (page,) = opened(of(glued)).slides
    assert len([*page._element.iter(f"{A}arcTo")]) == (4 if text else 0)


def test_a_card_without_words_is_a_shape_for_a_placeholder_without_any_is_not_shown() -> None:
    (page,) = opened(of(Box(40, 100, 200, 90, fill="#e6eef5"))).slides
    assert not [shape for shape in page.placeholders if shape.placeholder_format.idx in NOTES]
    assert [shape.width for shape in page.shapes if not shape.is_placeholder] == [200 * POINT]


def test_words_stand_above_the_ground_that_comes_before_them() -> None:
    ground = Box(40, 100, 200, 90, fill="#e6eef5")
    (page,) = opened(of(ground, replace(ground, text="words"))).slides
    names = [shape.text_frame.text for shape in page.shapes if shape.width == 200 * POINT]
    assert names == ["", "words"]


def test_code_has_letters_that_are_all_as_wide() -> None:
    code = Box(40, 100, 200, 60, text="{}", mono=True)
    (page,) = opened(of(code)).slides
    assert [each.get("typeface") for each in page._element.iter(f"{A}latin")] == ["Consolas"]
    assert b"DejaVuSansMono" in pdf(Deck("a deck", "en", (Slide("a title", (code,)),)))


def test_a_label_of_one_line_never_breaks_and_longer_ones_have_more_room_than_in_the_pdf() -> None:
    label = Box(40, 100, 60, 60, text="two words", align="center")
    boxes = [label, replace(label, w=90), replace(label, align="left"), replace(label, align="right")]
    (page,) = opened(of(*boxes)).slides
    frames = [shape.text_frame for shape in page.shapes if shape.name == "two words"]
    assert [frame.word_wrap for frame in frames] == [True, False, True, True]
    sides = [(frame.margin_left / POINT, frame.margin_right / POINT) for frame in frames]
    assert sides == [(1, 1), (1, 1), (5, 2.5), (2.5, 5)]


def test_rows_of_a_table_are_as_high_as_in_the_pdf_and_lines_do_not_make_them_grow() -> None:
    table = Table(40, 100, 60, (100, 200), (("head", "another"), ("one", "two\nthree")), 10)
    (page,) = opened(of(table)).slides
    (frame,) = [shape for shape in page.shapes if shape.has_table]
    assert [row.height / POINT for row in frame.table.rows] == pytest.approx(table.heights, abs=0.001)
    for row in frame.table.rows:
        for cell in row.cells:
            paragraphs = cell.text_frame.paragraphs
            lines = sum(paragraph.line_spacing for paragraph in paragraphs)
            assert cell.margin_top + lines + cell.margin_bottom <= row.height
            assert {paragraph.space_after for paragraph in paragraphs} == {None}


@pytest.mark.parametrize(
    ("points", "name"),
    [
        (((0, 0), (50, 20)), "straightConnector1"),
        (((50, 20), (0, 20)), "straightConnector1"),
        (((10, 10), (60, 10), (60, 50)), "bentConnector2"),
        (((60, 50), (60, 10), (10, 10)), "bentConnector2"),
        (((10, 10), (10, 30), (70, 30), (70, 60)), "bentConnector3"),
        (((70, 60), (40, 60), (40, 10), (10, 10)), "bentConnector3"),
        (((10, 60), (30, 60), (30, 20), (50, 20), (50, 10)), "bentConnector4"),
        (((10, 10), (10, 20), (30, 20), (30, 40), (50, 40), (50, 90)), "bentConnector5"),
        (((10, 10), (10, 30), (10, 50), (70, 50)), "bentConnector2"),
    ],
)
def test_a_line_with_right_corners_is_one_connector_that_goes_where_it_was_drawn(
    points: tuple[tuple[float, float], ...], name: str
) -> None:
    found = bent(points)
    assert found is not None
    assert found.name == name
    (page,) = opened(of(Drawing("a line", (Arrow(points),)))).slides
    (line,) = page._element.iter(f"{P}cxnSp")
    corners = [point for point in points if point != (10, 30) or name != "bentConnector2"]
    assert path(line) == [pytest.approx(point, abs=0.02) for point in corners]


@pytest.mark.parametrize(
    "points",
    [((0, 0), (30, 0), (60, 40)), ((10, 10), (10, 60), (90, 60), (90, 10))],
    ids=["a slant", "a loop"],
)
def test_a_line_without_a_connector_of_its_shape_is_one_freeform_with_a_head(
    points: tuple[tuple[float, float], ...],
) -> None:
    (page,) = opened(of(Drawing("a line", (Arrow(points),)))).slides
    assert [*page._element.iter(f"{P}cxnSp")] == []
    (line,) = [each for each in page._element.iter(f"{P}sp") if each.find(f".//{A}custGeom") is not None]
    assert path(line) == [pytest.approx(point, abs=0.01) for point in points]
    assert line.find(f".//{A}tailEnd").get("type") == "triangle"


def test_arrows_are_glued_to_the_boxes_that_they_touch_and_stay_where_they_were_drawn(
    packed: bytes, deck: Deck
) -> None:
    glued = 0
    for page, slide in zip(opened(packed).slides, deck.slides, strict=True):
        drawings = {item.alt: item for item in slide.items if isinstance(item, Drawing)}
        groups = {
            shape._element.nvGrpSpPr.cNvPr.get("descr"): shape
            for shape in page.shapes
            if shape.shape_type == MSO_SHAPE_TYPE.GROUP
        }
        for alt, drawing in drawings.items():
            group = groups[alt]
            shapes = {shape.shape_id: shape for shape in group.shapes}
            assert len(shapes) == len(drawing.items)
            for part, shape in zip(drawing.items, group.shapes, strict=True):
                if isinstance(part, Box):
                    continue
                ends = path(shape._element)
                assert [ends[0], ends[-1]] == [
                    pytest.approx(point, abs=0.02) for point in (part.points[0], part.points[-1])
                ]
                if isinstance(part, Line) or shape._element.tag != f"{P}cxnSp":
                    continue
                for name, end in (("stCxn", part.points[0]), ("endCxn", part.points[-1])):
                    touched = [
                        box
                        for box in drawing.items
                        if isinstance(box, Box) and box.seen and touches(box, end)
                    ]
                    found = shape._element.find(f".//{A}{name}")
                    assert (found is not None) is bool(touched)
                    if found is not None:
                        glued += 1
                        at = site(shapes[int(found.get("id"))], int(found.get("idx")))
                        assert at == pytest.approx(end, abs=1.01)
    assert glued > 20


def touches(box: Box, end: tuple[float, float]) -> bool:
    x, y = end
    inside = box.x - 1 <= x <= box.x + box.w + 1 and box.y - 1 <= y <= box.y + box.h + 1
    return inside and min(abs(x - box.x), abs(x - box.x - box.w), abs(y - box.y), abs(y - box.y - box.h)) <= 1


def test_charts_are_native_with_the_numbers_of_the_deck(made: dict[str, Deck]) -> None:
    shown = 0
    deck = made["implementation"]
    for page, slide in zip(opened(presentation(deck)).slides, deck.slides, strict=True):
        charts = [shape for shape in page.shapes if shape.has_chart]
        items = [item for item in slide.items if isinstance(item, LineChart)]
        for shape, item in zip(charts, items, strict=True):
            shown += 1
            assert shape._element.nvGraphicFramePr.cNvPr.get("descr") == item.drawing.alt
            (plot,) = shape.chart.plots
            labels = [guide.label for guide in item.guides]
            assert [series.name for series in plot.series] == [*item.series, *labels]
            drawn = [*item.series.values(), *(guide.points for guide in item.guides)]
            for series, points in zip(plot.series, drawn, strict=True):
                across = [float(each.text) for each in series._element.findall(".//{*}xVal//{*}v")]
                assert [*zip(across, series.values, strict=True)] == [
                    pytest.approx(point) for point in points
                ]
            for axis, of_item in (
                (shape.chart.category_axis, item.across),
                (shape.chart.value_axis, item.up),
            ):
                assert (axis.minimum_scale, axis.maximum_scale) == of_item.ends
                assert (axis._element.find("{*}scaling/{*}logBase") is not None) is of_item.log
    assert shown >= 5


def test_guides_of_one_label_are_explained_once_and_those_without_one_never() -> None:
    axis = Axis("x", {0: "0", 5: "5", 10: "10"})
    up, flat = ((5, 0), (5, 10)), ((0, 5), (10, 5))
    guides = [Guide("", up, "#12466b"), Guide("a", up, "#12466b"), Guide("a", flat, "#12466b", 1)]
    item = chart(
        {"s": [(0, 0), (5, 2), (10, 10)]}, axis, axis, at=(40, 100), size=(400, 300), alt="a", guides=guides
    )
    (page,) = opened(presentation(Deck("", "en", (Slide("", (item,)),)))).slides
    (shape,) = (shape for shape in page.shapes if shape.has_chart)
    left_out = shape.chart.legend._element.findall("{*}legendEntry")
    # The series is the first.
    assert [entry.find("{*}idx").get("val") for entry in left_out] == ["1", "3"]
    assert [series.format.line.width.pt for series in shape.chart.plots[0].series] == [2, 1.5, 1.5, 1]
    told = [part.text for part in item.drawing.items if isinstance(part, Box)]
    assert [text for text in told if text in ("s", "a")] == ["s", "a"]


def test_the_last_number_of_an_axis_is_within_the_chart() -> None:
    across, up = Axis("", {0: "0", 1: "100.000.000"}), Axis("", {0: "0", 1: "1"})
    item = chart({"a": [(1, 1)]}, across, up, at=(40, 100), size=(400, 300), alt="a", letters=14)
    (last,) = [part for part in item.drawing.items if isinstance(part, Box) and part.text == "100.000.000"]
    assert last.x + last.w - 6 <= 440 < last.x + last.w
    assert item.area[0] + item.area[2] == pytest.approx(last.x + last.w / 2)


def stacked(**given: Any) -> Any:
    axis = Axis("minutes", {0: "0", 60: "60", 120: "120"})
    parts = {"wait": [10, 30], "work": [20, 40]}
    return bars(["one", "two"], parts, axis, at=(40, 100), size=(600, 300), alt="bars", **given)


def test_bars_are_a_native_chart_with_a_marker_and_words_at_their_ends() -> None:
    item = stacked(ends=["30 min", "70 min"], marker=(100, "SLA"), letters=16)
    (page,) = opened(of(item)).slides
    (group,) = [shape for shape in page.shapes if shape.shape_type == MSO_SHAPE_TYPE.GROUP]
    frame, line, label = group.shapes
    plot = frame.chart.plots[0]
    assert [*plot.categories] == ["one", "two"]
    values = {series.name: [*series.values] for series in plot.series}
    assert (values["wait"], values["work"]) == ([10, 30], [20, 40])
    most = frame.chart.value_axis.maximum_scale
    assert [sum(stack) for stack in zip(*values.values(), strict=True)] == pytest.approx([most, most])
    texts = [plot.series[-1].points[place].data_label.text_frame.text for place in (0, 1)]
    assert texts == ["30 min", "70 min"]
    assert label.text_frame.text == "SLA"
    # The marker stands where the plot has its value.
    layout = frame.chart._chartSpace.find(".//{*}plotArea/{*}layout/{*}manualLayout")
    x, w = (
        float(layout.find(f"{{*}}{name}").get("val")) * frame.width + frame.left * (name == "x")
        for name in "xw"
    )
    assert line.left == pytest.approx(x + w * 100 / most, abs=0.05 * POINT)
    assert frame.chart.font.size.pt == 16


def test_words_after_a_bar_stand_at_its_end_unless_they_would_cross_the_marker() -> None:
    item = stacked(ends=["30 min", "70 min"], marker=(80, "SLA"), letters=16)
    left, _, wide, _ = item.area
    labels = [part for part in item.drawing.items if isinstance(part, Box) and part.text in item.ends]
    assert [label.x for label in labels] == pytest.approx(
        [left + wide * 30 / 120, left + wide * 80 / 120 + 5]
    )
    assert item.begins == pytest.approx([30, 80 + 5 / wide * 120])
    assert labels[1].x + labels[1].w <= 640
    (page,) = opened(of(item)).slides
    (group,) = [shape for shape in page.shapes if shape.shape_type == MSO_SHAPE_TYPE.GROUP]
    chart = group.shapes[0].chart
    assert [*chart.plots[0].series[2].values] == pytest.approx([0, 10 + 5 / wide * 120])
    assert chart.value_axis._element.find(f"{{*}}spPr/{A}ln/{A}noFill") is not None


def test_one_bar_may_have_another_colour() -> None:
    axis = Axis("times", {0: "0", 5: "5", 10: "10"})
    item = bars(
        ["ours", "other"],
        {"ratio": [1, 7]},
        axis,
        at=(40, 100),
        size=(600, 200),
        alt="ratios",
        highlighted={"ours": "#c2571a"},
    )
    fills = [part.fill for part in item.drawing.items if isinstance(part, Box) and not part.text]
    assert fills == ["#c2571a", DARK]
    (page,) = opened(of(item)).slides
    (frame,) = [shape for shape in page.shapes if shape.has_chart]
    assert not frame.chart.has_legend
    assert frame.chart.plots[0].series[0]._element.find("{*}dPt/{*}idx").get("val") == "0"


def test_bars_that_can_not_be_drawn_are_refused() -> None:
    with pytest.raises(DeckError, match="minutes: 2 bars need as many lengths and ends"):
        stacked(ends=["30 min"])
    with pytest.raises(DeckError, match="minutes: 130 is beyond the axis, 0 to 120"):
        stacked(marker=(130, "SLA"))
    log = Axis("rows", {1: "1", 10: "10"}, log=True)
    with pytest.raises(DeckError, match="rows: an axis of bars begins at 0 and is not logarithmic"):
        bars(["one"], {"a": [1]}, log, at=(0, 0), size=(100, 100), alt="bars")


def test_powerpoint_counts_an_axis_so_that_all_of_our_numbers_are_written() -> None:
    assert step(Axis("", {0: "0", 0.25: "0.25", 1: "1"})) == 0.25
    assert step(Axis("", {1: "1", 8: "8", 32: "32"}, log=True)) == 2
    assert step(Axis("", {0.01: "0.01", 1: "1", 100: "100"}, log=True)) == 10
    odd = Axis("rows", {1: "1", 3: "3", 5: "5"}, log=True)
    with pytest.raises(DeckError, match="rows: PowerPoint has no axis with 1, 3, 5"):
        step(odd)
    item = chart({"a": [(1, 1)]}, odd, Axis("", {0: "0", 1: "1"}), at=(40, 100), size=(400, 300), alt="a")
    with pytest.raises(DeckError, match="rows: PowerPoint has no axis"):
        of(item)


@pytest.mark.parametrize(
    ("ticks", "most", "written"),
    [
        ({0: "0", 2: "2"}, 2, "0"),
        ({0: "0", 500: "500", 1000: "1.000"}, 1000, '[>=1000]0"."000;0'),
        ({0: "0", 6000: "6.000", 12000: "12.000"}, 14000, '[>12000]"";[>=1000]0"."000;0'),
        ({1: "1", 1000: "1,000", 10**6: "1,000,000"}, 10**6, '[>=1000000]0","000","000;[>=1000]0","000;0'),
        ({0.01: "0,01", 0.1: "0,1", 1: "1", 10: "10"}, 10, '[<0.055]"0,01";[<0.55]"0,1";0'),
        ({0: "", 0.5: "50\u00a0%", 1: "100\u00a0%"}, 1, '[<0.25]"";0"\u00a0"%'),
        ({0: "0 ms", 1000: "1.000 ms", 2000: "2.000 ms"}, 2000, '[>=1000]0"."000" ms";0" ms"'),
    ],
)
def test_an_axis_is_written_as_in_the_language_of_the_deck_wherever_it_is_seen(
    ticks: dict[float, str], most: float, written: str
) -> None:
    assert number_format(Axis("", ticks), most) == written


def test_numbers_that_powerpoint_would_write_as_its_viewer_does_are_refused() -> None:
    fifths = {each / 5: f"0,{2 * each}" for each in range(5)}
    with pytest.raises(DeckError, match="share: PowerPoint can't write 0,0, 0,2, 0,4, 0,6, 0,8"):
        number_format(Axis("share", fifths), 0.8)


def test_the_file_says_what_it_is_and_nothing_of_the_template_is_left(packed: bytes, deck: Deck) -> None:
    about = opened(packed).core_properties
    assert (about.title, about.subject) == (deck.title, deck.slides[0].title)
    assert (about.author, about.last_modified_by) == ("propensity-bento", "propensity-bento")
    assert about.language == LANGUAGES[deck.language]
    assert about.keywords
    assert about.category
    written = parts(packed)
    assert not [name for name in written if "thumbnail" in name or "printerSettings" in name]
    for name, part in written.items():
        found = re.search(
            rb"python-pptx|Microsoft Macintosh|PowerPoint Presentation|Office Theme|Calibri|Steve", part
        )
        assert found is None, (name, found)


def test_every_word_has_the_language_of_the_deck(packed: bytes, deck: Deck) -> None:
    for name, tree in trees(packed):
        if "/charts/chart" in name:
            assert tree.find(f"{CHART}lang").get("val") == LANGUAGES[deck.language]
        runs = [*tree.iter(f"{A}r", f"{A}fld")]
        assert {run.find(f"{A}rPr").get("lang") for run in runs} <= {LANGUAGES[deck.language]}, name
        languages = {each.get("lang") for each in tree.iter(f"{A}defRPr", f"{A}endParaRPr")}
        assert languages <= {LANGUAGES[deck.language]}, name


def test_what_is_said_is_in_the_notes_whose_master_the_presentation_names(made: dict[str, Deck]) -> None:
    packed = presentation(made["limpiapp"])
    root = parse_xml(parts(packed)["ppt/presentation.xml"])
    order = [child.tag.rpartition("}")[2] for child in root]
    assert order[:4] == ["sldMasterIdLst", "notesMasterIdLst", "sldIdLst", "sldSz"]
    page = opened(packed).slides[0]
    assert page.notes_slide.notes_text_frame.text == made["limpiapp"].slides[0].said


def test_a_presentation_with_charts_is_the_same_bytes_each_time_also_of_its_workbooks() -> None:
    first, second = of(stacked(ends=["30", "70"])), of(stacked(ends=["30", "70"]))
    assert first == second
    (sheet,) = [part for name, part in parts(first).items() if name.endswith(".xlsx")]
    with zipfile.ZipFile(io.BytesIO(sheet)) as read:
        assert b"2026-01-01T00:00:00Z" in read.read("docProps/core.xml")
        assert {each.date_time[0] for each in read.infolist()} == {2026}


ORDERS = {
    f"{A}ln": "noFill solidFill gradFill pattFill prstDash custDash round bevel miter headEnd tailEnd extLst",
    f"{A}rPr": "ln noFill solidFill effectLst highlight latin ea cs sym hlinkClick",
    f"{A}pPr": "lnSpc spcBef spcAft buClr buSzPct buFont buNone buAutoNum buChar tabLst defRPr extLst",
    f"{A}lvl1pPr": "lnSpc spcBef spcAft buClr buFont buNone buChar tabLst defRPr",
    f"{P}spPr": "xfrm custGeom prstGeom noFill solidFill ln effectLst",
    f"{A}custGeom": "avLst gdLst ahLst cxnLst rect pathLst",
    f"{P}cNvCxnSpPr": "cxnSpLocks stCxn endCxn",
    f"{A}tcPr": "lnL lnR lnT lnB noFill solidFill",
    f"{A}bodyPr": "prstTxWarp noAutofit normAutofit spAutoFit",
}
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
ORDERS |= {
    f"{CHART}chartSpace": "date1904 lang roundedCorners style chart spPr txPr externalData",
    f"{CHART}chart": "title autoTitleDeleted plotArea legend plotVisOnly dispBlanksAs showDLblsOverMax",
    f"{CHART}scaling": "logBase orientation max min",
    f"{CHART}legend": "legendPos legendEntry layout overlay spPr txPr",
    f"{CHART}title": "tx layout overlay spPr txPr",
    f"{CHART}catAx": "axId scaling delete axPos majorGridlines title numFmt majorTickMark minorTickMark "
    "tickLblPos spPr txPr crossAx crosses auto lblAlgn lblOffset noMultiLvlLbl",
    f"{CHART}valAx": "axId scaling delete axPos majorGridlines title numFmt majorTickMark minorTickMark "
    "tickLblPos spPr txPr crossAx crosses crossBetween majorUnit",
    f"{CHART}barChart": "barDir grouping varyColors ser dLbls gapWidth overlap axId",
    f"{CHART}ser": "idx order tx spPr invertIfNegative marker dPt dLbls cat val xVal yVal smooth",
}
"""Children of elements in the order of the schema: PowerPoint refuses a file that has another."""


def test_elements_stand_in_the_order_of_the_schema_and_ids_are_used_once(packed: bytes) -> None:
    charts = of(stacked(ends=["30", "70"], marker=(100, "SLA")))
    for name, tree in [*trees(packed), *trees(charts)]:
        for element in tree.iter(*ORDERS):
            order = ORDERS[element.tag].split()
            places = [order.index(child.tag.rpartition("}")[2]) for child in element]
            assert places == sorted(places), (name, element.tag)
        if "/slides/" in name or "/slideLayouts/" in name or "/slideMasters/" in name:
            identities = [each.get("id") for each in tree.iter(f"{P}cNvPr")]
            assert len(identities) == len({*identities}), name


def test_every_relation_leads_to_a_part_and_every_part_has_a_type(packed: bytes) -> None:
    written = parts(packed)
    types = parse_xml(written["[Content_Types].xml"])
    named = {each.get("PartName", "").lstrip("/") for each in types}
    endings = {each.get("Extension") for each in types}
    for name in {*written} - {"[Content_Types].xml"}:
        assert name in named or name.rpartition(".")[2] in endings
    assert named - {""} <= {*written}
