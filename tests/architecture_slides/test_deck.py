"""Decks: what can't be read ends their build, and the same deck is the same bytes."""

from __future__ import annotations

import re
import zlib
from contextlib import nullcontext
from dataclasses import replace

import pytest

from architecture_slides.typesetting.chart import COLOURS
from architecture_slides.typesetting.content import Note, Text, Words
from architecture_slides.typesetting.deck import (
    APART,
    BETWEEN,
    CAPITALS,
    CARD,
    CELL,
    DARK,
    PAPER,
    Axis,
    Box,
    Deck,
    DeckError,
    Drawing,
    Item,
    Slide,
    Table,
    check,
    contrast,
    lines,
    notes,
)
from architecture_slides.typesetting.pdf import pdf
from architecture_slides.typesetting.presentation import presentation

pytestmark = pytest.mark.thorough


def deck(box: Box) -> Deck:
    return Deck("a deck", "en", (Slide("a title", (Drawing("a box", (box,)),)),))


def test_a_deck_is_the_same_bytes_each_time() -> None:
    given = deck(Box(40, 100, 200, 60, "head", "text", fill=DARK, ink=PAPER))
    assert pdf(given).startswith(b"%PDF-")
    assert pdf(given) == pdf(given)
    assert presentation(given) == presentation(given)


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (Box(40, 100, 200, 60, text="words", size=9), "9 pt is smaller than 10 pt"),
        (Box(40, 100, 200, 60, text="words", fill=DARK), "has a contrast of 1.5 only"),
        (Box(40, 100, 200, 60, text="words", fill=None, ink=PAPER), "on #ffffff has a contrast of 1.0 only"),
        (Box(40, 100, 200, 20, text="many words " * 20), "en slide 1 (a title): "),
        (Box(40, 100, 60, 60, text="incomprehensibility"), '"incomprehensibility" is'),
    ],
    ids=["small letters", "weak contrast", "weak contrast with the page", "too much text", "too long a word"],
)
def test_what_can_not_be_read_ends_the_build(box: Box, said: str) -> None:
    with pytest.raises(DeckError, match=re.escape(said)):
        pdf(deck(box))


def drawn(box: Box) -> str:
    """What the PDF has for a page with a box, and for the bar that every page has."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf(deck(box)), re.DOTALL)
    inflated = [zlib.decompress(each) if each.startswith(b"x") else each for each in streams]
    (page,) = [each.decode() for each in inflated if b"BDC" in each]
    return page


def test_a_box_is_drawn_with_its_ground_and_its_frame() -> None:
    place = (40, 100, 200, 60)
    grounds = [drawn(Box(*place, fill=fill)).count("\nf\n") for fill in (PAPER, None)]
    assert grounds == [2, 1]
    rounded, square = (drawn(Box(*place, text=text)) for text in ("words", ""))
    assert [len(re.findall(r" c\s", each)) for each in (rounded, square)] == [4, 0]
    label = Box(*place, text="words")
    frames = [
        drawn(each)
        for each in (label, replace(label, outline=DARK), replace(label, outline=DARK, dashed=True))
    ]
    assert [frame.count("\nS\n") for frame in frames] == [0, 1, 1]
    assert [frame.count("1.25 w") for frame in frames] == [0, 1, 1]
    assert ["[5 3.75]" in frame for frame in frames] == [False, False, True]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Box(40, 100, 800, 60, text="words", size=13), "13 pt is smaller than 14 pt"),
        (Box(40, 100, 800, 300, text="many words " * 30, size=14), "62 words, 60 are allowed"),
        (Table(40, 100, 200, (100,), (("head",), ("cell",)), 14), "a table belongs in the annex"),
    ],
    ids=["small letters", "too many words", "a table"],
)
def test_a_main_page_is_to_be_shown_and_not_read(item: Item, said: str) -> None:
    page = Slide("a title", (item,), main=True)
    with pytest.raises(DeckError, match=re.escape(said)):
        check(Deck("a deck", "en", (page,)))
    check(Deck("a deck", "en", (Slide("a title", (item,)),)))


def test_a_table_that_is_too_high_ends_the_build() -> None:
    rows = (("head", "another"), ("one\ntwo", "three"))
    texts = 10 * (CAPITALS + 2 * CAPITALS + BETWEEN)
    low = Table(40, 100, texts + 4 * CELL[0], (200, 200), rows, 10)
    high = replace(low, h=400)
    for table, room in ((low, CELL[0]), (high, CELL[1])):
        assert table.heights == pytest.approx(
            [10 * CAPITALS + 2 * room, 10 * (2 * CAPITALS + BETWEEN) + 2 * room]
        )
        assert pdf(Deck("a deck", "en", (Slide("a title", (table,)),))).startswith(b"%PDF-")
    with pytest.raises(DeckError, match=re.escape("slide 1 ('a title'): a table is 39 pt high and has 38")):
        check(Deck("a deck", "en", (Slide("a title", (replace(low, h=38),)),)))


def test_notes_are_as_high_as_the_longest_of_them_and_no_higher() -> None:
    text = Text(es="un punto con palabras que ocupan más de una línea", en="a point")
    told = [Note(head=text, points=[text] * count) for count in (1, 3)]
    words = Words("en", {}, {})
    boxes = notes(told, words, y=100, h=400, size=16)
    high = 16 * (4 * CAPITALS + 3 * APART) + 2 * CARD[1]
    assert [box.h for box in boxes] == pytest.approx([high, high])
    for fits in (True, False):
        given = Deck("a deck", "en", (Slide("a title", (replace(boxes[1], h=high - 0.5 * (not fits)),)),))
        with nullcontext() if fits else pytest.raises(DeckError, match="a point"):
            pdf(given)


def test_words_of_a_picture_and_signs_that_stand_alone_are_not_counted() -> None:
    label = Box(40, 100, 200, 60, text="a label of the picture")
    page = Slide("two words", (Drawing("a box", (label,)), Box(0, 0, 9, 9, "• three", "→ 5 %")))
    assert page.words == 4


def test_a_point_beyond_an_axis_is_refused() -> None:
    axis = Axis("rows", {1: "1", 100: "100"}, log=True)
    assert [axis.share(each) for each in (1, 10, 100)] == [0, 0.5, 1]
    with pytest.raises(DeckError, match="rows: 101 is beyond the axis, 1 to 100"):
        axis.share(101)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert min(contrast(colour, PAPER) for colour in COLOURS) > 3


def test_lines_are_counted_as_they_break() -> None:
    assert [lines(text, 12, 100) for text in ("", "one", "one\ntwo")] == [0, 1, 2]
    assert lines("several words that take more than one line", 12, 100) == 3
    assert lines("several words that take more than one line", 12, 800) == 1
