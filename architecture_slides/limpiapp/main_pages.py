"""LimpiApp's deck: twelve pages that are shown, then an annex to be read, all of limpiapp.yaml."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from architecture_slides.limpiapp.annex import ANNEX
from architecture_slides.limpiapp.architecture import DAY_ONE, Architecture, DeckPage, Element
from architecture_slides.limpiapp.edition import BATCH, Edition
from architecture_slides.limpiapp.picture import (
    PHASE_WORDS,
    PHASES,
    cards,
    key,
    legend,
    look_of,
    picture,
)
from architecture_slides.limpiapp.timeline import FILLS, LATE, RETRY, timeline
from architecture_slides.typesetting.chart import bars
from architecture_slides.typesetting.content import Language, begun
from architecture_slides.typesetting.deck import (
    DARK,
    LEFT,
    LINE,
    PALE,
    PAPER,
    RETURN,
    RIGHT,
    TOP,
    WIDE,
    Arrow,
    Axis,
    Box,
    Deck,
    Drawing,
    Item,
    Line,
    Shape,
    Slide,
    chip,
    columns,
    exhibit,
    slides,
    text_width,
)

NOTES = {
    "traps": (400, 100, 13),
    "latency": (TOP, 390, 20),
    "learning": (TOP, 390, 20),
    "monitoring": (TOP, 390, 20),
    "volume": (290, 200, 16),
}
"""Where notes stand on a page of the annex: top, height, size of letters. The main pages draw their own."""

COSTS = {"people": DARK, "fixed_cost": "#9aa7b3", "volume_cost": "#e0b23c"}
HEAT = ("#eef3f6", "#f3efe3", "#f7e2c8", "#f5cdbf", "#efb3ab")
"""Colours of the map of risks, by likelihood and harm added."""

LABELS = "#efe8f6"
"""The colour of a wait for labels."""

SIGNS = {"managed": "●", "open_source": "○"}
"""Signs of the kinds of products."""

FAINT, LOOP = "#1f5f8e", "#f0996b"
"""Colours of the way of the data on the dark of the cover."""

STEPS = ("step_sources", "step_bus", "step_store", "step_models", "step_decisions")
"""From what happens to what is done."""


class LimpiApp:
    """LimpiApp's pages in one language."""

    def __init__(self, architecture: Architecture, language: Language) -> None:
        self._edition = Edition(architecture, language)

    def deck(self) -> Deck:
        """All pages.

        Raises:
            ContentError: a page or word is missing, or names what is not computed.
        """
        shown = [slide for page in self._edition.of.pages for slide in self._slides(page)]
        return Deck("LimpiApp", self._edition.language, tuple(shown))

    def _slides(self, page: DeckPage) -> list[Slide]:
        words = self._edition.words
        corner = [words["annex"]] if page.annex else []
        corner += [f"{words['question']} {page.question}"] if page.question else []
        corner += [_gathered(page.answers)] if page.answers else []
        return slides(
            page,
            exhibit(page, ANNEX if page.annex else MAIN, self._edition, NOTES),
            words,
            source=words["footer"],
            corner=" · ".join(corner),
            place=NOTES.get(page.id),
        )


def _gathered(answers: Sequence[str]) -> str:
    """Requirements in short: R1a and R1b as R1ab."""
    letters: dict[str, str] = {}
    for answer in answers:
        letters[answer[:2]] = letters.get(answer[:2], "") + answer[2:]
    return " ".join(f"{requirement}{parts}" for requirement, parts in letters.items())


def _cover(edition: Edition) -> list[Sequence[Item]]:
    """What the deck is, under its title, and the way of the data."""
    words = edition.words
    told = Box(50, 268, 830, 80, words["cover_head"], words["cover_text"], 20, DARK, PAPER)
    wide, gap, left, top, high = 150.0, 22.5, 60.0, 404.0, 48.0
    items: list[Shape] = [Line(((60, 248), (300, 248)), LOOP, 5)]
    for place, step in enumerate(STEPS):
        x = left + place * (wide + gap)
        told_step = begun(words[step])
        items.append(chip(x, top, wide, high, told_step, fill=FAINT, ink=PAPER, size=16, outline="#8cc4ee"))
        if place:
            items.append(Arrow(((x - gap, top + high / 2), (x, top + high / 2)), PALE, 1.5))
    first, last, low = left + wide / 2, left + 4 * (wide + gap) + wide / 2, top + high + 28
    items.append(Arrow(((last, top + high), (last, low), (first, low), (first, top + high)), LOOP, 3))
    return [(Drawing(words["cover_alt"], tuple(items)), told)]


def _summary(edition: Edition) -> list[Sequence[Item]]:
    """Five steps and the way back, a claim under each, and what is to be decided."""
    words = edition.words
    claims, decisions = ([words.of(point) for point in note.points] for note in edition.page("summary").notes)
    wide, gap = columns(len(STEPS), 22)
    top, high = 126, 72
    items: list[Shape] = []
    told: list[Item] = []
    for place, (step, claim) in enumerate(zip(STEPS, claims, strict=True)):
        x = LEFT + place * (wide + gap)
        items.append(chip(x, top, wide, high, begun(words[step]), fill=DARK, ink=PAPER, size=20))
        told.append(chip(x, top + high + 36, wide, 84, claim, fill=PALE, size=17))
        if place:
            items.append(Arrow(((x - gap, top + high / 2), (x, top + high / 2)), width=2))
    # An online score does not pass the store.
    bus, models = (LEFT + place * (wide + gap) + wide / 2 for place in (1, 3))
    lane = top + high + 17
    items.append(Arrow(((bus, top + high), (bus, lane), (models, lane), (models, top + high)), DARK, 2))
    items.append(chip(410, lane - 12, 140, 24, begun(words["in_real_time"]), fill=PAPER, ink=DARK, size=15))
    first, last, loop = LEFT + wide / 2, RIGHT - wide / 2, top - 30
    items.append(Arrow(((last, top), (last, loop), (first, loop), (first, top)), RETURN, 3))
    items.append(chip(320, loop - 13, 320, 26, begun(words["returned_to"]), fill=PAPER, ink=RETURN, size=16))
    y = 364
    items.append(Box(LEFT - 5, y, WIDE, 28, words["to_decide"], size=18, ink=DARK, fill=None))
    wide, gap = columns(len(decisions), 22)
    for place, decision in enumerate(decisions):
        x = LEFT + place * (wide + gap)
        items.append(chip(x, y + 36, 44, 72, str(place + 1), fill=DARK, ink=PAPER, size=22))
        told.append(chip(x + 44, y + 36, wide - 44, 72, decision, fill=PALE, size=18))
    return [(Drawing(words["summary_alt"], tuple(items)), *told)]


def _uses(edition: Edition) -> list[Sequence[Item]]:
    """From what the business wants to what shows that it helps; a product has the look of its phase."""
    words = edition.words
    heads = ("wanted", "product", "decides", "measured")
    wide, gap = columns(len(heads), 28)
    items: list[Shape] = [
        Box(LEFT + place * (wide + gap), 78, wide, 28, words[head], size=17, ink=DARK, align="center")
        for place, head in enumerate(heads)
    ]
    for row, use in enumerate(edition.of.uses):
        y, high = 114 + row * 128, 108
        phase = max(edition.elements[name].phase for name in use.elements)
        texts = [words.of(text) for text in (use.name, use.product, use.decides, use.measured)]
        xs = [LEFT + place * (wide + gap) for place in range(len(texts))]
        items += [
            chip(xs[0], y, wide, high, texts[0], fill=DARK, ink=PAPER, size=18),
            chip(xs[1], y, wide, high, texts[1], head=words[PHASE_WORDS[phase]], size=17, **PHASES[phase]),
            chip(xs[2], y, wide, high, texts[2], fill=PAPER, size=17, outline=LINE),
            chip(xs[3], y, wide, high, texts[3], fill=PAPER, size=17, outline=LINE),
        ]
        items += [Arrow(((x - gap, y + high / 2), (x, y + high / 2)), width=2) for x in xs[1:]]
    return [(Drawing(words["uses_alt"], tuple(items)),)]


def _architecture(edition: Edition) -> list[Sequence[Item]]:
    return [(picture(edition), legend(edition, 53), key(edition, 425))]


def _realtime(edition: Edition) -> list[Sequence[Item]]:
    drawn = timeline(edition, edition.stream, top=122, pitch=41, step=500, alt=edition.words["realtime_alt"])
    return [(drawn, *cards(edition, "realtime", 404, 96, 16))]


def _batch(edition: Edition) -> list[Sequence[Item]]:
    flow, alt = edition.flows[BATCH], edition.words["batch_alt"]
    drawn = timeline(edition, flow, top=116, pitch=60, step=15, alt=alt, until=90)
    return [(drawn, *cards(edition, "batch", 406, 90, 16))]


def _worst(edition: Edition) -> list[Sequence[Item]]:
    """Each ingestion as a bar, with the time that one retry adds, and what its sources do by default."""
    words, flows = edition.words, edition.ingestions
    sla = max(flow.sla for flow in flows)
    fills = {**FILLS, "retry": RETRY}
    spent = {
        begun(words[kind]): [sum(each.budget for each in flow.stages if each.kind == kind) for flow in flows]
        for kind in FILLS
    }
    spent[begun(words["retry"])] = [flow.worst_with_retry - flow.worst for flow in flows]
    told = [f"{edition.number(flow.worst)} → {edition.number(flow.worst_with_retry)} min" for flow in flows]
    shown = bars(
        [words.of(flow.name) for flow in flows],
        spent,
        Axis("", {tick: edition.number(tick) for tick in (0, 30, 60, 90, 120)}),
        at=(LEFT, 84),
        size=(680, 378),
        alt=words["worst_alt"],
        colours=tuple(fills.values()),
        ends=told,
        marker=(sla, f"SLA: {edition.number(sla)} min"),
        letters=15,
    )
    _, top, _, high = shown.area
    pitch = high / len(flows)
    late: list[Shape] = [Box(722, top - 30, 202, 26, words["by_default"], size=16)]
    for place, flow in enumerate(flows):
        if here := [words.of(each.late) for each in edition.of.sources if each.flow == flow.id and each.late]:
            y = top + (place + 0.5) * pitch - 20
            late.append(chip(722, y, 202, 40, "\n".join(here), fill=LATE, size=14))
    foot = Box(LEFT - 5, 466, WIDE, 28, text=words["retried"], size=16)
    return [(shown, Drawing(words["late_alt"], tuple(late)), foot)]


def _implementations(edition: Edition) -> list[Sequence[Item]]:
    """Six layers, each with its elements, and for each what to launch with and what stands beside it."""
    words, gap, pitch, high = edition.words, 6, 67, 61
    items: list[Shape] = []
    for row, layer in enumerate(edition.of.layers):
        y = 62 + row * pitch
        items.append(chip(LEFT, y, 82, high, words.of(layer.name), fill=DARK, ink=PAPER))
        elements = [each for each in edition.of.elements if each.layer == layer.id]
        wide = (WIDE - 82 - gap * len(elements)) / len(elements)
        for place, element in enumerate(elements):
            x = LEFT + 82 + gap + place * (wide + gap)
            told = "\n".join(_marked(element, name) for name in (element.launch, element.alternative))
            look = look_of(edition, element.id)
            items.append(chip(x, y, wide, high, told, head=words.of(element.short), **look))
    y = 62 + pitch * len(edition.of.layers) + 3
    items.append(Box(LEFT + 82, y, WIDE - 82, 24, text=words["two_lines"], size=14, fill=None))
    return [(Drawing(words["implementations_alt"], tuple(items)),)]


def _marked(element: Element, name: str) -> str:
    """A product with a sign of its kind."""
    found = element.implementation(name)
    return f"{SIGNS[found.kind]}\u2009{name}" if found else name


def _day_one(edition: Edition) -> list[Sequence[Item]]:
    """What the team starts with, what that stands on, and the fact that brings each of the others."""
    words = edition.words
    first = [each for each in edition.of.elements if each.phase == DAY_ONE]
    base = [each for each in edition.of.elements if each.phase == "P0"]
    items: list[Shape] = [
        Box(LEFT - 5, 88, 290, 28, words["first_day"], size=17, ink=DARK),
        Box(LEFT - 5, 394, 290, 28, words["comes_with_the_cloud"], size=17, ink=DARK),
        Box(346, 88, 284, 28, words["arrives"], size=17, ink=DARK),
    ]
    for place, element in enumerate(first):
        x, y = LEFT + 148 * (place % 2), 118 + 54 * (place // 2)
        items.append(chip(x, y, 140, 48, element.launch, head=words.of(element.short), **PHASES[DAY_ONE]))
    for place, element in enumerate(base):
        x, y = LEFT + 148 * (place % 2), 424 + 36 * (place // 2)
        items.append(chip(x, y, 140, 30, words.of(element.short), **PHASES["P0"]))
    later = sorted(
        (each for each in edition.of.elements if each.phase in {"P2", "P3"}), key=lambda each: each.phase
    )
    facts = dict.fromkeys(words.of(each.arrives) for each in later)
    for place, fact in enumerate(facts):
        y = 118 + 49 * place
        items.append(chip(346, y, 256, 42, begun(fact), fill=PALE))
        items.append(Arrow(((602, y + 21), (624, y + 21)), width=2))
        left = 624.0
        for element in later:
            if words.of(element.arrives) == fact:
                name = words.of(element.short)
                wide = text_width(name, 14) + 10
                items.append(chip(left, y + 5, wide, 32, name, **look_of(edition, element.id)))
                left += wide + 5
    items.append(Box(341, 464, RIGHT - 341, 28, text=words["before_first_day"], size=16))
    return [(Drawing(words["day_one_alt"], tuple(items)),)]


def _cost(edition: Edition) -> list[Sequence[Item]]:
    """A month: people, and the platform at each size, on one scale."""
    words, plans = edition.words, edition.plans
    team = edition.large.team_usd_month
    names = [words["people"]]
    names += [
        f"{words['platform']} {edition.number(each.services_per_day)} {words['services']}" for each in plans
    ]
    costs = {
        "people": [team, *(0 for _ in plans)],
        "fixed_cost": [0, *(each.fixed_usd_month for each in plans)],
        "volume_cost": [0, *(each.volume_usd_month for each in plans)],
    }
    sums = [sum(each) for each in zip(*costs.values(), strict=True)]
    shown = bars(
        names,
        {words[name]: each for name, each in costs.items()},
        Axis(words["usd_month"], {tick: edition.number(tick) for tick in range(0, 12_001, 3_000)}),
        at=(LEFT, 72),
        size=(WIDE, 296),
        alt=words["cost_alt"],
        colours=tuple(COSTS.values()),
        ends=[f"{edition.number(round(each, -1))} USD" for each in sums],
        letters=16,
    )
    return [(shown, *cards(edition, "cost", 382, 114, 17))]


def _risks(edition: Edition) -> list[Sequence[Item]]:
    """What may go wrong, the likelier to the right, the worse above, each with its answer."""
    words, names, top, gap = edition.words, 108, 62, 6
    wide, high = (WIDE - names - 2 * gap) / 3, 128
    items: list[Shape] = []
    for row, harm in enumerate((3, 2, 1)):
        y = top + row * (high + gap)
        items.append(
            chip(LEFT, y, names - gap, high, "", head=words[f"harm_{harm}"], fill=None, ink=DARK, size=15)
        )
        for column, likely in enumerate((1, 2, 3)):
            x = LEFT + names + column * (wide + gap)
            items.append(Box(x, y, wide, high, fill=HEAT[harm + likely - 2]))
            here = [each for each in edition.of.dangers if (each.harm, each.likely) == (harm, likely)]
            for place, each in enumerate(here):
                told = begun(words.of(each.response))
                at = y + high / 2 + (place - len(here) / 2) * 58 + 4
                items.append(chip(x + 12, at, wide - 24, 50, told, head=words.of(each), fill=PAPER))
                if each.legal:
                    items.append(Box(x + 12, at, 6, 50, fill=DARK))
    y = top + 3 * (high + gap)
    for column, likely in enumerate((1, 2, 3)):
        x = LEFT + names + column * (wide + gap)
        items.append(Box(x, y, wide, 26, words[f"likely_{likely}"], size=15, ink=DARK, align="center"))
    items += [Box(LEFT, y + 6, 6, 16, fill=DARK), Box(LEFT + 6, y, 96, 26, text=words["legal"], size=14)]
    return [(Drawing(words["risks_alt"], tuple(items)),)]


def _roadmap(edition: Edition) -> list[Sequence[Item]]:
    """The phases to scale, each with what ends it beside it, and what would change the architecture."""
    words, steps, of = edition.words, edition.of.roadmap, edition.of.capacity
    last = max(step.weeks[1] for step in steps)
    left, axis, pitch, top = LEFT + 12, 450, 52, 118
    scale = axis / last
    foot = top + pitch * len(steps)
    items: list[Shape] = []
    for week in range(0, last + 1, 4):
        at = left + week * scale
        items.append(Line(((at, top), (at, foot + 56)), PALE, 1))
        items.append(Box(at - 34, foot + 56, 68, 22, text=str(week), size=14, align="center"))
    items.append(Box(left + axis + 14, foot + 56, 90, 22, text=begun(words["weeks"]), size=14))
    for place, step in enumerate(steps):
        y, (begin, end) = top + place * pitch, step.weeks
        x, long = left + (begin - 1) * scale, (end - begin + 1) * scale
        items.append(chip(x, y + 6, long, 40, step.id, size=14, **PHASES[step.id]))
        done = begun(words.of(step.shown))
        items.append(Box(512, y + 2, RIGHT - 512, 48, words.of(step), done, size=15))
    # Labels are gathered from when services are scored, until the slower of two ways to count them is done.
    waits = {
        "labels_online": (of.shadow_week, of.shadow_week + edition.plans[0].days_to_first_model[1] / 7),
        "labels_batch": (of.soft_launch_week, of.soft_launch_week + of.outcome_days / 7),
    }
    for place, (name, (since, until)) in enumerate(waits.items()):
        x, long = left + since * scale, (until - since) * scale
        items.append(
            chip(x + 2, foot + 4 + 26 * place, long, 23, begun(words[name]), fill=LABELS, outline="#b9a6cf")
        )
    at = left + of.soft_launch_week * scale
    items.append(Line(((at, top - 4), (at, foot + 54)), DARK, 3))
    items.append(
        Box(at - 90, top - 28, 180, 24, begun(words["soft_launch"]), size=14, ink=DARK, align="center")
    )
    (note,) = edition.page("roadmap").notes
    items.append(Box(LEFT - 5, 414, WIDE, 26, words.of(note.head), size=17, ink=DARK, fill=None))
    wide, gap = columns(len(note.points), 16)
    told = [
        chip(LEFT + place * (wide + gap), 442, wide, 54, words.of(point), fill=LATE, size=16)
        for place, point in enumerate(note.points)
    ]
    return [(Drawing(words["roadmap_alt"], tuple(items)), *told)]


MAIN: dict[str, Callable[[Edition], list[Sequence[Item]]]] = {
    "cover": _cover,
    "summary": _summary,
    "uses": _uses,
    "architecture": _architecture,
    "realtime": _realtime,
    "batch": _batch,
    "worst": _worst,
    "implementations": _implementations,
    "day_one": _day_one,
    "cost": _cost,
    "risks": _risks,
    "roadmap": _roadmap,
}
"""What each main page shows."""
