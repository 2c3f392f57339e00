"""What must hold of an architecture beyond its schema: nothing dangles, and every SLA fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from architecture_slides.architecture import Architecture

SOURCES = {"postgres", "kafka", "ga", "clevertap", "freshdesk", "hubspot", "appsflyer", "uploads"}
"""Those of the brief."""

RETURNS = {"kafka", "clevertap", "hubspot", "freshdesk"}
"""Where the brief wants data to go back to: production, by its topics, and external services that act on
them."""


def faults(architecture: Architecture) -> list[str]:
    """What does not hold, each in a line."""
    return [fault for rule in RULES for fault in rule(architecture)]


def nothing_dangles(a: Architecture) -> Iterator[str]:
    """Every id that is named exists, and stands for one thing."""
    groups: tuple[Sequence[Any], ...] = (
        a.requirements, (*a.sources, *a.elements), a.flows, a.models, a.diagrams, a.stacks, a.assumptions,
        a.failures, a.risks, a.roadmap, a.adrs, a.users, a.not_yet, a.pages,
    )  # fmt: skip
    for group in groups:
        for name, times in Counter(each.id for each in group).items():
            if times > 1:
                yield f"{name}: stands for {times} things"
    requirements, elements = {each.id for each in a.requirements}, {each.id for each in a.elements}
    nodes = elements | {each.id for each in a.sources}
    named = [
        *((each.id, answer, requirements) for each in a.elements for answer in each.answers),
        *((each.id, answer, requirements) for each in a.flows for answer in each.answers),
        *((each.id, each.answers, requirements) for each in a.models),
        *((each.id, stage.element, elements) for each in a.flows for stage in each.stages),
        *((each.id, node, nodes) for each in a.models for node in (*each.scoring, *each.training)),
        *((each.id, node, nodes) for each in a.diagrams for node in each.places),
        *((each.id, each.flow, {flow.id for flow in a.flows}) for each in a.sources),
        *(("connections", node, nodes) for each in a.connections for node in (each.source, each.target)),
        *((each.id, name, elements) for each in a.stacks for name in each.elements),
        *((each.id, each.element, elements) for each in a.failures),
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
    """Two implementations, one managed and one open; launch and each stack choose one of them."""
    for element in a.elements:
        names = [each.name for each in element.implementations]
        if {each.kind for each in element.implementations} != {"managed", "open_source"}:
            yield f"{element.id}: needs a managed and an open-source implementation"
        if element.launch not in names:
            yield f"{element.id}: launches with {element.launch!r}, which is none of its implementations"
    known = {element.id: {each.name for each in element.implementations} for element in a.elements}
    chosen = {(element_id, name) for stack in a.stacks for element_id, name in stack.elements.items()}
    for element in a.elements:
        if (element.id, element.launch) not in chosen:
            yield f"{element.id}: launches with {element.launch!r}, which is in no stack"
    for stack in a.stacks:
        for missing in sorted(known.keys() - stack.elements.keys()):
            yield f"{stack.id}: chooses nothing for {missing}"
        for element_id, name in stack.elements.items():
            if name not in known.get(element_id, {name}):
                yield f"{stack.id}: {element_id} is {name!r}, which is none of its implementations"


def every_element_is_shown_and_used(a: Architecture) -> Iterator[str]:
    """Each element is in a diagram, and in a flow."""
    drawn = {node for diagram in a.diagrams for node in diagram.places}
    used = {stage.element for flow in a.flows for stage in flow.stages}
    for element in a.elements:
        if element.id not in drawn:
            yield f"{element.id}: is in no diagram"
        if element.id not in used:
            yield f"{element.id}: is in no flow"


def every_source_comes_in_and_goes_back(a: Architecture) -> Iterator[str]:
    """Each source of the brief has a way in, and a way back where the brief asks for one."""
    known = {each.id for each in a.sources}
    goes_out, comes_back = {each.source for each in a.connections}, {each.target for each in a.connections}
    for name in sorted(SOURCES):
        if name not in known or name not in goes_out:
            yield f"{name}: does not come in"
    for name in sorted(RETURNS - comes_back):
        yield f"{name}: nothing goes back to it"


def every_sla_fits(a: Architecture) -> Iterator[str]:
    """The worst case of each flow is within its SLA, and a polled one counts its waiting."""
    by_id = {flow.id: flow for flow in a.flows}
    for source in a.sources:
        flow = by_id.get(source.flow)
        if flow and "R3a" not in flow.answers:
            yield f"{source.id}: comes in by {flow.id}, which keeps no SLA of ingestion"
    for flow in a.flows:
        if flow.worst > flow.sla:
            yield f"{flow.id}: takes up to {flow.worst:g} {flow.unit}, its SLA is {flow.sla:g}"
        waits = any(stage.kind == "interval" for stage in flow.stages)
        if waits != (flow.kind == "polled"):
            must = "must" if flow.kind == "polled" else "must not"
            yield f"{flow.id}: is {flow.kind}, so it {must} wait for intervals"


def every_step_is_a_connection(a: Architecture) -> Iterator[str]:
    """What follows in a flow or in the way of a model is connected."""
    connected = {(each.source, each.target) for each in a.connections}
    for diagram in a.diagrams:
        for one, other in (*diagram.over, *diagram.under):
            if (one, other) not in connected or not {one, other} <= diagram.places.keys():
                yield f"{diagram.id}: draws from {one} to {other}, where nothing flows"
    ways = [(flow.id, [stage.element for stage in flow.stages]) for flow in a.flows]
    ways += [(f"{model.id} scoring", model.scoring) for model in a.models]
    ways += [(f"{model.id} training", model.training) for model in a.models]
    for name, way in ways:
        for one, other in pairwise(way):
            if one != other and (one, other) not in connected:
                yield f"{name}: nothing flows from {one} to {other}"


def every_wait_is_that_of_a_connection(a: Architecture) -> Iterator[str]:
    """A flow waits as long as a connection of its element takes between two times."""
    for flow in a.flows:
        for stage in flow.stages:
            waits = {each.minutes for each in a.connections if stage.element in {each.source, each.target}}
            if stage.kind == "interval" and stage.budget not in waits:
                yield f"{flow.id}: waits {stage.budget:g} min at {stage.element}, where no connection does"


def both_models_are_complete(a: Architecture) -> Iterator[str]:
    """Each model leads from an event through serving to an action, and through the registry to serving."""
    answered = {model.answers for model in a.models}
    for requirement in ("R6a", "R6b"):
        if requirement not in answered:
            yield f"{requirement}: no model answers it"
    outside = {each.id for each in a.sources}
    for model in a.models:
        if (
            model.scoring[0] not in outside
            or model.scoring[-1] not in outside
            or "serving" not in model.scoring
        ):
            yield f"{model.id}: does not score from an event to an action"
        if model.training[0] not in outside or model.training[-2:] != ["registry", "serving"]:
            yield f"{model.id}: does not train from an event to what serves"


RULES = (
    nothing_dangles,
    every_requirement_is_answered,
    every_element_can_be_had,
    every_element_is_shown_and_used,
    every_source_comes_in_and_goes_back,
    every_sla_fits,
    every_step_is_a_connection,
    every_wait_is_that_of_a_connection,
    both_models_are_complete,
)
