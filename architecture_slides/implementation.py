"""The deck on this implementation: implementation.yaml, with figures read from the committed measurements."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from architecture_slides.typesetting.chart import Axis, chart
from architecture_slides.typesetting.content import Language, Name, Page, Part, Text, Words, load, number
from architecture_slides.typesetting.deck import (
    BOTTOM,
    LEFT,
    PALE,
    RIGHT,
    TOP,
    Box,
    Deck,
    Drawing,
    Item,
    Table,
    chain,
    slides,
    table,
)
from load_tests import capacity
from load_tests.report.aims import C32, fastest
from load_tests.report.figures import (
    ARROW,
    CONNECTIONS,
    DIRECT,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    PIPELINE_DIRECT,
    SAME_MODEL,
    SIZES,
    THIS,
    Comparison,
    Complexity,
    Scaling,
    cell,
)
from load_tests.report.report import EXAMPLES, ranked
from load_tests.report.tables import digits
from propensity.contract.limits import MAX_ROWS, MAX_TABLE_ROWS
from propensity.importing.parity import MOST_ROWS

IMPLEMENTATION = Path(__file__).with_name("implementation.yaml")
ROOT = IMPLEMENTATION.parents[1]
BATCH = cell(8, 1_000)
MODEL = (150, 3)
"""Trees and depth of the model whose cost is drawn."""

NOTES = {
    "design": (370, 130, 15),
    "performance": (416, 84, 15),
    "batches": (410, 90, 14),
    "complexity": (404, 96, 15),
    "scaling": (386, 114, 15),
    "options": (366, 134, 16),
    "soak": (404, 96, 16),
    "deployment": (280, 170, 17),
}
"""Where notes stand beside what is shown: top, height, size of letters."""

ALONE = (TOP, BOTTOM - TOP, 20)


class MeasuredPage(Page):
    """A page, the files that its figures are read from, and the commands that make them."""

    needs: list[str] = Field(default_factory=list)
    source: str


class Step(Part):
    """A step of a chain."""

    head: Name
    text: Name


class Alternative(Part):
    """Another way to deploy."""

    name: Name
    pro: Text
    con: Text
    when: Text


class Told(Part):
    """All that is told of the implementation."""

    pages: list[MeasuredPage]
    chains: dict[str, list[Step]]
    alternatives: list[Alternative]
    words: dict[str, Name]


def read(path: Path = IMPLEMENTATION) -> Told:
    """Read what is told.

    Raises:
        ContentError: it can't be read, or lacks something, such as a translation.
    """
    return load(path, Told)


def left_out(of: Told, root: Path = ROOT) -> dict[str, str]:
    """Pages that are left out, each with the file that it lacks below `root`."""
    missing = {page.id: [name for name in page.needs if not (root / name).is_file()] for page in of.pages}
    return {page: names[0] for page, names in missing.items() if names}


class Implementation:
    """The implementation's pages in one language."""

    def __init__(self, of: Told, language: Language, out: Collection[str] = ()) -> None:
        self._of, self._language, self._out = of, language, out
        self._facts: dict[str, Callable[[], dict[str, str]]] = {
            "summary": self._summary_facts,
            "performance": self._comparison_facts,
            "batches": self._batch_facts,
            "complexity": self._complexity_facts,
            "scaling": self._scaling_facts,
            "quality": self._quality_facts,
            "soak": self._soak_facts,
            "deployment": self._image_facts,
            "design": self._design_facts,
            "api": self._api_facts,
            "options": self._option_facts,
        }
        self._exhibits: dict[str, Callable[[Words], Sequence[Item]]] = {
            "api": self._api,
            "design": self._design,
            "performance": self._performance,
            "batches": self._batches,
            "complexity": self._complexity,
            "scaling": self._scaling,
            "quality": self._quality,
            "options": self._options,
            "soak": self._soak,
            "deployment": self._deployment,
            "alternatives": self._alternatives,
        }

    def deck(self) -> Deck:
        """All pages but those that are left out.

        Raises:
            ContentError: a word is missing, or names what is not computed.
        """
        shown = []
        for page in self._of.pages:
            if page.id in self._out:
                continue
            computed = self._facts[page.id]() if page.id in self._facts else {}
            words = Words(self._language, self._of.words, computed)
            items = self._exhibits[page.id](words) if page.id in self._exhibits else ()
            source = f"{', '.join(page.needs)}: {page.source}" if page.needs else page.source
            shown += slides(page, [items], words, source=source, place=NOTES.get(page.id, ALONE))
        return Deck("propensity-bento", self._language, tuple(shown))

    @staticmethod
    def _json(name: str) -> Any:
        return json.loads((ROOT / name).read_bytes())

    def _number(self, value: float, digits: int = 0) -> str:
        return number(value, self._language, digits)

    def _ratio(self, value: float) -> str:
        return self._number(value, digits(value))

    def _comparison_facts(self) -> dict[str, str]:
        measured = Comparison()
        server = fastest(measured, MODEL_SERVERS, C32)
        return {
            "rounds": str(len(measured.rounds)),
            "fastest": self._ratio(measured.ratio(THIS, server, C32)),
            "same": self._ratio(measured.ratio(THIS, SAME_MODEL, C32)),
            "naive": self._ratio(measured.ratio(THIS, NAIVE, C32)),
        }

    def _summary_facts(self) -> dict[str, str]:
        evaluation = self._json("docs/evaluation/evaluation.json")
        return {
            **self._comparison_facts(),
            **self._soak_facts(),
            "auc": self._number(evaluation["metrics"]["auc"], 4),
            "promised": self._number(evaluation["notebook"]["auc"], 4),
        }

    def _batch_facts(self) -> dict[str, str]:
        measured = Comparison()
        return {
            "batch_fastest": self._ratio(
                measured.ratio(THIS, fastest(measured, MODEL_SERVERS, BATCH), BATCH)
            ),
            "merged_alone": self._ratio(measured.ratio(THIS, DIRECT, cell(1, 1))),
            "arrow": self._ratio(measured.ratio(ARROW, THIS, BATCH)),
            "merged": self._ratio(measured.ratio(PIPELINE, PIPELINE_DIRECT, C32)),
            "merged_compiled": self._ratio(measured.ratio(THIS, DIRECT, C32)),
        }

    def _complexity_facts(self) -> dict[str, str]:
        measured = Complexity()
        return {
            "trees": str(MODEL[0]),
            "depth": str(MODEL[1]),
            "constant": self._number(measured.fit("pipeline")[0] / measured.fit("compiled")[0]),
        }

    def _scaling_facts(self) -> dict[str, str]:
        measured = Scaling()
        return {
            "loaded_mb": self._number(Comparison().rss_mb(THIS, "loaded", "largest")),
            "worker_mb": self._number(measured.worker_mb()),
            "base_mb": self._number(measured.base_mb()),
            "kappa": self._number(measured.usl(1)[2], 4),
        }

    def _quality_facts(self) -> dict[str, str]:
        found = self._json("docs/evaluation/evaluation.json")
        largest = found["max_difference"]
        return {"difference": f"1e{math.ceil(math.log10(largest))}" if largest else "0"}

    def _soak_facts(self) -> dict[str, str]:
        soak = self._json("load_tests/measurements/soak.json")
        return {
            "minutes": self._number(soak["seconds"] / 60),
            "answered": self._number(soak["answered"]),
            "unexpected": self._number(len(soak["unexpected"])),
            "failed": self._number(soak["failed"]),
            "failed_without_a_kill": self._number(soak["failed_without_a_kill"]),
        }

    def _design_facts(self) -> dict[str, str]:
        return {"generated": self._number(MOST_ROWS)}

    def _api_facts(self) -> dict[str, str]:
        return {"rows": self._number(MAX_ROWS), "table_rows": self._number(MAX_TABLE_ROWS)}

    def _option_facts(self) -> dict[str, str]:
        summary = self._json("load_tests/measurements/options.json")["summary"]
        return {name: self._number(summary[name]["32"], 2) for name in ("explained", "logged", "challenged")}

    def _image_facts(self) -> dict[str, str]:
        image = self._json("deploy/image/image.json")
        return {"image": self._number(image["image_mb"]), "default": self._number(image["default_mb"])}

    def _api(self, words: Words) -> Sequence[Item]:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        shown = re.search(r"-d '(\{.*?\})'.*?```json\n(.*?)\n```", readme, re.DOTALL)
        assert shown  # noqa: S101 - a test compares README and service
        asked, given = (json.dumps(json.loads(text)) for text in shown.groups())
        paths = [name for name in self._of.words if name.startswith(("GET", "POST"))]
        rows = [(words["endpoint"], words["does"]), *((path, words[path]) for path in paths)]
        return (
            Box(LEFT, TOP, 500, 112, words["request"], asked, 14, PALE),
            Box(LEFT + 514, TOP, RIGHT - LEFT - 514, 112, words["answer"], given, 14, PALE),
            table(rows, (1, 3), y=TOP + 130, size=15),
        )

    def _steps(self, name: str, words: Words) -> list[tuple[str, str]]:
        return [(words.of(step.head), words.of(step.text)) for step in self._of.chains[name]]

    def _design(self, words: Words) -> Sequence[Item]:
        drawn = [
            chain(self._steps(name, words), y=y, h=112, size=14)
            for name, y in (("import", TOP), ("request", TOP + 136))
        ]
        return (Drawing(words["design_alt"], (*drawn[0], *drawn[1])),)

    def _axis(self, label: str, ticks: Iterable[float], *, log: bool = False, digits: int = 0) -> Axis:
        return Axis(label, {each: self._number(each, digits) for each in ticks}, log)

    def _told(self, words: Words, name: str) -> str:
        """A contender's name in this language; products keep theirs."""
        return words[name] if name in self._of.words else name

    def _rates(
        self,
        words: Words,
        labels: Mapping[str, str],
        *,
        at: tuple[float, float],
        size: tuple[float, float],
        alt: str,
    ) -> Drawing:
        """Single predictions a second by connections, of contenders by their labels."""
        measured = Comparison()
        return chart(
            {
                label: [(each, measured.rate(name, cell(each, 1))) for each in CONNECTIONS]
                for name, label in labels.items()
            },
            self._axis(words["connections"], CONNECTIONS, log=True),
            self._axis(words["rate"], (10, 100, 1_000, 10_000), log=True),
            at=at,
            size=size,
            alt=alt,
        )

    def _performance(self, words: Words) -> Sequence[Item]:
        measured = Comparison()
        rows = [(words["contender"], words["rate"], words["p99"], words["times"])]
        for name in [THIS, *ranked(measured)]:
            ratio = "" if name == THIS else f"{self._ratio(measured.ratio(THIS, name, C32))}×"
            rate, p99 = measured.rate(name, C32), measured.median(name, C32, "p99_ms")
            rows.append((self._told(words, name), self._number(rate), self._number(p99), ratio))
        shown = Table(LEFT, TOP, 310, (160, 86, 60, 94), tuple(rows), 12)
        server = fastest(measured, MODEL_SERVERS, C32)
        drawn = self._rates(
            words,
            {name: self._told(words, name) for name in (THIS, SAME_MODEL, server, NAIVE)},
            at=(456, TOP),
            size=(468, 310),
            alt=words["throughput"],
        )
        return (shown, drawn)

    def _batches(self, words: Words) -> Sequence[Item]:
        measured = Comparison()
        server = fastest(measured, MODEL_SERVERS, BATCH)
        by_size = chart(
            {
                self._told(words, name): [
                    (size, measured.rate(name, cell(8, size)) * size)
                    for size in SIZES
                    if measured.has(name, cell(8, size))
                ]
                for name in (THIS, ARROW, SAME_MODEL, server)
            },
            self._axis(words["rows_a_request"], SIZES, log=True),
            self._axis(words["rows_a_second"], (100, 1_000, 10_000, 100_000, 1_000_000), log=True),
            at=(LEFT, TOP),
            size=(434, 310),
            alt=words["batches"],
        )
        merging = self._rates(
            words,
            {name: words[f"form: {name}"] for name in (THIS, DIRECT, PIPELINE, PIPELINE_DIRECT)},
            at=(490, TOP),
            size=(434, 310),
            alt=words["merging"],
        )
        return (by_size, merging)

    def _complexity(self, words: Words) -> Sequence[Item]:
        measured = Complexity()
        rows = [(words["form"], words["call"], words["row"], words["unit"], words["residual"])]
        for form in ("compiled", "pipeline"):
            call, row, unit = measured.fit(form)
            residual = statistics.median(abs(each) for each in measured.residuals(form))
            rows.append(
                (
                    words[form],
                    f"{self._number(call * 1e6, 1)} µs",
                    f"{self._number(row * 1e6, 2)} µs",
                    f"{self._number(unit * 1e9, 2)} ns",
                    f"{self._number(100 * residual)} %",
                )
            )
        shown = Table(LEFT, TOP, 90, ((RIGHT - LEFT) / 5,) * 5, tuple(rows), 14)
        costs = {
            words[form]: [
                (each["rows"], each["seconds"] * 1e3)
                for each in measured.cells
                if (each["form"], each["trees"], each["depth"]) == (form, *MODEL)
            ]
            for form in ("compiled", "pipeline")
        }
        drawn = chart(
            costs,
            self._axis(words["rows_a_request"], (1, 10, 100, 1_000, 10_000), log=True),
            self._axis(words["milliseconds"], (0.01, 0.1, 1, 10, 100), log=True, digits=2),
            at=(170, TOP + 92),
            size=(620, 220),
            alt=words["complexity"],
        )
        return (shown, drawn)

    def _scaling(self, words: Words) -> Sequence[Item]:
        rows = [(words["load"], words["p99"], words["worker"], words["pods"], words["network"])]
        for rps, size, p99_ms in EXAMPLES:
            needed = capacity.plan(rps, p99_ms, size)
            rows.append(
                (
                    f"{self._number(rps)} × {self._number(size)}",
                    self._number(p99_ms),
                    f"{self._number(needed.worker.rps)}/s",
                    self._number(needed.pods),
                    self._number(needed.network_mbit),
                )
            )
        shown = Table(LEFT, TOP, 240, (130, 60, 104, 46, 100), tuple(rows), 13)
        measured = Scaling()
        drawn = chart(
            {
                words[f"workers: {workers}"]: [
                    (each, measured.rate(workers, each)) for each in measured.connections
                ]
                for workers in measured.workers
            },
            self._axis(words["connections"], measured.connections, log=True),
            self._axis(words["rate"], (0, 5_000, 10_000, 15_000, 20_000)),
            at=(500, TOP),
            size=(424, 280),
            alt=words["scalability"],
        )
        return (shown, drawn)

    def _quality(self, words: Words) -> Sequence[Item]:
        found = self._json("docs/evaluation/evaluation.json")
        heads = ("metric", "deployed", "interval", "notebook", "difference")
        rows = [tuple(words[name] for name in heads)]
        for name, promised in found["notebook"].items():
            value, (low, high) = found["metrics"][name], found["intervals"][name]
            rows.append(
                (
                    words[name],
                    self._number(value, 4),
                    f"{self._number(low, 4)} {words['until']} {self._number(high, 4)}",
                    self._number(promised, 4),
                    f"{value - promised:.0e}" if value != promised else "0",
                )
            )
        shown = Table(LEFT, TOP, 200, ((RIGHT - LEFT) / 5,) * 5, tuple(rows), 13)
        tenths = found["calibration"]
        calibration = {
            words["perfect"]: [(0.0, 0.0), (1.0, 1.0)],
            words["deployed"]: list(zip(tenths["mean_propensity"], tenths["positive_rate"], strict=True)),
        }
        share = (0, 0.25, 0.5, 0.75, 1)
        drawn = chart(
            calibration,
            self._axis(words["mean_propensity"], share, digits=2),
            self._axis(words["positive_rate"], share, digits=2),
            at=(270, TOP + 206),
            size=(420, 202),
            alt=words["evaluation"],
        )
        return (shown, drawn)

    def _options(self, words: Words) -> Sequence[Item]:
        summary = self._json("load_tests/measurements/options.json")["summary"]
        options = [(words["option"], words["of_rate_1"], words["of_rate_32"])]
        options += [
            (words[name], f"{self._number(each['1'], 2)}×", f"{self._number(each['32'], 2)}×")
            for name, each in summary.items()
            if name != "plain"
        ]
        files = [(words["file"], words["rows"], words["rows_a_second"], words["memory"])]
        files += [
            (
                words[each["kind"]],
                self._number(each["rows"]),
                self._number(each["rows_per_second"]),
                f"{self._number(each['memory_mb'])} MB",
            )
            for each in self._json("load_tests/measurements/bulk.json")["cells"]
            if each.get("processes", 1) == 1
        ]
        return (
            Table(LEFT, TOP, 250, (170, 120, 130), tuple(options), 14),
            Table(LEFT + 444, TOP, 250, (110, 110, 110, 114), tuple(files), 14),
        )

    def _soak(self, words: Words) -> Sequence[Item]:
        found = self._json("load_tests/measurements/soak.json")
        samples = [
            (each["seconds"] / 60, each) for each in found["samples"] if each["seconds"] <= found["seconds"]
        ]
        minutes = self._axis(words["minutes"], range(0, found["seconds"] // 60 + 1, 2))
        rate = chart(
            {words["this bundle"]: [(at, each["requests_per_second"]) for at, each in samples]},
            minutes,
            self._axis(words["rate"], (0, 500, 1_000, 1_500, 2_000)),
            at=(LEFT, TOP),
            size=(434, 300),
            alt=words["soak_rate"],
            marked=False,
        )
        memory = chart(
            {
                words[name]: [(at, each[name]) for at, each in samples]
                for name in ("worker_mb", "supervisor_mb")
            },
            minutes,
            self._axis(words["megabytes"], (0, 100, 200, 300, 400)),
            at=(490, TOP),
            size=(434, 300),
            alt=words["soak_memory"],
            marked=False,
        )
        return (rate, memory)

    def _deployment(self, words: Words) -> Sequence[Item]:
        drawn = chain(self._steps("release", words), y=TOP + 10, h=140, size=15)
        return (Drawing(words["release_alt"], drawn),)

    def _alternatives(self, words: Words) -> Sequence[Item]:
        rows = [[words[name] for name in ("alternative", "pro", "con", "when")]]
        rows += [
            [words.of(text) for text in (each.name, each.pro, each.con, each.when)]
            for each in self._of.alternatives
        ]
        return (table(rows, (3, 4, 4, 4), size=15),)
