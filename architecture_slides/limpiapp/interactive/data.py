"""What the page knows: the picture, what stands on it, and a plan for each stop of its slider.

Texts are in both languages, numbers are written as each language writes them, and the rules tell which
products can't be connected: the page computes none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, log10
from pathlib import Path
from typing import Any

from architecture_slides.limpiapp.architecture import (
    Architecture,
    Capacity,
    Connection,
    Element,
    Ends,
    Flow,
    Source,
)
from architecture_slides.limpiapp.capacity import Plan, plan
from architecture_slides.limpiapp.edition import Edition
from architecture_slides.limpiapp.interactive.layout import LEGEND, Layout
from architecture_slides.limpiapp.main_pages import COSTS
from architecture_slides.limpiapp.picture import MEDALS, STORE, legend, look_of
from architecture_slides.limpiapp.rules import DAY_MINUTES, shared
from architecture_slides.typesetting.content import Language, Part, Text, begun, load
from architecture_slides.typesetting.deck import Box

WORDS = Path(__file__).with_name("words.yaml")

STOPS = 90
"""Of the slider, about: evenly on a logarithmic scale."""

BORROWED = (
    "footer", "band", "answers", "managed", "open_source", "launch", "trigger", "stages", "path",
    "default_path", "services_per_day", "peak_events", "peak_scores", "stored", "read", "days_to_first_model",
)  # fmt: skip
"""Words of the decks that the page names."""

Pair = dict[Language, str]


class PageWords(Part):
    """The words of the page alone."""

    words: dict[str, Text]


class PageData:
    """The data of the page, of one architecture.

    Raises:
        ContentError: words.yaml can't be read.
    """

    def __init__(self, of: Architecture) -> None:
        self.of = of
        self.editions = (Edition(of, "es"), Edition(of, "en"))
        self.layout = Layout(of)
        self.own: dict[str, Pair] = {
            name: {"es": text.es, "en": text.en} for name, text in load(WORDS, PageWords).words.items()
        }
        self.ends: dict[str, list[tuple[str, Ends]]] = {each.id: [("", each)] for each in of.sources}
        for element in of.elements:
            self.ends[element.id] = [(each.name, each) for each in element.implementations]

    def made(self) -> dict[str, Any]:
        """All of it, as JSON takes it.

        Raises:
            ContentError: a word is missing.
        """
        of, sizes = self.of, stops(self.of.capacity)
        nodes = {each.id: self._source(each) for each in of.sources}
        nodes |= {each.id: self._element(each) for each in of.elements}
        return {
            "words": {
                **{name: self._word(name) for name in BORROWED},
                "flows": self._begun("flows"),
                **self.own,
            },
            "picture": self._picture(),
            "nodes": {name: {**self._on_picture(name), **told} for name, told in nodes.items()},
            "connections": {each.id: self._connection(each) for each in of.connections},
            "flows": {each.id: self._flow(each) for each in of.flows},
            "requirements": {
                each.id: {"quote": each.quote, "text": self._text(each)} for each in of.requirements
            },
            "choices": self._choices(),
            "costs": [{"name": self._word(name), "fill": fill} for name, fill in COSTS.items()],
            "plans": [self._plan(plan(of.capacity, size)) for size in sizes],
            "start": sizes.index(of.capacity.services_per_day[len(of.capacity.services_per_day) // 2]),
        }

    def _both(self, told: Callable[[Edition], str]) -> Pair:
        return {edition.language: told(edition) for edition in self.editions}

    def _text(self, text: Text) -> Pair:
        return self._both(lambda edition: edition.words.of(text))

    def _label(self, text: Text) -> Pair:
        """A text at the beginning of a line."""
        return self._both(lambda edition: begun(edition.words.of(text)))

    def _word(self, name: str) -> Pair:
        return self._both(lambda edition: edition.words[name])

    def _begun(self, name: str) -> Pair:
        return self._both(lambda edition: begun(edition.words[name]))

    def _number(self, value: float) -> Pair:
        return self._both(lambda edition: edition.number(value, digits(value)))

    def _picture(self) -> dict[str, Any]:
        picture, layout = self.of.picture, self.layout
        keys = [[each for each in legend(one, 0).items if isinstance(each, Box)] for one in self.editions]
        return {
            "alt": self._text(picture.alt),
            "view": layout.view,
            "lanes": [
                {"box": layout.lane(each), "name": self._text(each.name), "at": layout.name(each)}
                for each in picture.lanes
            ],
            "band": layout.band,
            "legend": [
                {
                    "middle": [key.x + key.w / 2, layout.legend],
                    "w": key.w,
                    "h": LEGEND,
                    "fill": key.fill,
                    "outline": key.outline,
                    "dashed": key.dashed,
                    "ink": key.ink,
                    "name": {"es": key.text, "en": english.text},
                }
                for key, english in zip(*keys, strict=True)
            ],
            "store": STORE,
            "medals": [{"fill": fill, "name": self._word(name)} for name, fill in MEDALS.items()],
            "routes": {
                str(each.number): {
                    "what": self._text(each.what),
                    "brief": self._label(each.brief),
                    "connections": each.connections,
                    "at": layout.number(each),
                    "key": layout.key(place),
                }
                for place, each in enumerate(picture.routes)
            },
        }

    def _on_picture(self, node: str) -> dict[str, Any]:
        return {
            "box": self.layout.box(node),
            **look_of(self.editions[0], node),
            "name": self._both(lambda edition: edition.name(node)),
            "short": self._both(lambda edition: edition.short(node)),
        }

    def _source(self, source: Source) -> dict[str, Any]:
        return {
            "flow": source.flow,
            "late": source.late is not None,
            "default": self._label(source.default_path),
            "path": self._label(source.path),
        }

    def _element(self, element: Element) -> dict[str, Any]:
        return {
            "phase": self._begun("today") if element.phase == "now" else self._both(lambda _: element.phase),
            "arrives": self._label(element.arrives),
            "purpose": self._text(element.purpose),
            "products": [{"name": each.name, "kind": each.kind} for each in element.implementations],
            "launch": element.launch,
            "alternative": element.alternative,
            "why": self._text(element.why),
            "trigger": self._label(element.trigger),
            "answers": element.answers,
        }

    def _connection(self, connection: Connection) -> dict[str, Any]:
        ends = connection.source, connection.target
        return {
            "from": connection.source,
            "to": connection.target,
            "what": self._label(connection.what),
            "often": self._text(connection.often),
            "back": connection.back,
            "homeward": connection.homeward,
            "call": connection.call,
            "way": self.layout.ways.get(connection.id),
            # Pairs of products; a source is one that has no name.
            "refused": [
                [name, other]
                for name, gives in self.ends[connection.source]
                for other, takes in self.ends[connection.target]
                if not shared(connection, dict(zip(ends, (gives, takes), strict=True)))
            ],
        }

    def _flow(self, flow: Flow) -> dict[str, Any]:
        own: dict[str, float] = {}
        for each in flow.stages:
            own[each.element] = own.get(each.element, 0) + each.budget
        is_ingestion = flow in self.editions[0].ingestions
        return {
            "name": self._text(flow.name),
            "kind": flow.kind,
            "answers": flow.answers,
            "worst": self._time(flow.worst, flow),
            "retried": self._time(flow.worst_with_retry, flow) if is_ingestion else None,
            "sla": self._time(flow.sla, flow),
            "stages": [
                {
                    "element": each.element,
                    "what": self._label(each.what),
                    "share": each.budget / flow.sla,
                    "time": self._time(each.budget, flow),
                }
                for each in flow.stages
            ],
            "own": {name: self._time(budget, flow) for name, budget in own.items()},
        }

    def _time(self, value: float, flow: Flow) -> Pair:
        """A time in the unit of the flow, or in days."""
        if flow.unit == "min" and value >= 2 * DAY_MINUTES:
            days, word = self._number(round(value / DAY_MINUTES, 1)), self.own["days"]
            return {language: f"{days[language]} {word[language]}" for language in days}
        number = self._number(value)
        return {language: f"{number[language]} {flow.unit}" for language in number}

    def _choices(self) -> list[dict[str, Any]]:
        launch = {element.id: element.launch for element in self.of.elements}
        stacks = [
            {"name": self._text(each.name), "told": self._text(each.told), "products": each.elements}
            for each in self.of.stacks
        ]
        return [{"name": self._word("launch"), "told": None, "products": launch}, *stacks]

    def _plan(self, of: Plan) -> dict[str, Any]:
        costs = of.team_usd_month, of.fixed_usd_month, of.volume_usd_month
        return {
            "services_per_day": self._number(of.services_per_day),
            "figures": {
                "peak_events": self._number(of.peak_events_per_second),
                "peak_scores": self._number(of.peak_scores_per_second),
                "stored": self._number(of.stored_gb_a_year),
                "read": self._number(of.read_tib_month),
                "days_to_first_model": self._both(lambda edition: edition.days(of)),
            },
            "costs": [{"usd": each, "told": self._number(each)} for each in costs],
            "total": self._number(of.usd_month),
        }


def digits(value: float) -> int:
    """Digits after the point that say something of a number of this size."""
    if value == round(value) or value >= 10:  # noqa: PLR2004
        return 0
    return 1 if value >= 1 else 2


def stops(of: Capacity) -> list[int]:
    """Services a day that the slider stops at: those of the decks, and others up to twice as many."""
    fewest, most = min(of.services_per_day), 2 * max(of.services_per_day)
    spread = (fewest * (most / fewest) ** (place / STOPS) for place in range(STOPS + 1))
    return sorted({*of.services_per_day, *(round(each, 1 - floor(log10(each))) for each in map(int, spread))})
