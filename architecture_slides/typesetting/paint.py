"""Colours of a presentation: those of its theme by their names there, all others as they are."""

from __future__ import annotations

from typing import Any

from pptx.dml.color import RGBColor
from pptx.enum.dml import MSO_THEME_COLOR

from architecture_slides.typesetting.chart import COLOURS
from architecture_slides.typesetting.deck import DARK, INK, LINE, PALE, PAPER, RETURN

THEME = {
    "dk1": INK,
    "lt1": PAPER,
    "dk2": DARK,
    "lt2": PALE,
    **{f"accent{place}": colour for place, colour in enumerate((*COLOURS[:4], LINE, RETURN), 1)},
    "hlink": DARK,
    "folHlink": LINE,
}
"""The theme's colours by its own names for them."""

SHAPES = {colour: name for name, colour in THEME.items() if name.startswith("accent")} | {
    INK: "tx1",
    PAPER: "bg1",
    DARK: "tx2",
    PALE: "bg2",
}
"""Names that shapes have for the theme's colours: whoever changes the theme changes them all."""


def solid(colour: str) -> str:
    """The XML that fills with a colour, `#rrggbb`."""
    named = (
        f'<a:schemeClr val="{SHAPES[colour]}"/>' if colour in SHAPES else f'<a:srgbClr val="{colour[1:]}"/>'
    )
    return f"<a:solidFill>{named}</a:solidFill>"


def paint(fill: Any, colour: str) -> None:
    """Fill with a colour, `#rrggbb`."""
    fill.solid()
    if colour in SHAPES:
        fill.fore_color.theme_color = MSO_THEME_COLOR.from_xml(SHAPES[colour])
    else:
        fill.fore_color.rgb = RGBColor.from_string(colour[1:].upper())
