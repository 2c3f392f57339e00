"""Decks: what can't be read ends their build, and the same deck is the same bytes."""

from __future__ import annotations

import re

import pytest

from architecture_slides.typesetting.chart import COLOURS, Axis
from architecture_slides.typesetting.deck import (
    DARK,
    PAPER,
    Box,
    Deck,
    DeckError,
    Drawing,
    Slide,
    contrast,
    lines,
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
        (Box(40, 100, 200, 20, text="many words " * 20), "en slide 1 (a title): "),
        (Box(40, 100, 60, 60, text="incomprehensibility"), '"incomprehensibility" is'),
    ],
    ids=["small letters", "weak contrast", "too much text", "too long a word"],
)
def test_what_can_not_be_read_ends_the_build(box: Box, said: str) -> None:
    with pytest.raises(DeckError, match=re.escape(said)):
        pdf(deck(box))


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
