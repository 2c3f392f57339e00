"""The page at /try: what it is made of, and in a browser the whole way of whoever looks at a model."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import Visit, chromium, visiting
from conftest import AUTHORIZED, METRICS_TOKEN, PREDICT_TOKEN, ROOT, token_line
from demonstration import CONTRACT, EXAMPLE
from playwright.sync_api import Browser, Error, Locator, Page, Route, expect
from servers import serving, stripping
from starlette.testclient import TestClient

from propensity.contract import row as row_module

PAGE = ROOT / "propensity/serving/page"
MODULES = sorted(PAGE.rglob("*.js"))

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}


def test_the_page_and_its_files_are_open_and_allow_nothing_from_elsewhere(client: TestClient) -> None:
    served = [path for path in PAGE.rglob("*") if path.suffix in {".css", ".js"}]
    media_types = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
    for path in (None, *served):
        answer = client.get("/try" if path is None else f"/try/{path.relative_to(PAGE).as_posix()}")
        assert answer.status_code == 200
        assert answer.content == (path or PAGE / "try.html").read_bytes()
        wanted = media_types[path.suffix] if path else "text/html; charset=utf-8"
        assert answer.headers["content-type"] == wanted
        directives = answer.headers["content-security-policy"].split("; ")
        assert dict(directive.split(" ", 1) for directive in directives) == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_below_the_page_lie_its_files_alone(client: TestClient) -> None:
    for name in ("none.js", "%2e%2e/pages.py", "try.html", "a%2f..%2fpage.js", "files", "files/"):
        assert client.get(f"/try/{name}").status_code == 404, name
    slash = client.get("/try/", follow_redirects=False)
    assert (slash.status_code, slash.headers["location"]) == (308, "../try")
    assert client.post("/try").status_code == 405


def test_the_page_of_the_api_leads_to_it(client: TestClient) -> None:
    assert '<a href="try">' in client.get("/").text


def test_nothing_is_written_into_the_page_that_its_policy_refuses() -> None:
    html = (PAGE / "try.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:", html)
    for path in MODULES:
        text = path.read_text()
        for refused in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
            "localStorage",
        ):
            assert refused not in text, f"{path.name}: {refused}"
        # The namespace of SVG is a name, and leads nowhere.
        assert "://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name


def luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colours in light and in dark."""
    blocks = re.findall(r":root \{(.*?)\}", (PAGE / "try.css").read_text(), re.DOTALL)
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    colours = palettes()[scheme]
    for ground in ("ground", "surface"):
        for name in ("ink", "soft", "accent", "negative", "positive", "problem", "present"):
            assert contrast(colours[name], colours[ground]) >= 4.5, f"{name} on {ground}"
        assert contrast(colours["line"], colours[ground]) >= 3, f"line on {ground}"
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


def test_the_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_nothing_moves() -> None:
    """So there is nothing to stop for who prefers reduced motion."""
    assert not re.search("animation|transition|scroll-behavior|@keyframes", (PAGE / "try.css").read_text())


def test_both_palettes_name_the_same_colours_and_no_other_is_used() -> None:
    light, dark = palettes()
    assert light.keys() == dark.keys()
    used = set(re.findall(r"var\(--([a-z-]+)\)", (PAGE / "try.css").read_text()))
    assert used == light.keys()


def words() -> dict[str, tuple[str, str]]:
    """The words of the page by key, English and Spanish."""
    text = (PAGE / "words.js").read_text().partition("const WORDS = {")[2].partition("\n};")[0]
    literal = r'((?:"[^"\n]*"(?:\s*\+\s*)?)+)'
    found = re.findall(rf"^  (\w+): \[\s*{literal},\s*{literal},?\s*\],$", text, re.MULTILINE)
    return {key: (joined(english), joined(spanish)) for key, english, spanish in found}


def joined(literals: str) -> str:
    return "".join(re.findall(r'"([^"]*)"', literals))


def test_every_word_is_said_and_every_word_that_is_said_is_there() -> None:
    known = words()
    assert len(known) > 150
    sources = "\n".join(path.read_text() for path in MODULES if path.name != "words.js")
    missing = set(re.findall(r'\bsay\("(\w+)"', sources)) - known.keys()
    assert missing == set()
    made = ("tab_", "form_")
    quoted = set(re.findall(r'"(\w+)"', sources))
    figures = {key for key in known if re.fullmatch(r"\w+(Name|Meaning)", key)}
    assert {key for key in known if not key.startswith(made)} - quoted - figures == set()


def test_both_languages_have_the_same_places_for_values() -> None:
    for key, texts in words().items():
        english, spanish = (set(re.findall(r"\{(\w+)\}", text)) for text in texts)
        # In Spanish, a row is a row: the contract's own word has no translation.
        assert spanish == english - ({"row"} if key == "showsTheModel" else set()), key


def test_every_tab_has_a_screenshot_that_is_small() -> None:
    page = (ROOT / "docs/page.md").read_text()
    shots = re.findall(r"\]\((page/\w+\.png)\)", page)
    assert shots == ["page/row.png", "page/what_if.png", "page/file.png", "page/model.png"]
    for shot in shots:
        assert (ROOT / "docs" / shot).stat().st_size < 250_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Visit]:
    """Somebody who reads English, with an empty page."""
    with visiting(browser, server, locale="en-GB") as visit:
        yield visit


def enter(page: Page, url: str, token: str = PREDICT_TOKEN) -> None:
    page.goto(f"{url}/try")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name=re.compile("Open|Abrir")).click()


def tab(page: Page, name: str) -> Locator:
    """Open a tab; return its panel."""
    page.get_by_role("tab", name=name, exact=True).click()
    return page.get_by_role("tabpanel", name=name, exact=True)


def field(page: Page, name: str) -> Locator:
    """The input of a field in the form."""
    return page.locator("#panel-row form").get_by_label(name, exact=True)


def predicted(server: str, row: object, query: str = "") -> Any:
    answer = httpx2.post(f"{server}/v1/predict{query}", json=row, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    return answer.json()


def batch(server: str, rows: list[Any], many: str = CONTRACT.rows) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(rows), 10_000):
        content = {many: rows[start : start + 10_000]}
        answer = httpx2.post(f"{server}/v1/predict_batch", json=content, headers=AUTHORIZED, timeout=60)
        answers += answer.json()["predictions"]
    return answers


def shown(page: Page) -> Locator:
    """The propensity of the row, as a number."""
    return page.locator(".answer data")


def expect_propensity(page: Page, propensity: float) -> None:
    # As JavaScript spells the number, which is the same number.
    expect(shown(page)).to_have_attribute("value", re.compile(f"^{re.escape(spelt(propensity))}$"))


def spelt(number: float) -> str:
    if not 1e-6 <= number < 1e21:
        mantissa, exponent = f"{number!r}".split("e")
        return f"{mantissa}e{int(exponent)}"
    text = f"{number!r}"
    return text if "e" not in text else f"{number:.25f}".rstrip("0")


def assert_quiet(visit: Visit, *expected: int) -> None:
    """No request went elsewhere, and nothing was complained of but statuses that were to be expected."""
    assert visit.elsewhere == []
    allowed = tuple(f"responded with a status of {status} " for status in expected)
    assert [each for each in visit.complaints if not any(status in each for status in allowed)] == []


AGE = CONTRACT.by_name["age"]


@pytest.mark.parametrize(
    ("locale", "said", "wrong"),
    [
        ("en-GB", {"tab": "One row", "percent": "13.4%"}, "must be at least 18"),
        ("es-CL", {"tab": "Una fila", "percent": "13,4"}, "debe ser al menos 18"),
        ("fr-FR", {"tab": "One row", "percent": "13.4%"}, "must be at least 18"),
    ],
)
def test_a_row_is_predicted_as_it_is_typed(
    browser: Browser, server: str, locale: str, said: dict[str, str], wrong: str
) -> None:
    language = "es" if locale.startswith("es") else "en"
    with visiting(browser, server, locale=locale) as visit:
        page = visit.page
        enter(page, server)
        expect(page.get_by_role("tab", name=said["tab"], exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
        assert page.locator("html").get_attribute("lang") == language
        first = predicted(server, EXAMPLE, "?explain=true")
        expect_propensity(page, first["propensity"])
        expect(shown(page)).to_contain_text(said["percent"])
        expect(page.locator(".answer strong")).to_have_text(first["decision"])
        reasons = [reason[language] for reason in first["explanation"]["reasons"]]
        expect(page.locator(".reasons li")).to_have_text(reasons)

        age = field(page, AGE.words[language])
        age.fill("66")
        other = predicted(server, EXAMPLE | {"age": 66})
        assert other["propensity"] != first["propensity"]
        expect_propensity(page, other["propensity"])

        age.fill("17")
        problem = page.locator(f"#{age.get_attribute('id')}-problem")
        expect(problem).to_have_text(wrong)
        expect(age).to_have_attribute("aria-invalid", "true")
        assert problem.get_attribute("id") in (age.get_attribute("aria-describedby") or "").split()
        expect(shown(page)).to_have_count(0)

        page.get_by_role("button", name=re.compile("example|ejemplo")).click()
        expect_propensity(page, first["propensity"])
        expect(field(page, AGE.words[language])).to_have_value(str(EXAMPLE["age"]))
        assert_quiet(visit, 422)


def test_a_missing_value_is_not_stated(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    field(page, "Income per month").fill("")
    field(page, "Housing").select_option("not stated")
    row = EXAMPLE | {"income": None, "home": None}
    expect_propensity(page, predicted(server, row)["propensity"])
    field(page, "Age").fill("")
    expect(page.get_by_text("is required and missing")).to_be_visible()
    assert_quiet(visit, 422)


def test_the_contributions_lead_from_the_base_to_the_propensity(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    explained = predicted(server, EXAMPLE, "?explain=true")["explanation"]
    expect(shown(page)).to_be_visible()
    page.locator("#panel-row").get_by_text("As a table").click()
    rows = page.get_by_role("region", name="Contributions in log-odds").locator("tbody tr")
    expect(rows).to_have_count(1 + len(EXAMPLE))
    amounts = [
        float(text.replace("\N{MINUS SIGN}", "-")) for text in rows.locator("td:last-child").all_inner_texts()
    ]
    wanted = [explained["base"], *sorted(explained["contributions"].values(), key=lambda each: -abs(each))]
    assert amounts == pytest.approx(wanted, abs=0.005)
    waterfall = page.get_by_role("img", name=re.compile("^From "))
    expect(waterfall.locator(".bar")).to_have_count(13)


def test_what_is_out_of_date_is_neither_awaited_nor_shown(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    expect(shown(page)).to_be_visible()
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(re.compile("v1/predict"), keep)
    age = field(page, "Age")
    age.fill("40")
    page.wait_for_timeout(400)
    page.unroute(re.compile("v1/predict"))
    age.fill("50")
    newest = predicted(server, EXAMPLE | {"age": 50})["propensity"]
    expect_propensity(page, newest)
    assert len(held) == 1
    with suppress(Error):  # the page has given it up
        held[0].fulfill(json=predicted(server, EXAMPLE) | {"propensity": 0.99})
    page.wait_for_timeout(200)
    expect_propensity(page, newest)


def test_the_language_is_switched_and_kept_with_the_row_and_the_tab(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    field(page, "Age").fill("44")
    tab(page, "The model")
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("tab", name="El modelo")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("heading", name="Para qué sirve")).to_be_visible()
    panel = tab(page, "Una fila")
    expect(panel.get_by_label("Edad")).to_have_value("44")
    page.reload()
    expect(page.get_by_role("tab", name="Una fila")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "es"
    assert_quiet(visit, 403)


def test_everything_that_the_service_says_of_a_field_is_said_in_spanish_too(
    visit: Visit, server: str
) -> None:
    page = visit.page
    page.goto(f"{server}/try")
    values = {"ge": 18, "le": 2.5, "max_length": 10_000, "min_length": 1, "one": "row", "many": "rows"}
    details = [
        template.format(**values, expected=expected)
        for template in row_module._DETAILS.values()
        for expected in ("'a', 'b' or 'c'", "'a' or 'b'")
    ]
    details += [
        "must be a whole number",
        "must be one of 300 categories, which /docs.json lists",
        "must be 'a'",
    ]
    translate = """async (details) => {
        const words = await import("./try/words.js");
        words.setLanguage("es");
        return details.map((detail) => words.wrongInWords(detail));
    }"""
    translated = page.evaluate(translate, details)
    assert all(re.match("(debe|no es|es obligatorio)", text) for text in translated), translated
    assert not [text for text in translated if " or " in text or "must" in text]


def test_the_tabs_are_gone_through_with_the_keys(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_text(["One row", "What if", "A file", "The model"])
    tabs.nth(0).focus()
    for key, place in (
        ("ArrowRight", 1), ("ArrowRight", 2), ("End", 3), ("ArrowRight", 0), ("ArrowLeft", 3), ("Home", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(tabs.nth(place)).to_be_focused()
        expect(tabs.nth(place)).to_have_attribute("aria-selected", "true")
        panel = page.locator(f"#{tabs.nth(place).get_attribute('aria-controls')}")
        expect(panel).to_be_visible()
        expect(page.get_by_role("tabpanel")).to_have_count(1)
    # From the tab into its panel, and to the first field: no other tab in between.
    page.keyboard.press("Tab")
    expect(page.get_by_role("tabpanel")).to_be_focused()
    page.keyboard.press("Tab")
    expect(field(page, CONTRACT.fields[0].words["en"])).to_be_focused()
    assert_quiet(visit, 403)


UNNAMED = """() => [...document.querySelectorAll("input, select, button, a, progress, svg, [role=region]")]
    .filter((element) => !element.labels?.length)
    .filter((element) => !(element.getAttribute("aria-label") || element.textContent.trim()))
    .map((element) => element.outerHTML.slice(0, 200))"""

BROKEN = """() => [...document.querySelectorAll("*")]
    .flatMap((element) => ["aria-describedby", "aria-labelledby", "aria-controls", "for"]
        .flatMap((name) => (element.getAttribute(name) ?? "").split(" ").filter(Boolean)))
    .filter((id) => document.querySelectorAll(`[id="${id}"]`).length !== 1)"""

LEVELS = """() => [...document.querySelectorAll("h1, h2, h3")].filter((heading) => heading.checkVisibility())
    .map((heading) => Number(heading.tagName[1]))"""


def assert_accessible(page: Page) -> None:
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(BROKEN) == []
    levels = page.evaluate(LEVELS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), levels
    charts = page.locator("svg.chart:visible")
    for chart in charts.all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label") or "") > 10


def test_everything_has_a_name_for_who_does_not_see_it(visit: Visit, server: str, tmp_path: Path) -> None:
    page = visit.page
    page.goto(f"{server}/try")
    expect(page.get_by_label("Token")).to_be_visible()
    assert_accessible(page)
    enter(page, server)
    expect(shown(page)).to_be_visible()
    assert_accessible(page)
    expect(page.get_by_role("status").first).to_contain_text("Propensity")
    panel = tab(page, "What if")
    expect(panel.get_by_role("img")).to_be_visible()
    assert_accessible(page)
    panel = tab(page, "A file")
    path = tmp_path / "rows.ndjson"
    path.write_text(f"{json.dumps(EXAMPLE)}\n{json.dumps(EXAMPLE | {'age': 1})}\n")
    panel.get_by_label("Drop a file here").set_input_files(path)
    expect(panel.get_by_role("status")).to_have_text(
        "rows.ndjson: 2 rows, 1 of them with a problem in place of a prediction."
    )
    assert_accessible(page)
    panel = tab(page, "The model")
    expect(panel.get_by_role("img")).to_have_count(2)
    assert_accessible(page)


def test_a_token_that_is_refused_is_asked_for_again_and_one_is_kept_in_the_tab_alone(
    visit: Visit, server: str
) -> None:
    page = visit.page
    enter(page, server, "wrong")
    expect(page.get_by_role("alert")).to_have_text(
        "This token is not valid, or not any more. Enter another one."
    )
    expect(page.get_by_label("Token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    enter(page, server, METRICS_TOKEN)
    expect(page.get_by_role("alert")).to_have_text(
        "This token lacks the scope predict. Enter one that has it."
    )
    enter(page, server)
    expect(shown(page)).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('propensity-token')") == PREDICT_TOKEN
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    assert PREDICT_TOKEN not in page.url
    page.reload()
    expect(shown(page)).to_be_visible()
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    assert_quiet(visit, 401, 403)


@pytest.mark.thorough
def test_the_page_works_below_a_prefix(browser: Browser, server: str) -> None:
    with stripping("/ml/propensity", server) as proxy, visiting(browser, proxy, locale="en") as visit:
        page = visit.page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        for path in ("/try", "/try/", "/try?utm_source=x#top"):
            page.goto(f"{proxy}/ml/propensity{path}")
            page.get_by_label("Token").fill(PREDICT_TOKEN)
            page.get_by_role("button", name="Open").click()
            expect_propensity(page, predicted(server, EXAMPLE)["propensity"])
            page.get_by_role("button", name="Forget the token").click()
        page.goto(f"{proxy}/ml/propensity")
        page.get_by_role("link", name="Try the model out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.get_by_role("link", name="The API").click()
        expect(page.locator("#swagger-ui h2").first).to_contain_text(CONTRACT.title)
        assert all(path.startswith("/ml/propensity") for path in asked)
        assert_quiet(visit)


@pytest.mark.thorough
def test_a_page_that_is_off_is_not_there(bento: Path, tmp_path: Path) -> None:
    with serving(bento, tmp_path, {"PROPENSITY_PAGE": "off"}) as served:
        for path in ("/try", "/try/", "/try/page.js"):
            assert httpx2.get(served.url + path).status_code == 404
        assert "/try" not in httpx2.get(f"{served.url}/docs.json").json()["paths"]
        assert 'href="try"' not in httpx2.get(f"{served.url}/").text


def percent(propensity: float) -> str:
    return f"{propensity:.1%}" if 0.0095 < propensity < 0.9905 else f"{propensity:.2%}"


def test_what_if_shows_the_propensity_over_the_range_of_a_field(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    calls: list[str] = []
    page.on("request", lambda request: calls.append(urlsplit(request.url).path))
    panel = tab(page, "What if")
    expect(panel.get_by_text("is no advice to anybody")).to_be_visible()
    panel.get_by_label("Field", exact=True).select_option("Age")
    chart = panel.get_by_role("img", name=re.compile("Now"))
    now = predicted(server, EXAMPLE)["propensity"]
    expect(chart).to_have_attribute("aria-label", re.compile(re.escape(f"Now: {percent(now)} (30)")))
    expect(chart.locator("circle.present")).to_have_count(1)
    expect(chart.locator("line.threshold")).to_have_count(1)
    # One call for the field that is there at first, and one for the other.
    assert calls.count("/v1/predict_batch") == 2
    panel.get_by_text("As a table").click()
    rows = panel.locator("tbody tr")
    ages = range(int(AGE.lowest), int(AGE.highest) + 1)
    expect(rows).to_have_count(len(ages))
    answers = batch(server, [EXAMPLE | {"age": age} for age in ages])
    wanted = [
        [str(age), percent(answer["propensity"]), answer["decision"]]
        for age, answer in zip(ages, answers, strict=True)
    ]
    assert [row.split("\t") for row in rows.all_inner_texts()] == wanted

    panel.get_by_label("From", exact=True).fill("40")
    panel.get_by_label("To", exact=True).fill("30")
    expect(panel.get_by_role("status")).to_contain_text("The range is empty")
    panel.get_by_label("To", exact=True).fill("50")
    panel.get_by_text("As a table").click()
    expect(rows).to_have_count(11)
    assert_quiet(visit)


def test_what_if_shows_the_propensity_of_each_category_and_the_row_as_it_is_now(
    visit: Visit, server: str
) -> None:
    page = visit.page
    enter(page, server)
    field(page, "Age").fill("19")
    panel = tab(page, "What if")
    panel.get_by_label("Field", exact=True).select_option("Housing")
    homes = [*(CONTRACT.by_name["home"].categories or ()), None]
    answers = batch(server, [EXAMPLE | {"age": 19, "home": home} for home in homes])
    panel.get_by_text("As a table").click()
    shares = panel.locator("tbody tr td:nth-child(2)")
    expect(shares).to_have_text([percent(answer["propensity"]) for answer in answers])
    expect(panel.locator("tbody tr td:first-child").last).to_have_text("not stated")
    expect(panel.get_by_role("img").locator(".bar")).to_have_count(len(homes))
    expect(panel.get_by_role("img").locator(".bar.present")).to_have_count(1)
    assert_quiet(visit)


def test_two_fields_make_a_heat_map_in_one_call(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    panel = tab(page, "What if")
    expect(panel.get_by_role("img")).to_be_visible()
    calls: list[str] = []
    page.on("request", lambda request: calls.append(urlsplit(request.url).path))
    panel.get_by_label("And a second field").select_option("Kind of job")
    expect(panel.get_by_role("heading", level=2)).to_have_text("Years in the present job and Kind of job")
    assert calls == ["/v1/predict_batch"]
    panel.get_by_text("As a table").click()
    jobs = [*(CONTRACT.by_name["job"].categories or ()), None]
    header = panel.locator("thead th").all_inner_texts()
    years = [int(text) for text in header[1:]]
    assert (years[0], years[-1]) == (0, 60)
    assert EXAMPLE["seniority"] in years
    rows = [EXAMPLE | {"seniority": year, "job": job} for job in jobs for year in years]
    answers = [percent(answer["propensity"]) for answer in batch(server, rows)]
    cells = panel.locator("tbody td:not(:first-child)")
    assert cells.all_inner_texts() == answers
    expect(panel.get_by_role("img").locator(".cell:not(.present)")).to_have_count(len(rows))
    expect(panel.get_by_role("img").locator(".cell.present")).to_have_count(1)
    assert_quiet(visit)


def test_what_if_says_which_field_of_the_row_is_not_valid(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    field(page, "Age").fill("17")
    expect(page.get_by_text("must be at least 18")).to_be_visible()
    panel = tab(page, "What if")
    expect(panel.get_by_role("status")).to_have_text("The row is not valid; look at: Age")


def text_of(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Rows as the lines of a CSV file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().splitlines()


def downloaded(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download the predictions").click()
    return [*csv.DictReader(Path(caught.value.path()).read_text().splitlines())]


def drop(page: Page, path: Path) -> Locator:
    panel = tab(page, "A file")
    # The same file may be dropped again.
    panel.get_by_label("Drop a file here").set_input_files([])
    panel.get_by_label("Drop a file here").set_input_files(path)
    return panel


@pytest.mark.thorough
def test_a_csv_file_of_twenty_thousand_rows_is_predicted_in_pieces(
    visit: Visit, server: str, applications: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = (applications * 18)[:20_000]
    names = [field.name for field in CONTRACT.fields]
    lines = text_of(rows, names)
    spoilt = {
        11: (text_of([rows[10] | {"age": 17}], names)[1], "Age", "must be at least 18"),
        5_000: ("1,2,3", "", "has 3 cells, the header 13"),
        19_999: (f'"{lines[19_999]}', "", "has a stray quote"),
    }  # fmt: skip
    for number, (line, _, _) in spoilt.items():
        lines[number] = line
    path = tmp_path / "portfolio.csv"
    path.write_text("\n".join(lines))
    page = visit.page
    enter(page, server)
    calls: list[str] = []
    page.on("request", lambda request: calls.append(urlsplit(request.url).path))
    panel = drop(page, path)
    said = "portfolio.csv: 20,000 rows, 3 of them with a problem in place of a prediction."
    expect(panel.get_by_role("status")).to_have_text(said, timeout=60_000)
    assert calls.count("/v1/predict_batch") == 4

    valid = [place for place in range(20_000) if place + 1 not in spoilt]
    answers = batch(server, [rows[place] for place in valid])
    positive = sum(answer["decision"] == "decline" for answer in answers)
    sides = panel.get_by_role("region", name="Either side of the threshold").locator("tbody tr")
    assert [row.split("\t")[1] for row in sides.all_inner_texts()] == [
        f"{len(valid) - positive:,}",
        f"{positive:,}",
    ]
    assert [row.split("\t")[2] for row in sides.all_inner_texts()] == [
        percent(1 - positive / len(valid)),
        percent(positive / len(valid)),
    ]
    counts, _ = np.histogram([answer["propensity"] for answer in answers], bins=20, range=(0, 1))
    panel.get_by_text("As a table").click()
    steps = panel.get_by_role("region", name="Propensities").locator("tbody td:last-child")
    expect(steps).to_have_text([f"{count:,}" for count in counts.tolist()])
    found = panel.get_by_role("region", name="Rows without a prediction").locator("tbody tr")
    for row, (number, (_, field, detail)) in zip(found.all_inner_texts(), spoilt.items(), strict=True):
        cells = row.split("\t")
        assert cells[:3] == [f"{number:,}", f"{number + 1:,}", field]
        assert detail in cells[3]

    table = downloaded(page)
    assert [row["row"] for row in table] == [str(number) for number in range(1, 20_001)]
    assert [float(table[place]["propensity"]) for place in valid] == [each["propensity"] for each in answers]
    assert [table[place]["decision"] for place in valid] == [each["decision"] for each in answers]
    assert {table[place]["model"] for place in valid} == {answers[0]["model"]}
    assert table[10]["problem"] == "age: must be at least 18"
    assert [row["row"] for row in table if row["problem"]] == [str(number) for number in spoilt]
    assert_quiet(visit)


def test_what_csv_may_hold_is_read_as_the_command_reads_it(visit: Visit, server: str, tmp_path: Path) -> None:
    names = [field.name for field in CONTRACT.fields]
    cells = {name: "" if value is None else str(value) for name, value in EXAMPLE.items()}
    (header, line) = (",".join(f'"{name}"' for name in names), ",".join(cells.values()))
    spaced = ",".join(f" {cell}\t" if cell.isdigit() else f'"{cell}"' for cell in cells.values())
    empty = ",".join("" if name in {"income", "home"} else cells[name] for name in names)
    words = ",".join("many" if name == "income" else cells[name] for name in names)
    huge = ",".join("1e999" if name == "income" else cells[name] for name in names)
    # A byte order mark, blank lines, and every kind of line end.
    content = f"\ufeff\n{header}\r\n{line}\r\r\n \n{spaced}\n{empty}\r{words}\n{huge}"
    path = tmp_path / "rows.CSV"
    path.write_bytes(content.encode())
    page = visit.page
    enter(page, server)
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_contain_text("5 rows, 2 of them with a problem")
    table = downloaded(page)
    propensity = repr(predicted(server, EXAMPLE)["propensity"])
    missing = predicted(server, EXAMPLE | {"income": None, "home": None})["propensity"]
    assert [row["propensity"] for row in table] == [propensity, propensity, repr(missing), "", ""]
    assert [row["problem"].partition(";")[0] for row in table] == [
        "", "", "", "income: must be a finite number", "income: must be a finite number",
    ]  # fmt: skip
    assert_quiet(visit)


FAULTS = {
    "semicolons.csv": (b"age;income\n30;100\n", "; stands between the cells"),
    "utf16.csv": ("age,income\n".encode("utf-16"), "The file is UTF-16"),
    "latin.csv": ("age,income\n1,2\n3,ñ\n".encode("latin-1"), "Line 3 is not UTF-8"),
    "empty.csv": (b"\n", "The file holds no rows; choose another one."),
    "long.csv": (
        ",".join(EXAMPLE).encode() + b"\n" + b"1" * 1_100_000,
        "Line 2 is longer than 1048576 bytes",
    ),
    "twice.csv": (b"age,age\n1,2\n", "Columns that stand twice: age"),
    "missing.csv": (b"age,income\n30,100\n", "Columns that are required and missing: seniority, time"),
    "rows.xlsx": (b"PK", "must end in one of .csv, .ndjson, .jsonl, .parquet"),
    "broken.parquet": (b"PAR1 is no such thing", "can't be read as Parquet; write it once more."),
    "several.ndjson": (b"\n{}{}\n", "line 2 holds more than one"),
}


def test_a_file_that_can_not_be_read_is_refused_in_a_sentence(
    visit: Visit, server: str, tmp_path: Path
) -> None:
    page = visit.page
    enter(page, server)
    for name, (content, said) in FAULTS.items():
        (tmp_path / name).write_bytes(content)
        panel = drop(page, tmp_path / name)
        expect(panel.get_by_role("status")).to_contain_text(said)
    assert_quiet(visit, 400)


def test_one_more_column_may_name_the_rows_and_two_are_a_mistake(
    visit: Visit, server: str, tmp_path: Path
) -> None:
    page = visit.page
    enter(page, server)
    rows = [EXAMPLE | {"nr": 'A "1"'}, EXAMPLE | {"age": 66, "nr": "A,2"}, EXAMPLE | {"age": 1, "nr": None}]
    wanted = [str(predicted(server, EXAMPLE | {"age": age})["propensity"]) for age in (30, 66)]
    names = [*EXAMPLE, "nr"]
    (tmp_path / "rows.csv").write_text("\n".join(text_of(rows, names)))
    (tmp_path / "rows.ndjson").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.ndjson", "rows.parquet"):
        panel = drop(page, tmp_path / name)
        expect(panel.get_by_role("status")).to_have_text("Not a field of this model: nr")
        panel.get_by_role("button", name="nr names the rows").click()
        expect(panel.get_by_role("status")).to_contain_text(f"{name}: 3 rows, 1 of them")
        table = downloaded(page)
        assert [row["nr"] for row in table] == ['A "1"', "A,2", ""]
        assert [row["propensity"] for row in table] == [*wanted, ""]
    (tmp_path / "two.csv").write_text(
        "\n".join(text_of([row | {"incom": 1} for row in rows], [*names, "incom"]))
    )
    panel = drop(page, tmp_path / "two.csv")
    expect(panel.get_by_role("status")).to_have_text("Not a field of this model: nr, incom")
    expect(panel.get_by_role("button", name="names the rows")).to_have_count(0)
    assert_quiet(visit)


@pytest.mark.thorough
def test_a_parquet_file_is_decoded_in_the_browser(
    visit: Visit, server: str, applications: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = (applications * 11)[:12_000]
    table = pa.Table.from_pylist(rows)
    # As different tools write them.
    table = table.set_column(
        table.column_names.index("home"), "home", table["home"].dictionary_encode()
    ).set_column(table.column_names.index("income"), "income", table["income"].cast(pa.float64()))
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path, row_group_size=7_000)
    page = visit.page
    enter(page, server)
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_have_text(
        "rows.parquet: 12,000 rows, all predicted.", timeout=60_000
    )
    answers = batch(server, rows)
    assert [float(row["propensity"]) for row in downloaded(page)] == [each["propensity"] for each in answers]
    # NaN is no missing value, as in a table that is sent.
    column = pa.array([float("nan"), None, 100.0])
    few = table.slice(0, 3).set_column(table.column_names.index("income"), "income", column)
    pq.write_table(few, path, compression="none", data_page_version="2.0", use_dictionary=False)
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_contain_text("rows.parquet: 3 rows, 1 of them")
    expect(panel.locator("tbody tr").last).to_contain_text("must be a finite number")
    assert_quiet(visit)


def test_parquet_is_read_as_pyarrow_reads_it(visit: Visit, server: str, tmp_path: Path) -> None:
    """Types, missing values, pages, dictionaries, compression: the lines that the page would send."""
    rows = 3_001
    random = np.random.default_rng(5)

    def some(values: Any, kind: Any = None) -> Any:
        return pa.array(values.tolist(), kind, mask=random.random(rows) < 0.2)

    table = pa.table({
        "int8": some(random.integers(-100, 100, rows), pa.int8()),
        "int64": some(random.integers(-(2**62), 2**62, rows)),
        "uint32": some(random.integers(0, 2**32, rows), pa.uint32()),
        "uint64": some(random.integers(0, 2**63, rows).astype("u8") * 2, pa.uint64()),
        "float": some(random.normal(size=rows).astype("f4"), pa.float32()),
        "double": pa.array(random.normal(size=rows)),
        "bool": some(random.random(rows) < 0.5),
        "text": some(np.array([f"ñ {each} 💧" for each in random.integers(0, 900, rows)])),
        "category": some(np.array(["a", 'b"', "c"])[random.integers(0, 3, rows)]).dictionary_encode(),
        "small": some(random.integers(-(10**6), 10**6, rows), pa.int64()).cast(pa.decimal128(21, 2)),
        "large": some(random.integers(-(10**6), 10**6, rows), pa.int64()).cast(pa.decimal128(38, 2)),
        "null": pa.nulls(rows),
    })  # fmt: skip
    wanted = [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    visit.page.goto(f"{server}/try")
    for options in READABLE:
        pq.write_table(table, tmp_path / "rows.parquet", **options)
        lines = parquet_lines(visit.page, tmp_path / "rows.parquet")
        assert [json.loads(line) for line in lines] == wanted, options


READABLE: list[dict[str, Any]] = [
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "gzip", "row_group_size": 1_000, "store_decimal_as_integer": True},
    {"data_page_version": "2.0", "data_page_size": 1_000},
    {"data_page_version": "2.0", "compression": "gzip", "use_dictionary": False},
]
"""Options of pyarrow, with which files are read."""


def parquet_lines(page: Page, path: Path) -> list[str]:
    """What the page would send of a Parquet file; if it refuses the file, the key of its words."""
    read = """async (encoded) => {
        const {ParquetSource} = await import("./try/files/parquet.js");
        const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
        const source = new ParquetSource(new Blob([bytes]));
        const lines = [];
        try {
            await source.columns();
            for await (const {rows} of source.pieces(null)) lines.push(...rows.map(({json}) => json));
        } catch (error) {
            if (error.key === undefined) throw error;
            return [error.key];
        }
        return lines;
    }"""
    lines: list[str] = page.evaluate(read, base64.b64encode(path.read_bytes()).decode())
    return lines


def test_parquet_that_is_not_read_is_refused_by_its_reason(visit: Visit, server: str, tmp_path: Path) -> None:
    page, path = visit.page, tmp_path / "rows.parquet"
    page.goto(f"{server}/try")
    numbers = pa.table({"a": pa.array(range(2_000))})
    refused: dict[str, tuple[pa.Table, dict[str, Any]]] = {
        "codec": (numbers, {"compression": "zstd"}),
        "encoding": (numbers, {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"}),
        "nestedColumn": (pa.table({"a": [[1]]}), {}),
        "columnType": (pa.table({"a": pa.array([1], pa.timestamp("us"))}), {}),
        "noRows": (numbers.slice(0, 0), {}),
    }
    for key, (table, options) in refused.items():
        pq.write_table(table, path, **options)
        assert parquet_lines(page, path) == [key]
    # Whatever is wrong with the bytes, it ends, and in words.
    pq.write_table(numbers, path)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(50):
        broken = bytearray(whole)
        broken[random.integers(4, len(whole) - 8)] ^= int(random.integers(1, 256))
        path.write_bytes(broken[: random.integers(1, len(whole))] if random.random() < 0.2 else broken)
        lines = parquet_lines(page, path)
        assert len(lines) == len(numbers) or len(lines) == 1
    assert_quiet(visit)


def test_a_file_waits_while_the_service_is_busy_and_can_be_stopped(
    visit: Visit, server: str, tmp_path: Path
) -> None:
    page = visit.page
    enter(page, server)
    path = tmp_path / "rows.ndjson"
    path.write_text(f"{json.dumps(EXAMPLE)}\n" * 3)
    busy = {"type": "../problems#overloaded", "title": "", "status": 429, "detail": "busy"}
    answers = [True, False]

    def refuse_once(route: Route) -> None:
        if answers.pop(0):
            route.fulfill(status=429, json=busy, headers={"Retry-After": "1"})
        else:
            route.fallback()

    page.route("**/v1/predict_batch", refuse_once)
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_contain_text("The service is busy")
    expect(panel.get_by_role("status")).to_have_text("rows.ndjson: 3 rows, all predicted.")
    answers[:] = [True] * 10
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_contain_text("The service is busy")
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("status")).to_have_text("Stopped after 0 rows of rows.ndjson.")
    assert_quiet(visit, 429)


def test_a_row_waits_while_the_service_is_busy(visit: Visit, server: str) -> None:
    page = visit.page
    busy = {"type": "../problems#overloaded", "title": "", "status": 503, "detail": "busy"}
    answers = [True]

    def refuse_once(route: Route) -> None:
        if answers and answers.pop():
            route.fulfill(status=503, json=busy, headers={"Retry-After": "2"})
        else:
            route.fallback()

    page.route("**/v1/predict?*", refuse_once)
    enter(page, server)
    expect(page.get_by_text("The service is busy. One moment…")).to_be_visible()
    expect_propensity(page, predicted(server, EXAMPLE)["propensity"])
    assert_quiet(visit, 503)


def test_a_piece_that_is_too_large_for_a_proxy_is_sent_in_halves(
    visit: Visit, server: str, tmp_path: Path
) -> None:
    page = visit.page
    enter(page, server)
    rows = [EXAMPLE | {"age": 18 + place} for place in range(50)]
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    sent: list[int] = []

    def limited(route: Route) -> None:
        lines = (route.request.post_data or "").splitlines()
        sent.append(len(lines))
        if len(lines) > 20:
            route.fulfill(status=413, body="<html>413 Request Entity Too Large</html>")
        else:
            route.fallback()

    page.route("**/v1/predict_batch", limited)
    panel = drop(page, path)
    expect(panel.get_by_role("status")).to_have_text("rows.ndjson: 50 rows, all predicted.")
    assert sent == [50, 25, 13, 12, 25, 13, 12]
    answers = [each["propensity"] for each in batch(server, rows)]
    assert [float(row["propensity"]) for row in downloaded(page)] == answers
    assert_quiet(visit, 413)


def test_a_token_that_expires_while_a_file_is_predicted_is_asked_for_again(
    visit: Visit, server: str, tmp_path: Path
) -> None:
    page = visit.page
    enter(page, server)
    path = tmp_path / "rows.ndjson"
    path.write_text(f"{json.dumps(EXAMPLE)}\n")
    problem = {"type": "../problems#unauthenticated", "title": "", "status": 401, "detail": "expired"}
    page.route("**/v1/predict_batch", lambda route: route.fulfill(status=401, json=problem))
    drop(page, path)
    expect(page.get_by_role("alert")).to_contain_text("This token is not valid, or not any more.")
    expect(page.get_by_label("Token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    assert_quiet(visit, 401)


def test_who_forgets_the_token_gives_up_the_file(visit: Visit, server: str, tmp_path: Path) -> None:
    page = visit.page
    enter(page, server)
    path = tmp_path / "rows.ndjson"
    path.write_text(f"{json.dumps(EXAMPLE)}\n" * 12_000)
    calls: list[Route] = []

    def keep(route: Route) -> None:
        calls.append(route)

    page.route("**/v1/predict_batch", keep)
    panel = drop(page, path)
    expect(panel.get_by_role("progressbar")).to_be_visible()
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("Token")).to_be_focused()
    assert len(calls) == 1
    assert_quiet(visit)


HOSTILE = "<img src=x onerror=\"document.title='read as HTML'\">{value}"


def test_what_a_model_says_is_never_read_as_html(visit: Visit, server: str) -> None:
    """Whatever its contract holds: HTML, a name that JavaScript knows, thousands of categories."""
    page = visit.page
    card = httpx2.get(f"{server}/v1/model", headers=AUTHORIZED).json()
    categories = [HOSTILE, "ñandú 💧", *(f"c{place}" for place in range(5_000))]
    card["contract"] |= {
        "title": HOSTILE, "meaning": HOSTILE, "description": HOSTILE, "row": HOSTILE,
        "decisions": {"negative": HOSTILE, "positive": "constructor"},
        "fields": [
            {"name": HOSTILE, "kind": "category", "categories": categories, "nullable": False},
            {"name": "__proto__", "kind": "number", "description": HOSTILE, "nullable": True},
            {"name": "unbounded", "kind": "number", "nullable": False},
        ],
        "example": {HOSTILE: HOSTILE, "unbounded": 1e300} | json.loads('{"__proto__": -5}'),
    }  # fmt: skip
    card["reference"] = {}
    prediction = {
        "propensity": 1 - 1e-12, "threshold": 0.5, "decision": HOSTILE, "model": HOSTILE,
        "explanation": {
            "base": -40.0,
            "contributions": {HOSTILE: 60.0, "__proto__": 0.0, "unbounded": 7.6},
            "reasons": [{"field": HOSTILE, "en": HOSTILE, "es": HOSTILE}],
        },
    }  # fmt: skip
    sent: list[str] = []

    def answer(route: Route) -> None:
        lines = (route.request.post_data or "").splitlines()
        sent.extend(lines)
        route.fulfill(body="".join(f"{json.dumps(prediction)}\n" for _ in lines))

    page.route("**/v1/model", lambda route: route.fulfill(json=card))
    page.route("**/v1/predict?*", answer)
    page.route("**/v1/predict_batch", answer)
    enter(page, server)
    expect(shown(page)).to_have_text("100.00%")
    assert json.loads(sent[0]) == card["contract"]["example"]
    panel = tab(page, "What if")
    for place, field_ in enumerate(card["contract"]["fields"]):
        panel.get_by_label("Field", exact=True).select_option(str(place))
        expect(panel.get_by_role("heading", level=2)).to_contain_text(field_["name"])
        expect(panel.get_by_role("img")).to_be_visible()
    panel.get_by_label("From", exact=True).fill("-1.7e308")
    panel.get_by_label("To", exact=True).fill("1.7e308")
    panel.get_by_label("And a second field").select_option("0")
    expect(panel.get_by_text("4,942 more values are not shown.")).to_be_visible()
    assert not [line for line in sent if '"unbounded":null' in line]
    tab(page, "The model")
    tab(page, "A file")
    expect(page.locator("img")).to_have_count(0)
    assert page.title() == HOSTILE
    assert_quiet(visit, 403)


def test_nothing_sticks_out_of_a_narrow_window(browser: Browser, server: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_text(f"{json.dumps(EXAMPLE)}\n{json.dumps(EXAMPLE | {'age': 1})}\n")
    for locale, names in TABS.items():
        viewport = {"width": 360, "height": 740}
        with visiting(browser, server, locale=locale, viewport=viewport) as visit:
            page = visit.page
            enter(page, server)
            expect(shown(page)).to_be_visible()
            for name in names:
                panel = tab(page, name)
                if name == names[2]:
                    panel.locator("#file").set_input_files(path)
                expect(panel.locator("svg.chart").first).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth") == 360, name


TABS = {
    "en": ["One row", "What if", "A file", "The model"],
    "es": ["Una fila", "¿Y si…?", "Un archivo", "El modelo"],
}


def test_a_file_is_dropped_onto_the_page(visit: Visit, server: str) -> None:
    page = visit.page
    enter(page, server)
    panel = tab(page, "A file")
    transfer = page.evaluate_handle(
        """(text) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], "dropped.ndjson"));
            return transfer;
        }""",
        f"{json.dumps(EXAMPLE)}\n",
    )
    panel.locator(".drop").dispatch_event("dragover", {"dataTransfer": transfer})
    panel.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})
    expect(panel.get_by_role("status")).to_have_text("dropped.ndjson: 1 rows, all predicted.")
    assert_quiet(visit)


def test_the_card_is_a_page(visit: Visit, server: str, manifest: dict[str, Any]) -> None:
    page = visit.page
    enter(page, server)
    card = httpx2.get(f"{server}/v1/model", headers=AUTHORIZED).json()
    panel = tab(page, "The model")
    metrics = card["metrics"]
    figures = panel.get_by_role("region", name="Figures").locator("tbody tr")
    said = {row.split("\t")[0]: row.split("\t")[1] for row in figures.all_inner_texts()}
    assert float(said["AUC"]) == pytest.approx(metrics["auc"], abs=5e-5)
    assert float(said["Brier score"]) == pytest.approx(metrics["brier"], abs=5e-5)
    assert len(said) == sum(isinstance(figure, float) for figure in metrics.values())
    expect(panel.get_by_text(f"{card['holdout']['rows']:,} rows that took no part")).to_be_visible()
    calibration, roc = panel.get_by_role("img").all()
    expect(calibration.locator("circle")).to_have_count(len(metrics["calibration"]["positive_rate"]))
    points = len(card["holdout_curves"]["roc"]["recall"])
    assert len(re.findall("[ML]", roc.locator("path").get_attribute("d") or "")) == points
    expect(roc.locator("circle")).to_have_count(1)
    for group in ("18-25", "56+", "single"):
        expect(panel.get_by_role("cell", name=group, exact=True)).to_be_visible()
    for text in (card["served"]["sha256"], card["pickle"]["sha256"], card["tag"]):
        expect(panel.get_by_text(text, exact=True).first).to_be_visible()
    expect(panel.get_by_text("verified by this service")).to_be_visible()
    fields = panel.get_by_role("region", name="Fields").locator("tbody tr")
    expect(fields).to_have_count(len(CONTRACT.fields))
    expect(panel.get_by_text("This token lacks the scope metrics")).to_be_visible()
    assert_quiet(visit, 403)


def test_a_card_without_curves_says_so(visit: Visit, server: str) -> None:
    card = httpx2.get(f"{server}/v1/model", headers=AUTHORIZED).json()
    del card["holdout_curves"], card["metrics"]["calibration"], card["metrics"]["groups"], card["trained_at"]
    card["signature_verified"] = False
    visit.page.route("**/v1/model", lambda route: route.fulfill(json=card))
    enter(visit.page, server)
    panel = tab(visit.page, "The model")
    expect(panel.get_by_text("not recorded")).to_have_count(4)
    expect(panel.get_by_text("not verified: this service has no public key")).to_be_visible()
    expect(panel.get_by_role("img")).to_have_count(0)


@pytest.mark.thorough
def test_drift_is_shown_to_who_may_read_the_metrics(bento: Path, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(
        "".join(token_line("both", scope, "both") for scope in ("predict", "metrics"))
    )
    settings = {"PROPENSITY_TOKENS_FILE": str(tmp_path / "tokens")}
    with serving(bento, tmp_path, settings) as served, visiting(browser, served.url, locale="en") as visit:
        page = visit.page
        page.route("**/v1/predict?*", lambda route: route.abort())
        enter(page, served.url, "both")
        panel = tab(page, "The model")
        expect(panel.get_by_text("No rows have been predicted so far.")).to_be_visible()
        page.unroute("**/v1/predict?*")
        headers = {"Authorization": "Bearer both"}
        content = {CONTRACT.rows: [EXAMPLE] * 50}
        assert httpx2.post(f"{served.url}/v1/predict_batch", json=content, headers=headers).status_code == 200
        tab(page, "One row")
        tab(page, "The model")
        rows = panel.get_by_role("region", name="Drift").locator("tbody tr")
        expect(rows).to_have_count(len(CONTRACT.fields) + 1)
        metrics = httpx2.get(f"{served.url}/metrics", headers=headers).text
        ages = re.findall(r'^propensity_psi\{[^}]*field="age"[^}]*\} (\S+)$', metrics, re.MULTILINE)
        shown = next(row.split("\t") for row in rows.all_inner_texts() if row.startswith("Age"))
        assert float(shown[1]) == pytest.approx(float(ages[0]), rel=1e-3)
        assert shown[2] == "another population"


@pytest.mark.thorough
def test_the_screenshots_are_made_by_the_command_of_docs_page_md(bento: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\n(.*?)\n```", (ROOT / "docs/page.md").read_text(), re.DOTALL)
    for scope in ("predict", "metrics"):
        with (tmp_path / "tokens").open("a") as file:
            file.write(token_line("both", scope, "both"))
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/token").write_text("both\n")
    (tmp_path / "docs").mkdir()
    with serving(bento, tmp_path, {"PROPENSITY_TOKENS_FILE": str(tmp_path / "tokens")}) as served:
        python, *arguments = command.replace("http://127.0.0.1:3000", served.url).split()
        assert (python, served.url in arguments) == (".venv/bin/python", True)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.name: path.read_bytes() for path in (tmp_path / "docs/page").iterdir()}
    assert {f"docs/page/{name}" for name in made} == set(done.stdout.split())
    assert made.keys() == {path.name for path in (ROOT / "docs/page").iterdir()}
    assert all(content.startswith(b"\x89PNG") for content in made.values())
