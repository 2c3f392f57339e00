"""The page of LimpiApp's architecture, in a browser: what it shows and refuses, without a network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, chromium, visiting
from playwright.sync_api import Browser, Locator, Page, expect

from architecture_slides.__main__ import HERE
from architecture_slides.limpiapp.architecture import Architecture, Ends, read
from architecture_slides.limpiapp.capacity import plan
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.limpiapp.interactive.data import BORROWED, WORDS, PageWords, digits, stops
from architecture_slides.limpiapp.interactive.page import page as built
from architecture_slides.limpiapp.picture import look_of
from architecture_slides.limpiapp.rules import chosen, shared
from architecture_slides.typesetting.content import Language, begun, load, number
from architecture_slides.typesetting.deck import CONTRAST, contrast

pytestmark = pytest.mark.thorough

FILE = HERE / "limpiapp.html"
DESK = {"width": 1280, "height": 720}
PHONE = {"width": 844, "height": 390}
LOCALES: dict[Language, str] = {"es": "es-CL", "en": "en-US"}

Opening = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def limpiapp() -> Architecture:
    return read()


@pytest.fixture
def english(browser: Browser) -> Iterator[Page]:
    with visiting(browser, FILE.as_uri(), locale="en-US", viewport=DESK) as visit:
        visit.page.goto(FILE.as_uri())
        yield visit.page
        assert (visit.complaints, visit.elsewhere) == ([], [])


def node(page: Page, name: str) -> Locator:
    return page.locator(f'.node[data-id="{name}"]')


def ids(page: Page, selector: str) -> set[str]:
    return {str(each.get_attribute("data-id")) for each in page.locator(selector).all()}


def holding(limpiapp: Architecture) -> str:
    return f"All {len(limpiapp.connections)} connections hold"


def drawn(limpiapp: Architecture, connections: set[str]) -> set[str]:
    """Those of the connections that are lines on the picture."""
    return connections & limpiapp.picture.ways.keys()


def refused(limpiapp: Architecture, ends: dict[str, Ends]) -> set[str]:
    """The connections that do not hold by the rules."""
    return {each.id for each in limpiapp.connections if not shared(each, ends)}


def test_the_committed_page_is_what_a_build_makes(limpiapp: Architecture) -> None:
    assert built(limpiapp) == FILE.read_bytes()


def test_it_opens_from_disk_and_asks_for_nothing_else(browser: Browser, tmp_path: Path) -> None:
    # Alone in a folder whose name has spaces and accents.
    copy = tmp_path / "a folder, así" / "limpiapp.html"
    copy.parent.mkdir()
    copy.write_bytes(FILE.read_bytes())
    asked: list[str] = []
    with visiting(browser, copy.as_uri(), locale="es-CL", viewport=DESK) as visit:
        visit.page.on("request", lambda request: asked.append(request.url))
        visit.page.goto(copy.as_uri())
        for each in visit.page.locator(".node, .route, #cells button").all():
            each.hover()
        expect(visit.page).to_have_title("LimpiApp · arquitectura de datos")
    assert asked == [copy.as_uri()]
    assert (visit.complaints, visit.elsewhere) == ([], [])


def test_its_policy_allows_its_own_style_and_script_alone(english: Page) -> None:
    policy = str(english.locator("meta[http-equiv]").get_attribute("content"))
    text = FILE.read_text()

    def digest(pattern: str) -> str:
        (found,) = re.findall(pattern, text, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()}'"

    assert dict(each.split(" ", 1) for each in policy.split("; ")) == {
        "default-src": "'none'",
        "style-src": digest("<style>(.*)</style>"),
        "script-src": digest('<script type="module">(.*)</script>'),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert not re.search(r"\sstyle=|\son\w+=|<link|\ssrc=", text[: text.index("<script")])


def test_no_text_is_read_as_html(browser: Browser, limpiapp: Architecture, tmp_path: Path) -> None:
    first, *others = limpiapp.elements
    text = "</script><script>document.title = 'no'</script><b>bold</b>"
    first = first.model_copy(update={"purpose": first.purpose.model_copy(update={"en": text})})
    path = tmp_path / "page.html"
    path.write_bytes(built(limpiapp.model_copy(update={"elements": [first, *others]})))
    with visiting(browser, path.as_uri(), locale="en-US", viewport=DESK) as visit:
        visit.page.goto(path.as_uri())
        node(visit.page, first.id).hover()
        expect(visit.page.locator("#panel")).to_contain_text(text)
        expect(visit.page).to_have_title("LimpiApp · data architecture")
    assert visit.complaints == []


@pytest.mark.parametrize("language", ["es", "en"])
def test_pointing_at_an_element_tells_all_of_it(
    browser: Browser, limpiapp: Architecture, language: Language
) -> None:
    edition = Edition(limpiapp, language)
    quotes = {each.id: each.quote for each in limpiapp.requirements}
    with visiting(browser, FILE.as_uri(), locale=LOCALES[language], viewport=DESK) as visit:
        visit.page.goto(FILE.as_uri())
        for element in limpiapp.elements:
            node(visit.page, element.id).hover()
            told = visit.page.locator("#panel").inner_text()
            wanted = [
                begun(edition.words["today"]) if element.phase == "now" else element.phase,
                *map(
                    edition.words.of,
                    (element.name, element.purpose, element.why),
                ),
                begun(edition.words.of(element.arrives)),
                begun(edition.words.of(element.trigger)),
                *(each.name for each in element.implementations),
                element.launch,
                element.alternative,
                *(text for answer in element.answers for text in (answer, quotes[answer])),
            ]
            flows = [
                flow for flow in limpiapp.flows if element.id in {stage.element for stage in flow.stages}
            ]
            wanted += [edition.words.of(flow.name) for flow in flows]
            own = [each for each in limpiapp.connections if element.id in {each.source, each.target}]
            wanted += [
                f"{begun(edition.words.of(each.what))} · {edition.words.of(each.often)}" for each in own
            ]
            assert [each for each in wanted if each not in told] == [], element.id
            assert ids(visit.page, ".way.lit") == drawn(limpiapp, {each.id for each in own})
            assert ids(visit.page, ".node.lit") == {end for each in own for end in (each.source, each.target)}


def test_a_flow_is_told_with_the_share_of_an_element(english: Page, limpiapp: Architecture) -> None:
    for flow in limpiapp.flows:
        element = next(
            each.element for each in flow.stages if each.element in Edition(limpiapp, "en").elements
        )
        own = sum(each.budget for each in flow.stages if each.element == element)

        def time(value: float, unit: str = flow.unit) -> str:
            if unit == "min" and value >= 2 * 1_440:
                return f"{round(value / 1_440, 1):g} days"
            return f"{value:,g} {unit}"

        node(english, element).hover()
        line = english.locator("#panel li", has_text=flow.name.en)
        expect(line.locator("small")).to_have_text(
            f"{time(own)} of {time(flow.worst)}; SLA: {time(flow.sla)}"
        )
        assert line.locator(".own").count() == sum(each.element == element for each in flow.stages)


def test_a_source_tells_how_its_data_come_and_whether_the_default_would_do(
    english: Page, limpiapp: Architecture
) -> None:
    flows = {flow.id: flow.name.en for flow in limpiapp.flows}
    for source in limpiapp.sources:
        node(english, source.id).hover()
        panel = english.locator("#panel")
        for text in (
            source.name.en,
            begun(source.path.en),
            begun(source.default_path.en),
            flows[source.flow],
        ):
            expect(panel).to_contain_text(text)
        assert panel.get_by_text("misses the SLA").count() == (source.late is not None)


def test_each_stack_names_its_products_and_holds(english: Page, limpiapp: Architecture) -> None:
    stacks = {"At launch": {each.id: each.launch for each in limpiapp.elements}}
    stacks |= {each.name.en: each.elements for each in limpiapp.stacks}
    for name, products in stacks.items():
        english.get_by_text(name, exact=True).first.click()
        expect(english.get_by_role("radio", name=name, exact=True)).to_be_checked()
        for element in limpiapp.elements:
            shown = " ".join(node(english, element.id).locator(".product").all_text_contents())
            assert shown == products[element.id]
        expect(english.get_by_role("status")).to_have_text(holding(limpiapp))
        assert ids(english, ".broken") == set()


def test_a_product_that_does_not_fit_turns_its_connections_red_and_says_why(
    english: Page, limpiapp: Architecture
) -> None:
    sentence = "BigQuery takes nothing that Amazon Data Firehose gives"
    (landing,) = [each for each in limpiapp.elements if each.id == "landing"]
    firehose = landing.implementation("Amazon Data Firehose")
    assert firehose is not None
    wanted = refused(limpiapp, {**chosen(limpiapp)["gcp"], "landing": firehose})
    english.get_by_text("GCP", exact=True).click()
    node(english, "landing").click()
    english.get_by_label("Product on the picture").select_option(firehose.name)
    expect(english.locator("#panel p.refusal").get_by_text(sentence)).to_have_count(1)
    expect(english.get_by_role("status")).to_have_text(
        f"Do not hold: {len(wanted)} of {len(limpiapp.connections)}"
    )
    assert ids(english, ".way.broken") == wanted
    assert ids(english, ".node.broken") >= {"landing", "sql"}
    for name in wanted:
        way = english.locator(f'.way[data-id="{name}"]')
        assert way.evaluate("(way) => getComputedStyle(way).color") == "rgb(176, 20, 27)"
    expect(node(english, "landing")).to_have_text(re.compile("Amazon Data.*Firehose"))
    # It stays in sight when the panel tells of the whole again.
    english.keyboard.press("Escape")
    expect(english.locator("#panel")).to_contain_text(sentence)
    english.get_by_role("button", name="Undo").click()
    expect(english.get_by_role("status")).to_have_text(holding(limpiapp))
    expect(english.get_by_role("button", name="Undo")).to_be_hidden()
    assert ids(english, ".broken") == set()


def test_what_the_page_refuses_is_what_the_rules_refuse(english: Page, limpiapp: Architecture) -> None:
    launch = dict(chosen(limpiapp)["launch"])
    found = 0
    for element in limpiapp.elements:
        node(english, element.id).click()
        product = english.get_by_label("Product on the picture")
        for each in element.implementations:
            product.select_option(each.name)
            wanted = refused(limpiapp, {**launch, element.id: each})
            assert ids(english, ".way.broken") == drawn(limpiapp, wanted), f"{element.id}: {each.name}"
            broken = [one for one in limpiapp.connections if one.id in wanted]
            ends = {end for one in broken for end in (one.source, one.target)}
            assert ids(english, ".node.broken") == ends, f"{element.id}: {each.name}"
            option = english.locator("#product option:checked")
            expect(option).to_have_text(f"✗ {each.name}" if wanted else each.name)
            found += bool(wanted)
        product.select_option(element.launch)
        english.keyboard.press("Escape")
    assert found > 10


def test_a_requirement_lights_up_what_answers_it(english: Page, limpiapp: Architecture) -> None:
    cells = english.locator("#cells button")
    assert cells.all_inner_texts() == [each.id for each in limpiapp.requirements]
    for requirement in limpiapp.requirements:
        cells.get_by_text(requirement.id, exact=True).click()
        expect(english.locator("#panel")).to_contain_text(requirement.quote)
        answering = {each.id for each in limpiapp.elements if requirement.id in each.answers}
        assert ids(english, ".node.about") == answering
        flows = [each for each in limpiapp.flows if requirement.id in each.answers]
        stages = {stage.element for flow in flows for stage in flow.stages}
        assert ids(english, ".node.lit") >= answering & stages
        for flow in flows:
            expect(english.locator("#panel")).to_contain_text(flow.name.en)


def test_what_returns_is_lit_with_the_requirement_that_asks_for_it(english: Page) -> None:
    english.locator("#cells").get_by_text("R5b", exact=True).click()
    assert ids(english, ".way.back.lit") >= {"C30", "C39", "C40", "C41"}
    assert ids(english, ".node.lit") >= {"clevertap", "hubspot", "freshdesk"}


def test_a_number_lights_up_its_route(english: Page, limpiapp: Architecture) -> None:
    for route in limpiapp.picture.routes:
        english.locator(f'.route[data-id="{route.number}"]').click()
        assert ids(english, ".way.lit") == drawn(limpiapp, {*route.connections})
        expect(english.locator("#told")).to_have_text(f"Route {route.number}: {route.what.en}")


def test_what_the_numbers_stand_for_is_below_the_picture(english: Page, limpiapp: Architecture) -> None:
    wanted = [f"{route.number}{begun(route.brief.en)}" for route in limpiapp.picture.routes]
    assert english.locator(".brief").all_text_contents() == wanted
    english.locator(".brief", has_text="Webhooks").click()
    expect(english.locator("#told")).to_have_text("Route 3: webhooks")
    expect(english.locator('.route[data-id="3"]')).to_have_class("route about lit")


def test_what_is_connected_without_a_line_has_a_ring_and_is_listed(
    english: Page, limpiapp: Architecture
) -> None:
    ring = "(box) => [getComputedStyle(box).stroke, getComputedStyle(box).strokeDasharray]"
    node(english, "observability").click()
    assert ids(english, ".way.lit") == set()
    for name in ("cdc", "bus", "serving", "drift"):
        assert node(english, name).locator("> rect").evaluate(ring) == ["rgb(18, 70, 107)", "none"]
    own = [each for each in limpiapp.connections if "observability" in {each.source, each.target}]
    assert english.locator("#panel li", has_text="←").count() == len(own)
    # One of them that does not hold is red, and told.
    node(english, "sql").click()
    english.locator("#product").select_option("Trino + Polaris")
    english.keyboard.press("Escape")
    for name in ("sql", "catalogue", "access"):
        assert node(english, name).locator("> rect").evaluate(ring) == ["rgb(176, 20, 27)", "none"]
    expect(english.locator("#panel .refusal")).to_have_text(
        [
            "Knowledge Catalog takes nothing that Trino + Polaris gives",
            "Trino + Polaris takes nothing that Google Cloud IAM gives",
        ]
    )
    node(english, "bi").click()
    expect(node(english, "catalogue")).to_have_css("opacity", "1")


def test_what_is_not_shown_fades_and_stays_legible(english: Page) -> None:
    node(english, "bi").click()
    faded = node(english, "drift")
    expect(faded).to_have_css("opacity", "0.4")
    # Its ground is white: its outline is what makes it a box.
    expect(faded.locator("> rect")).to_have_css("stroke-dasharray", "4px, 3px")
    expect(node(english, "sql")).to_have_css("opacity", "1")


@pytest.mark.parametrize("language", ["es", "en"])
def test_lines_of_the_panel_begin_with_a_capital(browser: Browser, language: Language) -> None:
    with visiting(browser, FILE.as_uri(), locale=LOCALES[language], viewport=DESK) as visit:
        page = visit.page
        page.goto(FILE.as_uri())
        lines: set[str] = set()
        for part in page.locator(".node, .route, #cells button").all():
            part.hover()
            lines |= {*page.locator("#panel :is(h2, h3, dt, dd, small, p.soft)").all_inner_texts()}
        for flow in page.locator("#panel .link").all_inner_texts():
            lines.add(flow)
    assert len(lines) > 200
    assert {line for line in lines if line and line != begun(line)} == set()


def test_a_click_pins_and_escape_unpins(english: Page) -> None:
    node(english, "bus").click()
    node(english, "sql").hover()
    expect(english.locator("#told")).to_have_text("Event bus and schemas")
    english.keyboard.press("Escape")
    assert ids(english, ".lit") == set()
    node(english, "bi").hover()
    expect(english.locator("#told")).to_have_text("BI")
    # A link of the panel pins what it names; beside the parts, a click unpins.
    node(english, "sql").click()
    english.locator("#panel").get_by_role("button", name="R2a").click()
    expect(english.locator("#told")).to_contain_text("R2a")
    english.locator("#ground").click(position={"x": 3, "y": 3})
    expect(english.locator("#told")).to_have_text("At launch")


def test_the_keyboard_alone_does_it(english: Page) -> None:
    def reached(selector: str) -> bool:
        return bool(english.evaluate("(selector) => document.activeElement.matches(selector)", selector))

    def tab_to(selector: str) -> None:
        for _ in range(80):
            english.keyboard.press("Tab")
            if reached(selector):
                return
        pytest.fail(f"no Tab leads to {selector}")

    tab_to("#choices input")
    english.keyboard.press("ArrowRight")
    expect(english.get_by_role("radio", name="GCP")).to_be_checked()
    tab_to('.node[data-id="landing"]')
    expect(english.locator("#told")).to_have_text("Writer of bronze")
    english.keyboard.press("Enter")
    assert reached("#panel")
    tab_to("#product")
    for _ in range(4):
        if english.locator("#panel p.refusal").count():
            break
        english.keyboard.press("ArrowDown")
        assert reached("#product")
    expect(english.locator("#panel")).to_contain_text("BigQuery takes nothing that")
    english.keyboard.press("Escape")
    assert reached('.node[data-id="landing"]')
    tab_to("#slider")
    services = english.locator("#services").inner_text()
    english.keyboard.press("ArrowRight")
    assert english.locator("#services").inner_text() != services


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_slider_shows_the_plans_of_the_calculator(
    browser: Browser, limpiapp: Architecture, language: Language
) -> None:
    of, sizes = limpiapp.capacity, stops(limpiapp.capacity)
    with visiting(browser, FILE.as_uri(), locale=LOCALES[language], viewport=DESK) as visit:
        page = visit.page
        page.goto(FILE.as_uri())
        for place in sorted({0, len(sizes) - 1, 30, 70, *map(sizes.index, of.services_per_day)}):
            page.locator("#slider").fill(str(place))
            wanted = plan(of, sizes[place])

            def written(value: float) -> str:
                return number(value, language, digits(value))

            shown = {
                name: page.locator(f"#{name}").inner_text()
                for name in ("peak_events", "peak_scores", "stored", "read")
            }
            assert shown == {
                "peak_events": written(wanted.peak_events_per_second),
                "peak_scores": written(wanted.peak_scores_per_second),
                "stored": written(wanted.stored_gb_a_year),
                "read": written(wanted.read_tib_month),
            }
            expect(page.locator("#services")).to_contain_text(f"{number(sizes[place], language)} ")
            expect(page.locator("#total")).to_have_text(written(wanted.usd_month))
            costs = wanted.team_usd_month, wanted.fixed_usd_month, wanted.volume_usd_month
            assert page.locator("#parts strong").all_inner_texts() == [written(each) for each in costs]
            days = page.locator("#days_to_first_model").inner_text()
            assert re.findall(r"[\d.,]+", days) == [
                number(each, language) for each in dict.fromkeys(wanted.days_to_first_model)
            ]


def test_the_bar_of_costs_is_to_scale(english: Page, limpiapp: Architecture) -> None:
    sizes = stops(limpiapp.capacity)
    english.locator("#slider").fill(str(len(sizes) - 1))
    of = plan(limpiapp.capacity, sizes[-1])
    widths = english.locator("#bar").evaluate(
        "(bar) => [...bar.children].map((each) => each.getBoundingClientRect().width / bar.clientWidth)"
    )
    costs = of.team_usd_month, of.fixed_usd_month, of.volume_usd_month
    assert widths == pytest.approx([each / of.usd_month for each in costs], abs=0.01)


def test_the_stops_lead_through_the_sizes_of_the_decks_and_beyond(limpiapp: Architecture) -> None:
    sizes = stops(limpiapp.capacity)
    assert {*limpiapp.capacity.services_per_day} < {*sizes}
    assert (sizes[0], sizes[-1]) == (50, 40_000)
    assert 60 <= len(sizes) <= 120
    assert max(other / one for one, other in pairwise(sizes)) < 1.13


@pytest.mark.parametrize(
    ("value", "wanted"), [(0.347, 2), (2.7, 1), (7, 0), (54.9, 0)], ids=["small", "some", "whole", "many"]
)
def test_numbers_have_the_digits_that_say_something(value: float, wanted: int) -> None:
    assert digits(value) == wanted


def test_the_language_is_the_browsers_and_can_be_switched(browser: Browser) -> None:
    for locale, first, switch, other, language in (
        ("es-AR", "Requisitos del desafío", "English", "Requirements of the brief", "en"),
        ("fr-FR", "Requirements of the brief", "Español", "Requisitos del desafío", "es"),
    ):
        with visiting(browser, FILE.as_uri(), locale=locale, viewport=DESK) as visit:
            page = visit.page
            page.goto(FILE.as_uri())
            expect(page.locator("#requirements")).to_have_text(first)
            node(page, "bi").click()
            page.get_by_role("button", name=switch).click()
            expect(page.locator("#requirements")).to_have_text(other)
            expect(page.locator("html")).to_have_attribute("lang", language)
            # What is pinned stays.
            expect(page.locator("#told")).to_have_text("BI")


def test_it_fits_a_small_projector_without_scrolling(english: Page) -> None:
    size = english.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [1280, 720]
    box = english.locator("#picture .band").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 720
    assert box["width"] > 800


def test_the_costs_are_one_row_in_sight(browser: Browser) -> None:
    with visiting(browser, FILE.as_uri(), locale="es-CL", viewport=DESK) as visit:
        visit.page.goto(FILE.as_uri())
        boxes = [each.bounding_box() for each in visit.page.locator("#parts li").all()]
    assert len({box["y"] for box in boxes if box}) == 1
    assert all(box and box["y"] + box["height"] < 716 for box in boxes)


def test_a_phone_held_sideways_shows_the_picture_and_what_is_tapped(browser: Browser) -> None:
    options: dict[str, Any] = {"locale": "en-US", "viewport": PHONE, "has_touch": True, "is_mobile": True}
    with visiting(browser, FILE.as_uri(), **options) as visit:
        page = visit.page
        page.goto(FILE.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        header = page.locator("header").bounding_box()
        assert header is not None
        assert header["height"] == 36
        for whole in page.locator("#picture, #panel").all():
            expect(whole).to_be_in_viewport(ratio=1)
        node(page, "reverse").tap()
        expect(page.locator("#told")).to_be_in_viewport()
        panel = page.locator("#panel").bounding_box()
        assert panel is not None
        assert panel["width"] == 300
        for name in ("reverse", "bus", "clevertap"):
            part = node(page, name).bounding_box()
            assert part is not None
            assert part["x"] + part["width"] <= panel["x"]
            assert part["y"] + part["height"] <= PHONE["height"]
        page.get_by_role("button", name="Unpin").tap()
        expect(page.locator(".lit")).to_have_count(0)


@pytest.mark.parametrize("language", ["es", "en"])
def test_every_name_and_product_fits_its_box(browser: Browser, language: Language) -> None:
    outside = """() => [...document.querySelectorAll(".node")].filter((node) => {
      const [box, text] = [node.querySelector("rect").getBBox(), node.querySelector(".label").getBBox()];
      return text.x < box.x || text.y < box.y - 1 || text.x + text.width > box.x + box.width
        || text.y + text.height > box.y + box.height + 1;
    }).map((node) => node.ariaLabel)"""
    with visiting(browser, FILE.as_uri(), locale=LOCALES[language], viewport=DESK) as visit:
        visit.page.goto(FILE.as_uri())

        def check() -> None:
            assert visit.page.evaluate(outside) == []
            sizes = visit.page.locator("#picture .product").evaluate_all(
                "(texts) => texts.map((each) => each.getScreenCTM().a * each.getAttribute('font-size'))"
            )
            assert min(sizes) >= 11

        for choice in visit.page.locator("#choices span").all():
            choice.click()
            check()
        visit.page.locator("#choices span").first.click()
        for part in visit.page.locator(".node").all():
            part.click()
            for product in visit.page.locator("#product option").all():
                visit.page.locator("#product").select_option(product.get_attribute("value"))
                check()
            visit.page.keyboard.press("Escape")


COLOURS = """() => {
  const grounds = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const {backgroundColor} = getComputedStyle(at);
      if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
    }
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".unseen, script, option")) continue;
    const style = getComputedStyle(element);
    const isDrawn = element instanceof SVGElement;
    const behind = isDrawn && document.elementsFromPoint(
      element.getBoundingClientRect().x + element.getBoundingClientRect().width / 2,
      element.getBoundingClientRect().y + element.getBoundingClientRect().height / 2,
    ).find((each) => each.tagName === "rect");
    found.push([element.textContent, isDrawn ? style.fill : style.color,
      behind ? getComputedStyle(behind).fill : grounds(element)]);
  }
  return found;
}"""
"""Each text that is seen, its colour, and that of what is behind it."""


def hexadecimal(colour: str) -> str:
    """`#rrggbb` of what a browser calls an opaque colour."""
    assert colour.startswith("rgb("), colour
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(browser: Browser, scheme: str) -> None:
    with visiting(browser, FILE.as_uri(), locale="en-US", viewport=DESK, color_scheme=scheme) as visit:
        page = visit.page
        page.goto(FILE.as_uri())
        seen = page.evaluate(COLOURS)
        node(page, "landing").click()
        page.locator("#product").select_option("Amazon Data Firehose")
        seen += page.evaluate(COLOURS)
        page.locator("#cells button").first.click()
        seen += page.evaluate(COLOURS)
    assert len(seen) > 300
    weak = {
        (text, ink, ground)
        for text, ink, ground in seen
        if contrast(hexadecimal(ink), hexadecimal(ground)) < CONTRAST
    }
    assert weak == set()


def test_boxes_look_as_on_the_decks(english: Page, limpiapp: Architecture) -> None:
    edition = Edition(limpiapp, "en")
    for name in [*edition.sources, *edition.elements]:
        box, look = node(english, name).locator("> rect"), look_of(edition, name)
        assert (box.get_attribute("fill"), box.get_attribute("stroke")) == (look["fill"], look["outline"])
        assert (box.get_attribute("stroke-dasharray") is not None) == look.get("dashed", False)


def test_the_picture_says_in_words_what_it_shows(english: Page, limpiapp: Architecture) -> None:
    expect(english.locator("#picture")).to_have_attribute("aria-label", limpiapp.picture.alt.en)
    expect(english.get_by_role("button", name="Change data capture: Debezium")).to_have_count(1)
    expect(english.locator("#panel")).to_have_attribute("aria-live", "polite")
    for each in limpiapp.requirements:
        expect(english.get_by_role("button", name=f"{each.id}: {each.en}")).to_have_count(1)


def test_every_word_is_used() -> None:
    page = "".join((WORDS.parent / name).read_text() for name in ("page.js", "page.html"))
    figures = {"peak_events", "peak_scores", "stored", "read", "days_to_first_model"}
    of_kinds = {f"{kind}_flow" for kind in ("polled", "stream")}
    assert "word(`${kind}_flow`" in page
    elsewhere = figures | of_kinds | {"days"}
    assert {
        name for name in {*load(WORDS, PageWords).words, *BORROWED} - elsewhere if f'"{name}"' not in page
    } == set()
