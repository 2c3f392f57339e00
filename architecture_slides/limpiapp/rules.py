"""What must hold of an architecture beyond its schema: that connections hold, for one, and SLAs fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from architecture_slides.limpiapp.architecture import DAY_ONE, Architecture, Connection, Ends, Spot
from architecture_slides.typesetting.content import Text
from architecture_slides.typesetting.deck import MAIN_WORDS, count_words

SOURCES = {"postgres", "backend", "ga", "clevertap", "freshdesk", "hubspot", "appsflyer", "uploads"}
"""Those of the brief; its Kafka is the bus."""

RETURNS = {"backend", "clevertap", "hubspot", "freshdesk"}
"""Where the brief wants data to go back to: production, and external services that act on them."""

BUS, TOPIC = "bus", "topic"
FEWEST, MOST = 9, 10
"""Elements that two or three people can start with on the first day."""

RETRIES = 2
"""Of an ingestion, before somebody is called."""

MAIN_PAGES = 12
DAY_MINUTES = 1_440
NEAR = 1.0
"""How far from a part an arrow may begin or end, in points."""


def faults(architecture: Architecture) -> list[str]:
    """What does not hold, each in a line."""
    return [fault for rule in RULES for fault in rule(architecture)]


def nothing_dangles(a: Architecture) -> Iterator[str]:
    """Every id that is named exists, and stands for one thing."""
    groups: tuple[Sequence[Any], ...] = (
        a.requirements, (*a.sources, *a.elements), a.layers, a.connections, a.flows, a.models, a.stacks,
        a.uses, a.assumptions, a.failures, a.risks, a.dangers, a.law, a.roadmap, a.adrs, a.users, a.not_yet,
        a.pages,
    )  # fmt: skip
    for group in groups:
        for name, times in Counter(each.id for each in group).items():
            if times > 1:
                yield f"{name}: stands for {times} things"
    requirements, elements = {each.id for each in a.requirements}, {each.id for each in a.elements}
    nodes = elements | {each.id for each in a.sources}
    connections = {each.id for each in a.connections}
    named = [
        *((each.id, answer, requirements) for each in a.elements for answer in each.answers),
        *((each.id, each.layer, {layer.id for layer in a.layers}) for each in a.elements),
        *((each.id, answer, requirements) for each in a.flows for answer in each.answers),
        *((each.id, answer, requirements) for each in a.pages for answer in each.answers),
        *((each.id, each.answers, requirements) for each in a.models),
        *((each.id, stage.element, nodes) for each in a.flows for stage in each.stages),
        *((each.id, node, nodes) for each in a.models for node in (*each.scoring, *each.training)),
        *((each.id, each.flow, {flow.id for flow in a.flows}) for each in a.sources),
        *((each.id, node, nodes) for each in a.connections for node in (each.source, each.target)),
        *((each.id, name, elements) for each in a.stacks for name in each.elements),
        *((each.id, name, elements) for each in a.uses for name in each.elements),
        *((each.id, each.element, elements) for each in a.failures),
        *(("picture", node, nodes) for node in (*a.picture.spots, *a.picture.band)),
        *(("picture", name, connections) for each in a.picture.routes for name in each.connections),
        *(("picture", name, connections) for name in a.picture.ways),
    ]
    for where, name, known in named:
        if name not in known:
            yield f"{where}: names {name!r}, which does not exist"


def every_requirement_is_answered(a: Architecture) -> Iterator[str]:
    """Each requirement is answered by an element, and by a flow that uses that element."""
    for requirement in a.requirements:
        answering = {element.id for element in a.elements if requirement.id in element.answers}
        used = {stage.element for flow in a.flows if requirement.id in flow.answers for stage in flow.stages}
        if not answering:
            yield f"{requirement.id}: no element answers it"
        elif not answering & used:
            yield f"{requirement.id}: no flow that answers it uses {', '.join(sorted(answering))}"


def every_element_can_be_had(a: Architecture) -> Iterator[str]:
    """One implementation to launch with and one beside it, one managed and one open; each stack has one."""
    for element in a.elements:
        pair = (element.implementation(element.launch), element.implementation(element.alternative))
        for name, found in zip((element.launch, element.alternative), pair, strict=True):
            if found is None:
                yield f"{element.id}: names {name!r}, which is none of its implementations"
        kinds = {each.kind for each in pair if each}
        for kind, told in (("managed", "managed"), ("open_source", "open-source")):
            if kind not in kinds:
                yield f"{element.id}: names no {told} implementation"
    for stack in a.stacks:
        for element in a.elements:
            if element.id not in stack.elements:
                yield f"{stack.id}: chooses nothing for {element.id}"
            elif element.implementation(stack.elements[element.id]) is None:
                name = stack.elements[element.id]
                yield f"{stack.id}: {element.id} is {name!r}, which is none of its implementations"


def chosen(a: Architecture) -> Mapping[str, Mapping[str, Ends]]:
    """What stands at each end of a connection: by stack, and for the launch."""
    choices = {stack.id: stack.elements for stack in a.stacks}
    choices["launch"] = {element.id: element.launch for element in a.elements}
    found: dict[str, dict[str, Ends]] = {}
    for name, of in choices.items():
        ends: dict[str, Ends] = {each.id: each for each in a.sources}
        for element in a.elements:
            product = element.implementation(of.get(element.id, ""))
            if product:
                ends[element.id] = product
        found[name] = ends
    return found


def shared(connection: Connection, ends: Mapping[str, Ends]) -> set[str]:
    """What both ends of a connection can be connected by."""
    return {*ends[connection.source].gives} & {*ends[connection.target].takes}


def every_connection_holds_in_each_stack(a: Architecture) -> Iterator[str]:
    """Each named product writes what the next one reads."""
    for stack, ends in chosen(a).items():
        for each in a.connections:
            if {each.source, each.target} <= ends.keys() and not shared(each, ends):
                names = [getattr(ends[end], "name", end) for end in (each.source, each.target)]
                one, other = (name if isinstance(name, str) else name.en for name in names)
                yield f"{stack}: {each.id}: {other} takes nothing that {one} gives"


def one_bus(a: Architecture) -> Iterator[str]:
    """Whatever passes as a topic passes the bus, and nothing else is called Kafka."""
    for stack, ends in chosen(a).items():
        for each in a.connections:
            if not {each.source, each.target} <= ends.keys() or BUS in {each.source, each.target}:
                continue
            ways = shared(each, ends)
            if ways and all(way.endswith(TOPIC) for way in ways):
                yield f"{stack}: {each.id}: a topic passes from {each.source} to {each.target} past the bus"
    for source in a.sources:
        if "kafka" in source.name.en.lower():
            yield f"{source.id}: is a second bus"


def every_part_is_on_the_picture_once(a: Architecture) -> Iterator[str]:
    """Each source and element has a place of its own, or is in the band."""
    placed = Counter([*a.picture.spots, *a.picture.band])
    for name in (*(each.id for each in a.sources), *(each.id for each in a.elements)):
        if placed[name] != 1:
            yield f"{name}: is on the picture {placed[name]} times"
    spots = [*a.picture.spots.items()]
    for place, (name, one) in enumerate(spots):
        for other_name, other in spots[place + 1 :]:
            if _overlap(one, other):
                yield f"picture: {name} and {other_name} overlap"


def _overlap(one: Spot, other: Spot) -> bool:
    return (
        one.x < other.x + other.w
        and other.x < one.x + one.w
        and one.y < other.y + other.h
        and other.y < one.y + one.h
    )


def every_connection_is_on_the_picture(a: Architecture) -> Iterator[str]:
    """Each connection belongs to a numbered route, drawn from part to part, or touches the band."""
    routed = Counter(name for route in a.picture.routes for name in route.connections)
    for each in a.connections:
        if {each.source, each.target} & {*a.picture.band}:
            continue
        if routed[each.id] != 1:
            yield f"{each.id}: is in {routed[each.id]} routes of the picture"
        way = a.picture.ways.get(each.id)
        if not way:
            yield f"{each.id}: is not drawn"
            continue
        for node, point in ((each.source, way[0]), (each.target, way[-1])):
            if node in a.picture.spots and not _borders(a.picture.spots[node], point):
                yield f"{each.id}: is not drawn as far as {node}"


def _borders(spot: Spot, point: tuple[float, float]) -> bool:
    """Whether a point lies on the border of a spot."""
    x, y = point
    within = spot.x <= x <= spot.x + spot.w and spot.y <= y <= spot.y + spot.h
    gap = min(abs(x - spot.x), abs(x - spot.x - spot.w), abs(y - spot.y), abs(y - spot.y - spot.h))
    return within and gap < NEAR


def every_element_is_used(a: Architecture) -> Iterator[str]:
    """Each element is in a flow."""
    used = {stage.element for flow in a.flows for stage in flow.stages}
    for element in a.elements:
        if element.id not in used:
            yield f"{element.id}: is in no flow"


def every_source_comes_in(a: Architecture) -> Iterator[str]:
    """Each source of the brief has a way in."""
    known, goes_out = {each.id for each in a.sources}, {each.source for each in a.connections}
    for name in sorted(SOURCES):
        if name not in known or name not in goes_out:
            yield f"{name}: does not come in"


def every_return_is_marked_and_drawn(a: Architecture) -> Iterator[str]:
    """Data go back to whoever the brief wants them to, and each such connection is drawn as a return."""
    outside = {each.id for each in a.sources}
    returned = {each.target for each in a.connections if each.back}
    for name in sorted(RETURNS - returned):
        yield f"{name}: nothing goes back to it"
    for each in a.connections:
        if each.back != (each.target in outside):
            yield f"{each.id}: {'is no return' if each.back else 'is a return that is not marked'}"
        if each.back and each.id not in a.picture.ways:
            yield f"{each.id}: is a return that is not drawn"
        onward = [other for other in a.connections if other.source == each.target]
        if each.homeward and not any(other.back or other.homeward for other in onward):
            yield f"{each.id}: is on its way to no return"


def every_sla_fits(a: Architecture) -> Iterator[str]:
    """The worst case of each flow is within its SLA, of an ingestion even with retries."""
    by_id = {flow.id: flow for flow in a.flows}
    for source in a.sources:
        flow = by_id.get(source.flow)
        if flow and "R3a" not in flow.answers:
            yield f"{source.id}: comes in by {flow.id}, which keeps no SLA of ingestion"
    for flow in a.flows:
        retried = "R3a" in flow.answers
        worst = flow.retried(RETRIES if retried else 0)
        if worst > flow.sla:
            told = f" with {RETRIES} retries" if retried else ""
            yield f"{flow.id}: takes up to {worst:g} {flow.unit}{told}, its SLA is {flow.sla:g}"
        waits = any(stage.kind == "interval" for stage in flow.stages)
        if waits != (flow.kind == "polled"):
            must = "must" if flow.kind == "polled" else "must not"
            yield f"{flow.id}: is {flow.kind}, so it {must} wait for intervals"


def no_run_overlaps_the_next(a: Architecture) -> Iterator[str]:
    """What runs at intervals is done before it runs again."""
    for flow in a.flows:
        for wait, work in pairwise(flow.stages):
            if (wait.kind, work.kind, wait.element) != ("interval", "work", work.element):
                continue
            if work.budget > wait.budget:
                yield f"{flow.id}: {work.element} runs for {work.budget:g} min every {wait.budget:g}"


def every_step_is_a_connection(a: Architecture) -> Iterator[str]:
    """What follows in a flow or in the way of a model is connected; a call answers the same way."""
    connected = {(each.source, each.target) for each in a.connections}
    connected |= {(each.target, each.source) for each in a.connections if each.call}
    ways = [(flow.id, [stage.element for stage in flow.stages]) for flow in a.flows]
    ways += [(f"{model.id} scoring", model.scoring) for model in a.models]
    ways += [(f"{model.id} training", model.training) for model in a.models]
    for name, way in ways:
        for one, other in pairwise(way):
            if one != other and (one, other) not in connected:
                yield f"{name}: nothing flows from {one} to {other}"


def every_wait_is_that_of_a_connection(a: Architecture) -> Iterator[str]:
    """A flow waits as long as a connection of its element takes between two times; costs count as many."""
    for flow in a.flows:
        for stage in flow.stages:
            waits = {each.minutes for each in a.connections if stage.element in {each.source, each.target}}
            if stage.kind == "interval" and stage.budget not in waits:
                yield f"{flow.id}: waits {stage.budget:g} min at {stage.element}, where no connection does"
    runs = a.capacity.runs_per_day
    for each in a.connections:
        started = (each.source, each.target) == ("orchestration", "transform")
        if started and each.minutes and runs != DAY_MINUTES / each.minutes:
            yield f"capacity: counts {runs:g} runs a day, {each.id} makes {DAY_MINUTES / each.minutes:g}"


def both_models_are_complete(a: Architecture) -> Iterator[str]:
    """Each model leads from an event through what scores to an action, and through the registry to that."""
    answered = {model.answers for model in a.models}
    for requirement in ("R6a", "R6b"):
        if requirement not in answered:
            yield f"{requirement}: no model answers it"
    outside = {each.id for each in a.sources}
    for model in a.models:
        *before, last = model.training
        if not {model.scoring[0], model.scoring[-1]} <= outside or last not in model.scoring:
            yield f"{model.id}: does not score from an event to an action"
        if model.training[0] not in outside or before[-1] != "registry":
            yield f"{model.id}: does not train from an event to what scores"


def the_first_day_is_small(a: Architecture) -> Iterator[str]:
    """Two or three people start with nine or ten new elements."""
    count = sum(element.phase == DAY_ONE for element in a.elements)
    if not FEWEST <= count <= MOST:
        yield f"day one: has {count} elements, not {FEWEST} or {MOST}"


def every_decision_is_taken(a: Architecture) -> Iterator[str]:
    """One of the options of each decision is chosen."""
    for each in a.adrs:
        taken = sum(option.chosen for option in each.options)
        if taken != 1:
            yield f"{each.id}: {taken} options are chosen"


def every_main_page_is_short(a: Architecture) -> Iterator[str]:
    """The main pages are as many as were asked for, come before the annex, and have few words."""
    main = [page for page in a.pages if not page.annex]
    if len(main) != MAIN_PAGES:
        yield f"pages: {len(main)} are main pages, not {MAIN_PAGES}"
    if [page.annex for page in a.pages] != sorted(page.annex for page in a.pages):
        yield "pages: a main page comes after the annex"
    for page in main:
        texts: list[Text] = [page.title]
        for note in page.notes:
            texts += [note.head, *note.points]
        for language in ("es", "en"):
            words = sum(count_words(getattr(text, language)) for text in texts)
            if words > MAIN_WORDS:
                yield f"{page.id}: has {words} words in {language}, {MAIN_WORDS} are allowed"


RULES = (
    nothing_dangles,
    every_requirement_is_answered,
    every_element_can_be_had,
    every_connection_holds_in_each_stack,
    one_bus,
    every_part_is_on_the_picture_once,
    every_connection_is_on_the_picture,
    every_element_is_used,
    every_source_comes_in,
    every_return_is_marked_and_drawn,
    every_sla_fits,
    no_run_overlaps_the_next,
    every_step_is_a_connection,
    every_wait_is_that_of_a_connection,
    both_models_are_complete,
    the_first_day_is_small,
    every_decision_is_taken,
    every_main_page_is_short,
)
