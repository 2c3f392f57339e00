"""A deck as PDF/UA-1, set by Typst."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typst

from architecture_slides.typesetting.deck import (
    APART,
    BETWEEN,
    CELL,
    DARK,
    FONTS,
    HANGING,
    INK,
    NUMBERS,
    OUTLINE,
    PALE,
    Deck,
    DeckError,
    check,
)

HERE = Path(__file__).parent
PALETTE = {"ink": INK, "dark": DARK, "pale": PALE, "numbers": NUMBERS, "hanging": HANGING, "outline": OUTLINE}
PALETTE |= {"between": BETWEEN, "apart": APART, "cell": CELL}


def pdf(deck: Deck) -> bytes:
    """The deck, the same bytes each time.

    Raises:
        DeckError: as `check`, or a text does not fit its place; the slide and the text are named.
    """
    check(deck)
    try:
        return bytes(
            typst.compile(
                HERE / "deck.typ",
                font_paths=[FONTS],
                ignore_system_fonts=True,
                timestamp=0,
                pdf_standards=["ua-1"],
                sys_inputs={
                    "deck": json.dumps(asdict(deck), ensure_ascii=False),
                    "palette": json.dumps(PALETTE),
                },
            )
        )
    except typst.TypstError as error:
        raise DeckError(str(error)) from error
