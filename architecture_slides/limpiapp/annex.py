"""The annex of LimpiApp's deck: what stands behind each main page, to be read and not to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from architecture_slides.limpiapp.architecture import Decision, Element, Flow, Requirement
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.typesetting.content import begun
from architecture_slides.typesetting.deck import (
    BOTTOM,
    LEFT,
    TOP,
    WIDE,
    Box,
    Drawing,
    Item,
    Shape,
    Table,
    chain,
    chip,
    columns,
    table,
)

HEAT = ("#eaf5ed", "#cfe6d6", "#a4d1b1", "#7fbf93")
"""Colours of a requirement that one, two, three, and more elements answer."""

PATH = ("cdc", "bus", "landing", "sql", "transform", "reverse")
"""What a change in PostgreSQL passes on its way back to an external service."""


def _tables(
    heads: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float], *, each: int, size: float
) -> list[Sequence[Item]]:
    """A table on as many slides as it takes, with so many rows each."""
    return [(table([heads, *rows[at : at + each]], shares, size=size),) for at in range(0, len(rows), each)]


def _matrix(edition: Edition) -> list[Sequence[Item]]:
    """The requirements as fourteen cells, the warmer the more elements answer one."""
    count, high = 5, 124
    wide, gap = columns(count, 10)
    items: list[Shape] = []
    for place, each in enumerate(edition.of.requirements):
        row, column = divmod(place, count)
        elements, flows = _answering(edition, each)
        fill = HEAT[min(len(elements), len(HEAT)) - 1]
        counts = (_counted(edition, len(elements), "element"), _counted(edition, len(flows), "flow"))
        told = f"{edition.words.of(each)}\n{', '.join(counts)}"
        x, y = LEFT + column * (wide + gap), TOP + row * (high + gap)
        items.append(chip(x, y, wide, high, told, head=each.id, fill=fill))
    return [(Drawing(edition.words["matrix_alt"], tuple(items)),)]


def _counted(edition: Edition, things: int, name: str) -> str:
    """So many elements or flows."""
    return edition.words[f"one_{name}"] if things == 1 else f"{things} {edition.words[f'{name}s']}"


def _answering(edition: Edition, of: Requirement) -> tuple[list[Element], list[Flow]]:
    return (
        [each for each in edition.of.elements if of.id in each.answers],
        [each for each in edition.of.flows if of.id in each.answers],
    )


def _traceability(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = []
    for each in edition.of.requirements:
        elements, flows = _answering(edition, each)
        names = ", ".join(words.of(element.name) for element in elements)
        rows.append(
            [f"{each.id}  {words.of(each)}", f"«{each.quote}»", names, ", ".join(flow.id for flow in flows)]
        )
    heads = [begun(words[name]) for name in ("requirement", "quote", "elements", "flows")]
    return _tables(heads, rows, (4, 4, 5, 2), each=14, size=11)


def _elements(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [
            words.of(each.name),
            words.of(each.purpose),
            words["today"] if each.phase == "now" else each.phase,
            words.of(each.arrives),
            " ".join(each.answers),
        ]
        for each in edition.of.elements
    ]
    heads = [words[name] for name in ("element", "does", "phase", "arrives", "answers")]
    return _tables(heads, rows, (3, 5, 0.8, 4, 2), each=13, size=11)


def _implementations(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words

    def row(element: Element) -> list[str]:
        kinds = [
            ", ".join(each.name for each in element.implementations if each.kind == kind)
            for kind in ("managed", "open_source")
        ]
        texts = (words.of(element.why), words.of(element.trigger))
        return [words.of(element.name), *kinds, element.launch, *texts]

    heads = [words[name] for name in ("element", "managed", "open_source", "launch", "why", "trigger")]
    rows = [row(each) for each in edition.of.elements]
    return _tables(heads, rows, (3, 4, 3.4, 3, 4.2, 4.2), each=9, size=11)


def _stacks(edition: Edition) -> list[Sequence[Item]]:
    words, stacks = edition.words, edition.of.stacks
    rows = [
        [words.of(each.name), *(stack.elements[each.id] for stack in stacks), each.launch]
        for each in edition.of.elements
    ]
    heads = [words["element"], *(words.of(stack.name) for stack in stacks), words["launch"]]
    return _tables(heads, rows, (3.4, 3, 3.4, 3, 3), each=13, size=12)


def _paths(edition: Edition) -> list[Sequence[Item]]:
    """By which products a change passes in each stack."""
    words = edition.words
    items: list[Shape] = []
    for row, stack in enumerate(edition.of.stacks):
        y = TOP + row * 136
        items.append(Box(LEFT, y, WIDE, 22, words.of(stack.name), size=14))
        items.append(Box(LEFT, y + 80, WIDE, 40, text=words.of(stack.told), size=13))
        items += chain([("", stack.elements[node]) for node in PATH], y=y + 24, h=50, size=14, gap=18)
    return [(Drawing(words["paths_alt"], tuple(items)),)]


def _connections(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    numbers = {name: str(route.number) for route in edition.of.picture.routes for name in route.connections}
    rows = [
        [
            each.id,
            numbers.get(each.id, words["in_band"]),
            edition.name(each.source),
            edition.name(each.target),
            words.of(each.what),
            words.of(each.often),
        ]
        for each in edition.of.connections
    ]
    heads = [words[name] for name in ("connection", "route", "from", "to", "what", "often")]
    return _tables(heads, rows, (1.1, 0.9, 3, 3, 4, 2.6), each=21, size=10)


def _routes(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [str(route.number), words.of(route.what), ", ".join(route.connections)]
        for route in edition.of.picture.routes
    ]
    return _tables([words["route"], words["what"], words["connection"]], rows, (1, 4, 5), each=13, size=14)


def _stages(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words

    def row(flow: Flow) -> list[str]:
        stages = " + ".join(
            f"{edition.short(stage.element)}: {words.of(stage.what)} {edition.number(stage.budget)}"
            for stage in flow.stages
        )
        total = f"{edition.number(flow.worst)} / {edition.number(flow.sla)} {flow.unit}"
        return [f"{flow.id}  {words.of(flow.name)}", stages, total]

    heads = [words["flow"], words["stages"], f"{words['worst']} / SLA"]
    return _tables(heads, [row(flow) for flow in edition.of.flows], (2, 6, 1.6), each=10, size=10)


def _traps(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = []
    for source in edition.of.sources:
        flow = edition.flows[source.flow]
        late = f" ({words['too_late']})" if source.late else ""
        rows.append(
            [
                words.of(source.name),
                words.of(source.default_path) + late,
                words.of(source.path),
                words.of(flow.name),
                f"{edition.number(flow.worst)} / {edition.number(flow.sla)} min",
            ]
        )
    heads = [words[name] for name in ("source", "default_path", "path", "flow", "worst")]
    # Notes stand below.
    return [(replace(table([heads, *rows], (2, 4, 4, 3, 1.8), size=12), h=300),)]


def _options(edition: Edition, of: Decision) -> str:
    """What was chosen, and what it was chosen over."""
    words = edition.words
    (chosen,) = (words.of(option) for option in of.options if option.chosen)
    others = f" {words['or']} ".join(words.of(option) for option in of.options if not option.chosen)
    return f"{chosen}, {words['rather_than']} {others}"


def _decisions(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [
            f"{each.id}  {words.of(each)}",
            words.of(each.context),
            _options(edition, each),
            words.of(each.cost),
        ]
        for each in edition.of.adrs
    ]
    heads = [words[name] for name in ("decision", "context", "options", "cost")]
    return _tables(heads, rows, (2.4, 3, 4, 4), each=7, size=12)


def _dangers(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    failures = [[words["failure"], words["element"], words["response"]]]
    failures += [
        [f"{each.id}  {words.of(each)}", edition.name(each.element), words.of(each.response)]
        for each in edition.of.failures
    ]
    risks = [[words["risk"], words["response"]]]
    risks += [[f"{each.id}  {words.of(each)}", words.of(each.response)] for each in edition.of.risks]
    return [
        (table(failures, (5, 3, 5), size=14),),
        (table(risks, (1, 1), size=16),),
    ]


def _law(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [[each.article, words.of(each), words.of(each.response)] for each in edition.of.law]
    return _tables([words["article"], words["asks"], words["response"]], rows, (1, 5, 5), each=8, size=14)


def _assumptions(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [
            f"{each.id}  {words.of(each)}",
            words.of(each.if_false),
            words["changes" if each.decisive else "stays"],
        ]
        for each in edition.of.assumptions
    ]
    heads = [words[name] for name in ("assumption", "if_false", "decisive")]
    return _tables(heads, rows, (6, 4, 1.4), each=10, size=12)


def _quantities(edition: Edition) -> list[Sequence[Item]]:
    words, of = edition.words, edition.of.capacity

    def shown(name: str, value: object) -> str:
        if isinstance(value, dict):
            return " + ".join(f"{edition.number(count)} {words[kind]}" for kind, count in value.items())
        if isinstance(value, tuple):
            return f" {words['until']} ".join(map(edition.number, value))
        assert isinstance(value, int | float)  # noqa: S101 - the schema has no other kind
        if name in {"cancel_rate", "cancel_rate_after"}:
            return f"{edition.number(100 * value)} %"
        return edition.number(value, len(f"{value:g}".partition(".")[2]))

    told = {name: value for name, value in of if name not in {"services_per_day", "location", "prices"}}
    rows = [[words[name], shown(name, value)] for name, value in told.items()]
    sized = _tables([words["quantity"], words["value"]], rows, (3, 4), each=15, size=13)
    prices = [
        [
            words[name],
            edition.number(price.query_usd_tib, 2),
            edition.number(price.storage_usd_gib_month, 3),
            words.of(price.source),
        ]
        for name, price in of.prices.items()
    ]
    heads = [words[name] for name in ("location", "query_price", "storage_price", "from_where")]
    return [*sized, *_tables(heads, prices, (2, 1.6, 1.6, 6), each=4, size=14)]


def _volume(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [
            edition.number(each.services_per_day),
            edition.number(each.events_per_day),
            edition.number(each.peak_events_per_second, 1),
            edition.number(each.peak_scores_per_second, 1),
            edition.number(each.stored_gb_a_year, 1),
            edition.number(each.read_tib_month, 2),
            edition.number(each.volume_usd_month, 2),
            edition.number(each.platform_usd_month),
            edition.days(each),
        ]
        for each in edition.plans
    ]
    heads = [
        begun(words[name])
        for name in (
            "services_per_day",
            "events_per_day",
            "peak_events",
            "peak_scores",
            "stored",
            "read",
            "volume_usd",
            "platform_cost",
            "days_to_first_model",
        )
    ]
    return [
        (Table(LEFT, TOP, 170, (WIDE / len(heads),) * len(heads), (tuple(heads), *map(tuple, rows)), 13),)
    ]


def _not_yet(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [words.of(text) for text in (each.name, each.instead, each.trigger)] for each in edition.of.not_yet
    ]
    return _tables(
        [words[name] for name in ("not_yet", "instead", "build_when")], rows, (2, 4, 5), each=7, size=16
    )


def _milestones(edition: Edition) -> list[Sequence[Item]]:
    words = edition.words
    rows = [
        [step.id, words.of(step), f" {words['until']} ".join(map(str, step.weeks)), words.of(step.done_when)]
        for step in edition.of.roadmap
    ]
    heads = [begun(words[name]) for name in ("phase", "what", "weeks", "done_when")]
    return _tables(heads, rows, (0.8, 3, 1.4, 6), each=6, size=16)


def _context(edition: Edition) -> list[Sequence[Item]]:
    """Where data come from and go back to, and who uses them."""
    words = edition.words
    back = {each.target for each in edition.of.connections if each.back}
    sources = [
        [
            words.of(each.name),
            words["production"] if each.owner == "production" else words["external"],
            words["gets_back"] if each.id in back else "-",
        ]
        for each in edition.of.sources
    ]
    users = [[words.of(each.name), words.of(each.what)] for each in edition.of.users]
    left = ([words["source"], words["owner"], words["back"]], *sources)
    right = ([words["user"], words["does"]], *users)
    return [
        (
            Table(LEFT, TOP, BOTTOM - TOP, (150, 100, 110), tuple(map(tuple, left)), 15),
            Table(
                LEFT + 384, TOP, BOTTOM - TOP, (200, 304), tuple(tuple(map(begun, row)) for row in right), 15
            ),
        )
    ]


ANNEX: dict[str, Callable[[Edition], list[Sequence[Item]]]] = {
    "matrix": _matrix,
    "traceability": _traceability,
    "context": _context,
    "elements": _elements,
    "alternatives": _implementations,
    "stacks": _stacks,
    "paths": _paths,
    "routes": _routes,
    "connections": _connections,
    "stages": _stages,
    "traps": _traps,
    "volume": _volume,
    "quantities": _quantities,
    "decisions": _decisions,
    "dangers": _dangers,
    "law": _law,
    "assumptions": _assumptions,
    "milestones": _milestones,
    "not_yet": _not_yet,
}
"""What each page of the annex shows; the others have nothing but notes."""
