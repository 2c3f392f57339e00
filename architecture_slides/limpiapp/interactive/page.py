"""The page as one file: what it is made of, put together, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any

from architecture_slides.limpiapp.architecture import Architecture
from architecture_slides.limpiapp.interactive.data import PageData
from architecture_slides.limpiapp.picture import BAND, LANE
from architecture_slides.typesetting.deck import DARK, INK, LINE, PALE, PAPER, RETURN

FOLDER = Path(__file__).parent

COLOURS = {
    "ink": INK,
    "paper": PAPER,
    "dark": DARK,
    "pale": PALE,
    "line": LINE,
    "return": RETURN,
    "lane": LANE,
    "band": BAND,
}
"""The decks' colours, as page.css calls them."""


def page(of: Architecture) -> bytes:
    """The page of an architecture.

    Raises:
        ContentError: a word is missing.
    """
    colours = "".join(f"  --{name}: {colour};\n" for name, colour in COLOURS.items())
    style = f":root {{\n{colours}}}\n\n{_read('page.css')}"
    script = _read("page.js")
    data = json.dumps(_rounded(PageData(of).made()), ensure_ascii=False, separators=(",", ":"))
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none';"
        " form-action 'none'; require-trusted-types-for 'script'"
    )
    # No text ends the element that it stands in.
    filled = Template(_read("page.html")).substitute(
        policy=policy, style=style, script=script, data=data.replace("<", "\\u003c")
    )
    return filled.encode()


def _rounded(data: Any) -> Any:
    """The same, without the digits that no screen shows and that machines may differ in."""
    if isinstance(data, float):
        return round(data, 4)
    if isinstance(data, dict):
        return {name: _rounded(each) for name, each in data.items()}
    return [_rounded(each) for each in data] if isinstance(data, list | tuple) else data


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    """What a policy calls an element of this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
