"""The screenshots of docs/page.md: each tab of the page at `/try`, as the running service shows it.

    .venv/bin/python -m deploy.screenshots http://127.0.0.1:3000 .local/token

It fits any model: the file that it drops holds rows as they are distributed in the hold-out set, some of them
spoilt. Needs Chromium.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

from propensity.contract.field import Field
from propensity.model.manifest import Distribution, ModelCard
from propensity.serving.health import LOOPBACK

FOLDER = Path("docs/page")

WIDTH, HEIGHT, CARD_HEIGHT = 1_080, 1_200, 2_000
"""Pixels of the window, and of a screenshot; the model's card is longer than the other tabs."""

ROWS, SPOILT = 20_000, 400
"""Rows of the file, and of how many one is spoilt."""

TIMEOUT = 60_000
"""Milliseconds until the file is predicted."""


def shoot(url: str, token: str, page: Page) -> Iterator[str]:
    """Visit the tabs one after the other; yield the name of each once it is to be seen."""
    page.goto(f"{url}/try")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open").click()
    expect(page.locator(".answer data")).to_be_visible()
    yield "row"
    page.get_by_role("tab", name="What if").click()
    expect(page.locator("#panel-what svg")).to_be_visible()
    yield "what_if"
    page.get_by_role("tab", name="A file").click()
    rows = {"name": "rows.csv", "mimeType": "text/csv", "buffer": _file(_card(url, token)).encode()}
    page.locator("#file").set_input_files(rows)  # type: ignore[arg-type]
    expect(page.get_by_role("button", name="Download")).to_be_visible(timeout=TIMEOUT)
    yield "file"
    page.set_viewport_size({"width": WIDTH, "height": CARD_HEIGHT})
    page.get_by_role("tab", name="The model").click()
    expect(page.locator("#panel-model")).to_contain_text("PSI")
    yield "model"


def _card(url: str, token: str) -> ModelCard:
    request = urllib.request.Request(f"{url}/v1/model", headers={"Authorization": f"Bearer {token}"})
    with LOOPBACK.open(request, timeout=10) as answer:
        return ModelCard.model_validate(json.loads(answer.read()))


def _file(card: ModelCard) -> str:
    """Return rows as CSV."""
    random = np.random.default_rng(7)
    columns = {
        field.name: _values(field, card.reference[field.name], random) for field in card.contract.fields
    }
    name = card.contract.fields[-1].name
    columns[name] = ["?" if place % SPOILT == 0 else value for place, value in enumerate(columns[name], 1)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def _values(field: Field, of: Distribution, random: np.random.Generator) -> list[Any]:
    """Return values of a field, distributed as in the hold-out set; an empty text where one is missing."""
    bins = random.choice(len(of.ratios), ROWS, p=np.array(of.ratios) / sum(of.ratios)).tolist()
    missing = len(of.ratios) - 1 if field.nullable else -1
    if of.bounds is None:
        names = field.categories or ("false", "true")
        return ["" if place == missing else names[place] for place in bins]
    # The bins at either end have no other end of their own.
    edges = [of.bounds[0], *of.bounds, of.bounds[-1]]
    values = [
        float(random.uniform(edges[place], edges[place + 1])) if place != missing else "" for place in bins
    ]
    return [
        round(value) if isinstance(value, float) and field.kind == "integer" else value for value in values
    ]


def main() -> None:
    """The command."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m deploy.screenshots URL TOKEN_FILE")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("screenshots: no Chromium; install it (Debian, Ubuntu: apt install chromium)")
    url, token = sys.argv[1].rstrip("/"), Path(sys.argv[2]).read_text(encoding="utf-8").strip()
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, locale="en", color_scheme="light"
        )
        for name in shoot(url, token, page):
            page.screenshot(path=FOLDER / f"{name}.png")
            print(FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
