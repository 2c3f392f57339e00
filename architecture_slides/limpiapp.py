"""LimpiApp's deck: each page of limpiapp.yaml with what it shows, computed from the architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from architecture_slides.architecture import LIMPIAPP, Architecture, Diagram, Element, Flow
from architecture_slides.capacity import Plan, plan, sensitivity
from architecture_slides.diagram import FILLS, diagram, legend
from architecture_slides.typesetting.content import ContentError, Language, Page, Words, number
from architecture_slides.typesetting.deck import (
    AMBER,
    BOTTOM,
    DARK,
    GREEN,
    LEFT,
    LINE,
    PALE,
    PAPER,
    QUIET,
    RIGHT,
    TOP,
    Arrow,
    Box,
    Deck,
    Drawing,
    Item,
    Slide,
    Table,
    chain,
    slides,
    table,
)
from load_tests.report.figures import Scaling

SOURCES = {
    "volume": "python -m architecture_slides.capacity --services-per-day {large}",
    "latency": "limpiapp.yaml; load_tests/measurements/scaling.json (make scaling)",
}
"""Where the figures of a page come from, if not from limpiapp.yaml alone."""

NOTES = {
    "realtime": (318, 184, 14),
    "batch": (362, 138, 15),
    "traps": (440, 54, 15),
    "latency": (350, 150, 15),
    "cold_start": (TOP, 200, 16),
}
"""Where notes stand beside what is shown: top, height, size of letters."""

ALONE = (TOP, BOTTOM - TOP, 20)

MEASURED = (1, 32)
"""Workers and connections of the measured tail that the serving stage is compared with."""
LIGHT = "#9ecae1"


class LimpiApp:
    """LimpiApp's pages in one language."""

    def __init__(self, architecture: Architecture, language: Language) -> None:
        self._of, self._language = architecture, language
        self._flows = {flow.id: flow for flow in architecture.flows}
        self._elements = {element.id: element for element in architecture.elements}
        self._sources = {source.id: source for source in architecture.sources}
        self._diagrams = {each.id: each for each in architecture.diagrams}
        self._plans = [plan(architecture.capacity, each) for each in architecture.capacity.services_per_day]
        self._large = self._plans[-1]
        self._stream = next(flow for flow in architecture.flows if flow.kind == "stream")
        self._words = Words(language, architecture.words, self._computed())

        self._exhibits: dict[str, Callable[[], list[Sequence[Item]]]] = {
            "context": self._context,
            "containers": self._containers,
            "realtime": self._realtime,
            "batch": self._batch,
            "traps": self._traps,
            "worst": self._worst,
            "latency": self._latency,
            "volume": self._volume,
            "traceability": self._traceability,
            "elements": self._elements_told,
            "implementations": self._implementations,
            "stacks": self._stacks,
            "not_yet": self._not_yet,
            "cold_start": self._cold_start,
            "failures": self._failures,
            "roadmap": self._roadmap,
            "assumptions": self._assumptions,
            "quantities": self._quantities,
            "decisions": self._decisions,
            "stages": self._stages,
            "connections": self._connections,
        }

    def _computed(self) -> dict[str, str]:
        of, stream, large = self._of, self._stream, self._large
        batch = self._flows["F6"]
        serving = sum(each.budget for each in stream.stages if each.element == "serving")
        return {
            **{
                name: str(len(getattr(of, name)))
                for name in (
                    "requirements",
                    "sources",
                    "elements",
                    "connections",
                    "not_yet",
                    "failures",
                    "adrs",
                    "risks",
                    "users",
                )
            },
            "returns": str(len({each.target for each in of.connections} & self._sources.keys())),
            "worst": self._number(max(flow.worst for flow in of.flows if "R3a" in flow.answers)),
            "stream": self._number(stream.worst),
            "stream_sla": self._number(stream.sla),
            "stages": str(len(stream.stages)),
            "quantile": self._number(100 * stream.quantile, 2),
            "batch": self._number(batch.worst),
            "batch_sla": self._number(batch.sla),
            "alert": self._number(self._flows["F8"].worst),
            "stream_alert": self._number(self._flows["F13"].worst),
            "trapped": str(sum(not each.default_fits for each in of.sources)),
            "sla": self._number(self._flows["F1"].sla),
            "fixed": self._number(of.capacity.fixed_usd_month),
            "serving": self._number(serving),
            "measured": self._number(Scaling().median(*MEASURED, "p999_ms"), 1),
            "large": self._number(large.services_per_day),
            "peak": self._number(large.peak_events_per_second),
            "stored": self._number(large.stored_gb_a_year),
            "volume_cost": self._number(large.volume_usd_month),
        }

    def deck(self) -> Deck:
        """All pages.

        Raises:
            ContentError: a page or word is missing, or names what is not computed.
        """
        shown = [slide for page in self._of.pages for slide in self._slides(page)]
        return Deck("LimpiApp", self._language, tuple(shown))

    def _slides(self, page: Page) -> list[Slide]:
        if page.id not in self._exhibits and not page.notes:
            raise ContentError(f"pages: {page.id} has no notes, and nothing is known to be shown there")
        parts = self._exhibits[page.id]() if page.id in self._exhibits else [()]
        source = SOURCES.get(page.id, LIMPIAPP.name).format(large=f"{self._large.services_per_day:.0f}")
        return slides(page, parts, self._words, source=source, place=NOTES.get(page.id, ALONE))

    def _context(self) -> list[Sequence[Item]]:
        words, back = self._words, {each.target for each in self._of.connections}
        middle = Box(
            370, TOP, 220, 376, words["platform"], words["platform_does"], 16, DARK, PAPER, align="center"
        )
        items: list[Box | Arrow] = []
        for place, source in enumerate(self._of.sources):
            text = f"← {words['gets_back']}" if source.id in back else ""
            box = Box(
                LEFT,
                TOP + place * 48,
                220,
                42,
                words.of(source.name),
                text,
                12,
                FILLS[source.owner],
                align="center",
            )
            items += [box, self._level(box, middle)]
        for place, user in enumerate(self._of.users):
            box = Box(
                704, TOP + 2 + place * 77, 220, 62, words.of(user.name), words.of(user.what), 13, QUIET,
                align="center",
            )  # fmt: skip
            items += [box, self._level(middle, box)]
        return [
            (
                Drawing(words["platform_alt"], (*items, middle)),
                *legend(words, 482, ("production", "external")),
            )
        ]

    @staticmethod
    def _level(one: Box, other: Box) -> Arrow:
        """A line from one box to another that enters a tall one at the other's height."""
        small = min(one, other, key=lambda box: box.h)
        tall = max(one, other, key=lambda box: box.h)
        y = small.y + small.h / 2
        inside = min(max(y, tall.y + 12), tall.y + tall.h - 12)
        start = (one.x + one.w, y if one is small else inside)
        end = (other.x, y if other is small else inside)
        turn = (start[0] + end[0]) / 2
        return Arrow((start, (turn, start[1]), (turn, end[1]), end) if start[1] != end[1] else (start, end))

    def _containers(self) -> list[Sequence[Item]]:
        words = self._words
        drawing = self._drawn("containers", top=80, bottom=454, gap=(34, 9))
        back: dict[str, list[str]] = {}
        for each in self._of.connections:
            if each.target in self._sources:
                back.setdefault(each.source, []).append(words.of(self._sources[each.target].name))
        returns = " · ".join(
            f"{words.of(self._elements[name].name)} → {', '.join(targets)}" for name, targets in back.items()
        )
        told = Box(430, 456, 494, 44, f"{words['back']}: {returns}", words["undrawn"], 10)
        return [(drawing, *legend(words, 466), told)]

    def _drawn(self, name: str, *, top: float, bottom: float, gap: tuple[float, float]) -> Drawing:
        of: Diagram = self._diagrams[name]
        return diagram(self._of, of, self._words, top=top, bottom=bottom, gap=gap)

    def _realtime(self) -> list[Sequence[Item]]:
        drawing = self._drawn("realtime", top=118, bottom=250, gap=(26, 22))
        return [(drawing, *legend(self._words, 290))]

    def _batch(self) -> list[Sequence[Item]]:
        drawing = self._drawn("batch", top=114, bottom=306, gap=(20, 14))
        return [(drawing, *legend(self._words, 324))]

    def _traps(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [(words["source"], words["default_path"], words["path"], words["flow"], words["worst"])]
        for source in self._of.sources:
            flow = self._flows[source.flow]
            rows.append(
                (
                    words.of(source.name),
                    words.of(source.default_path)
                    + ("" if source.default_fits else f" ({words['too_late']})"),
                    words.of(source.path),
                    words.of(flow.name),
                    f"{self._number(flow.worst)} / {self._number(flow.sla)} min",
                )
            )
        return [(Table(LEFT, TOP, 330, (130, 220, 240, 178, 120), tuple(rows), 14),)]

    def _worst(self) -> list[Sequence[Item]]:
        words = self._words
        shown = [flow for flow in self._of.flows if flow.unit == "min" and flow.sla < 1_440]  # noqa: PLR2004
        longest = max(flow.sla for flow in shown)
        fills = {"lag": LIGHT, "interval": AMBER, "work": GREEN}
        x, wide, pitch = 300, 480, 32
        items: list[Box | Arrow] = []
        for place, flow in enumerate(shown):
            y = TOP + place * pitch
            items.append(Box(LEFT, y, 256, 26, text=f"{flow.id}  {words.of(flow.name)}", size=13))
            at = float(x)
            for kind, fill in fills.items():
                minutes = sum(stage.budget for stage in flow.stages if stage.kind == kind)
                if minutes:
                    items.append(Box(at, y + 2, wide * minutes / longest, 22, fill=fill))
                at += wide * minutes / longest
            items.append(Box(x + wide * flow.sla / longest, y - 2, 3, 30, fill=DARK))
            told = f"{self._number(flow.worst)} / {self._number(flow.sla)} min"
            items.append(Box(800, y, 124, 26, text=told, size=13))
        keys = [
            Box(300 + 160 * place, 454, 150, 20, text=words[kind], size=11, fill=fill, align="center")
            for place, (kind, fill) in enumerate(fills.items())
        ]
        return [
            (
                Drawing(words["worst_alt"], tuple(items)),
                *keys,
                Box(LEFT, 478, RIGHT - LEFT, 22, text=words["formula"], size=12),
            )
        ]

    def _latency(self) -> list[Sequence[Item]]:
        words, stream = self._words, self._stream
        wide = RIGHT - LEFT
        starts = [0, *accumulate(stage.budget for stage in stream.stages)]
        bars: list[Box | Arrow] = [
            Box(
                LEFT + wide * start / stream.sla, TOP + 4, wide * stage.budget / stream.sla - 1.5, 34,
                text=str(place) if stage.budget >= 60 else "", size=11,  # noqa: PLR2004
                fill=LIGHT if place % 2 else PALE, align="center",
            )
            for place, (start, stage) in enumerate(zip(starts, stream.stages, strict=False), 1)
        ]  # fmt: skip
        bars += [Box(RIGHT - 3, TOP - 2, 3, 46, fill=DARK)]
        rows = [(words["stage"], words["element"], words["budget"])]
        rows += [
            (
                f"{place}  {words.of(stage.what)}",
                words.of(self._elements[stage.element].name),
                f"{self._number(stage.budget)} ms",
            )
            for place, stage in enumerate(stream.stages, 1)
        ]
        return [
            (
                Drawing(words["latency_alt"], tuple(bars)),
                Table(LEFT, TOP + 56, 190, (360, 400, 128), tuple(rows), 14),
            )
        ]

    def _volume(self) -> list[Sequence[Item]]:
        words = self._words
        columns: dict[str, Callable[[Plan], str]] = {
            "services_per_day": lambda each: self._number(each.services_per_day),
            "events_per_day": lambda each: self._number(each.events_per_day),
            "peak_events_per_second": lambda each: self._number(each.peak_events_per_second, 1),
            "stored_gb_a_year": lambda each: self._number(each.stored_gb_a_year, 1),
            "scores_per_second": lambda each: self._number(each.scores_per_second, 1),
            "volume_cost": lambda each: self._number(each.volume_usd_month, 2),
            "usd_month": lambda each: self._number(each.usd_month),
        }
        heads = [words[name][0].upper() + words[name][1:] for name in columns]
        rows = [heads, *([show(each) for show in columns.values()] for each in self._plans)]
        base, spans = self._large.usd_month, sensitivity(self._of.capacity, self._large.services_per_day)
        most = max(max(span) for span in spans.values())
        x, wide, pitch = 260, 520, 29
        items: list[Box | Arrow] = []
        for place, (name, (halved, doubled)) in enumerate(reversed(spans.items())):
            y = 256 + place * pitch
            items.append(Box(LEFT, y, 220, 24, text=words[name], size=12))
            for end, fill in ((halved, LIGHT), (doubled, DARK)):
                low, high = sorted((base, end))
                items.append(
                    Box(x + wide * low / most, y + 3, max(wide * (high - low) / most, 1), 18, fill=fill)
                )
            low, high = sorted((halved, doubled))
            told = f"{self._number(low)} {words['until']} {self._number(high)}"
            items.append(Box(800, y, 124, 24, text=told, size=12))
        items.append(Box(x + wide * base / most, 252, 1.5, len(spans) * pitch, fill=LINE))
        return [
            (
                Table(
                    LEFT, TOP, 124, ((RIGHT - LEFT) / len(heads),) * len(heads), tuple(map(tuple, rows)), 13
                ),
                Box(LEFT, 222, RIGHT - LEFT, 22, head=words["sensitivity"], size=12),
                Drawing(words["sensitivity_alt"], tuple(items)),
                Box(LEFT, 456, RIGHT - LEFT, 24, text=words["unverified"], size=12),
            )
        ]

    def _traceability(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [(words["requirement"], words["quote"], words["elements"], words["flows"])]
        for each in self._of.requirements:
            answering = [element for element in self._of.elements if each.id in element.answers]
            flows = [flow.id for flow in self._of.flows if each.id in flow.answers]
            names = ", ".join(words.of(element.name) for element in answering)
            rows.append((f"{each.id}  {words.of(each)}", f"«{each.quote}»", names, ", ".join(flows)))
        return [(table(rows, (4, 4, 5, 2), size=11),)]

    def _elements_told(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [(words["element"], words["does"], words["answers"])]
        rows += [
            (words.of(each.name), words.of(each.purpose), ", ".join(each.answers))
            for each in self._of.elements
        ]
        return [(table(rows, (3, 5, 2), size=10),)]

    def _implementations(self) -> list[Sequence[Item]]:
        words = self._words
        heads = [words[name] for name in ("element", "managed", "open_source", "launch", "why", "trigger")]

        def row(element: Element) -> list[str]:
            kinds = [
                ", ".join(each.name for each in element.implementations if each.kind == kind)
                for kind in ("managed", "open_source")
            ]
            texts = (words.of(element.why), words.of(element.trigger))
            return [words.of(element.name), *kinds, element.launch, *texts]

        return self._tables(
            heads, [row(each) for each in self._of.elements], (3, 4, 3.4, 3, 4.2, 4.2), each=11
        )

    def _tables(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        shares: Sequence[float],
        *,
        each: int,
        size: float = 11,
    ) -> list[Sequence[Item]]:
        """A table on as many slides as it takes, with so many rows each."""
        return [
            (table([heads, *rows[at : at + each]], shares, size=size),) for at in range(0, len(rows), each)
        ]

    def _stacks(self) -> list[Sequence[Item]]:
        words, stacks = self._words, self._of.stacks
        rows = [[words["element"], *(words.of(stack.name) for stack in stacks), words["launch"]]]
        rows += [
            [words.of(each.name), *(stack.elements[each.id] for stack in stacks), each.launch]
            for each in self._of.elements
        ]
        return [(table(rows, (3.4, 3, 3.4, 3, 3), size=10),)]

    def _not_yet(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [[words["not_yet"], words["instead"], words["build_when"]]]
        rows += [
            [words.of(text) for text in (each.name, each.instead, each.trigger)] for each in self._of.not_yet
        ]
        return [(table(rows, (2, 4, 5), size=18),)]

    def _cold_start(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [[words["services_per_day"].capitalize(), words["days_to_first_model"]]]
        for each in self._plans:
            fewest, most = (self._number(days, 1 if days < 10 else 0) for days in each.days_to_first_model)  # noqa: PLR2004
            rows.append([self._number(each.services_per_day), f"{fewest} {words['until']} {most}"])
        return [(Table(LEFT, 320, 160, (220, 280), tuple(map(tuple, rows)), 16),)]

    def _failures(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [[words["failure"], words["element"], words["response"]]]
        rows += [
            [
                f"{each.id}  {words.of(each)}",
                words.of(self._elements[each.element].name),
                words.of(each.response),
            ]
            for each in self._of.failures
        ]
        return [(table(rows, (5, 3, 5), size=17),)]

    def _roadmap(self) -> list[Sequence[Item]]:
        words, phases = self._words, self._of.roadmap
        steps = [(f"{phase.id} · {words.of(phase.weeks)}", words.of(phase)) for phase in phases]
        begun = chain(steps, y=TOP + 20, h=150, size=16)
        told = [
            Box(box.x, TOP + 190, box.w, 150, words["done_when"], words.of(phase.done_when), 16, PALE)
            for box, phase in zip((each for each in begun if isinstance(each, Box)), phases, strict=True)
        ]
        return [(Drawing("; ".join(": ".join(step) for step in steps), begun), *told)]

    def _assumptions(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [[words["assumption"], words["if_false"]]]
        rows += [[f"{each.id}  {words.of(each)}", words.of(each.if_false)] for each in self._of.assumptions]
        return [(table(rows, (3, 2), size=14),)]

    def _quantities(self) -> list[Sequence[Item]]:
        words, of = self._words, self._of.capacity

        def shown(name: str, value: object) -> str:
            if isinstance(value, dict):
                return " + ".join(f"{self._number(count)} {words[kind]}" for kind, count in value.items())
            if isinstance(value, tuple):
                return f" {words['until']} ".join(map(self._number, value))
            assert isinstance(value, int | float)  # noqa: S101 - the schema has no other kind
            if name == "cancel_rate":
                return f"{self._number(100 * value)} %"
            return self._number(value, 0 if value == int(value) else 2)

        rows = [[words["quantity"], words["value"]]]
        rows += [[words[name], shown(name, value)] for name, value in of if name != "services_per_day"]
        return [(table(rows, (3, 4), size=14),)]

    def _decisions(self) -> list[Sequence[Item]]:
        words = self._words
        rows = [[words["decision"], words["consequence"]]]
        rows += [[f"{each.id}  {words.of(each)}", words.of(each.consequence)] for each in self._of.adrs]
        risks = [[words["risk"], words["response"]]]
        risks += [[f"{each.id}  {words.of(each)}", words.of(each.response)] for each in self._of.risks]
        return [
            (
                Table(LEFT, TOP, 220, (540, 348), tuple(map(tuple, rows)), 15),
                Table(LEFT, 330, 160, (540, 348), tuple(map(tuple, risks)), 15),
            )
        ]

    def _stages(self) -> list[Sequence[Item]]:
        words = self._words

        def row(flow: Flow) -> list[str]:
            stages = " + ".join(
                f"{words.of(self._elements[stage.element].name)}: {words.of(stage.what)}"
                f" {self._number(stage.budget)}"
                for stage in flow.stages
            )
            total = f"{self._number(flow.worst)} / {self._number(flow.sla)} {flow.unit}"
            return [f"{flow.id}  {words.of(flow.name)}", stages, total]

        heads = [words["flow"], words["stages"], f"{words['worst']} / SLA"]
        return self._tables(heads, [row(flow) for flow in self._of.flows], (2, 6, 1.6), each=7, size=11)

    def _connections(self) -> list[Sequence[Item]]:
        words = self._words
        names = {name: words.of(each.name) for name, each in (self._sources | self._elements).items()}
        rows = [
            [names[each.source], names[each.target], words.of(each.what), words.of(each.often)]
            for each in self._of.connections
        ]
        heads = [words["from"], words["to"], words["what"], words["often"]]
        return self._tables(heads, rows, (3, 3, 3, 2), each=23, size=10)

    def _number(self, value: float, digits: int = 0) -> str:
        return number(value, self._language, digits)
