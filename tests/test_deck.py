"""Decks: what can't be read ends their build, and the same deck is the same bytes."""

from __future__ import annotations

import re

import pytest

from architecture_slides.deck import DARK, PAPER, Box, Deck, DeckError, Drawing, Slide, pdf, pptx


def deck(box: Box) -> Deck:
    return Deck("a deck", "en", (Slide("a title", (Drawing("a box", (box,)),)),))


def test_a_deck_is_the_same_bytes_each_time() -> None:
    given = deck(Box(40, 100, 200, 60, "head", "text", fill=DARK, ink=PAPER))
    assert pdf(given).startswith(b"%PDF-")
    assert pdf(given) == pdf(given)
    assert pptx(given) == pptx(given)


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
