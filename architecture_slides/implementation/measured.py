"""The implementation's deck in one language: its words, with what was measured put into them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from architecture_slides.implementation.told import Told
from architecture_slides.typesetting.content import Language, Words, number
from load_tests import capacity
from load_tests.demonstration import MANIFEST, rows
from load_tests.report.aims import C1, C32, Aim, fastest, grouped
from load_tests.report.figures import (
    ARROW,
    BENTOMLS,
    CONNECTIONS,
    DIRECT,
    INVALID,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    PIPELINE_DIRECT,
    SAME_MODEL,
    THIS,
    Comparison,
    Complexity,
    Scaling,
    cell,
)
from load_tests.report.tables import digits
from load_tests.soak import KILL_SECONDS
from propensity.contract.limits import MAX_ROWS, MAX_TABLE_ROWS
from propensity.importing.parity import MOST_ROWS

ROOT = Path(__file__).parents[2]
C8, C128 = cell(8, 1), cell(128, 1)
BATCH = cell(8, 1_000)
MODEL = (300, 3)
"""Trees and depth of the model whose cost is drawn: as many as the demonstration model has."""

LOAD = (2_000, 50)
"""Requests a second, and p99 in ms, that the cost is told for."""

HOURS_A_MONTH = 730
BURST, CALM = 60, 30
"""Open connections of a worker: more than the first in a burst, no more than the second without one."""

RANGES = {
    "same": (THIS, SAME_MODEL, C32),
    "same_pickle": (PIPELINE, NAIVE, C32),
    "compiled": (THIS, PIPELINE, C32),
    "merged": (THIS, DIRECT, C32),
    "merged_alone": (THIS, DIRECT, C1),
    "pipeline_merged": (PIPELINE, PIPELINE_DIRECT, C32),
    "bentomls": (BENTOMLS, THIS, C8),
    "arrow": (ARROW, THIS, BATCH),
    "arrow_small": (ARROW, THIS, cell(8, 100)),
    "invalid": (INVALID, THIS, cell(1, 1_000)),
}
"""Ratios that are told: of a contender to another, in a cell."""


def _ten(exponent: int) -> str:
    """A power of ten, such as 10⁻¹⁵."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


class Measured:
    """What the pages of one language are made of."""

    def __init__(self, of: Told, language: Language) -> None:
        self.of, self.language = of, language
        self.comparison, self.scaling, self.complexity = Comparison(), Scaling(), Complexity()
        self.soak = self._json("load_tests/measurements/soak.json")
        self.bulk = self._json("load_tests/measurements/bulk.json")
        self.options = self._json("load_tests/measurements/options.json")
        self.forms = self._json("load_tests/measurements/forms.json")
        self.evaluation = self._json("docs/evaluation/evaluation.json")
        computed = (
            *(self._ratios(), self._rivals(), self._latencies(), self._aimed(), self._speedups()),
            *(self._costs(), self._quality(), self._soaked(), self._others()),
        )
        self.words = Words(
            language, of.words, {name: told for each in computed for name, told in each.items()}
        )

    @staticmethod
    def _json(name: str) -> Any:
        return json.loads((ROOT / name).read_bytes())

    def number(self, value: float, digits: int = 0) -> str:
        """A number as the language writes it."""
        return number(value, self.language, digits)

    def ratio(self, value: float) -> str:
        """A ratio, to as many decimals as it deserves."""
        return self.number(value, digits(value))

    def range(self, ratios: Sequence[float]) -> str:
        """The least and the most of the rounds."""
        return f"{self.ratio(min(ratios))} {self.words['to']} {self.ratio(max(ratios))}"

    def percent(self, share: float, digits: int = 0) -> str:
        """A share in percent, not to be broken before its sign."""
        return f"{self.number(100 * share, digits)}\N{NO-BREAK SPACE}%"

    def day(self, written: str) -> str:
        """A day such as 2026-11-26, as the language writes it."""
        return "-".join(reversed(written.split("-"))) if self.language == "es" else written

    def power(self, value: float, digits: int = 1) -> str:
        """A very small number, such as 8.0·10⁻¹⁶."""
        shown, _, exponent = f"{value:.{digits}e}".partition("e")
        return f"{self.number(float(shown), digits)}·{_ten(int(exponent))}"

    @cached_property
    def aims(self) -> dict[str, list[Aim]]:
        """What was aimed at, by what it is about."""
        return grouped(self.comparison, self.bulk, self.options)

    @cached_property
    def server(self) -> str:
        """The fastest model server, single predictions at 32 connections."""
        return fastest(self.comparison, MODEL_SERVERS, C32)

    def aim_name(self, aim: Aim) -> str:
        """An aim in this language; it may end with the name of a server."""
        server = next((each for each in MODEL_SERVERS if aim.what.endswith(f", {each}")), "")
        named = aim.what.removesuffix(f", {server}") if server else aim.what
        return self.words[named] + (f", {server}" if server else "")

    def milliseconds(self, form: str) -> dict[int, float]:
        """What a call of the model takes, by rows."""
        return {
            each["rows"]: each["seconds"] * 1e3
            for each in self.complexity.cells
            if (each["form"], each["trees"], each["depth"]) == (form, *MODEL)
        }

    def busiest(self, workers: int) -> tuple[float, float]:
        """The most requests a second that so many workers answered, and the cores busy meanwhile."""
        connections = max(
            self.scaling.connections, key=lambda connections: self.scaling.rate(workers, connections)
        )
        return self.scaling.rate(workers, connections), self.scaling.cores(workers, connections)

    def samples(self) -> list[dict[str, Any]]:
        """What was seen every few seconds while the soak went on."""
        return [each for each in self.soak["samples"] if each["seconds"] <= self.soak["seconds"]]

    def in_flight(self) -> int:
        """The most connections of a worker up to which no measured p99 exceeded the objective."""
        found = [(each, self.comparison.median(THIS, cell(each, 1), "p99_ms")) for each in CONNECTIONS]
        found += [(each, self.scaling.median(1, each, "p99_ms")) for each in self.scaling.connections]
        beyond = min(connections for connections, p99_ms in found if p99_ms > LOAD[1])
        return max(connections for connections, _ in found if connections < beyond)

    def doubled(self) -> tuple[float, float]:
        """The most times that two workers of the comparison answered what one did, and what one did then."""
        rates = (self.comparison.rates(THIS, C32, workers) for workers in (1, 2))
        return max((two / one, one) for one, two in zip(*rates, strict=True))

    def _ratios(self) -> dict[str, str]:
        told = {"fastest_name": self.server, "rounds": str(len(self.comparison.rounds))}
        for name, (ours, other, of) in RANGES.items():
            ratios = self.comparison.ratios(ours, other, of)
            told[name] = self.ratio(self.comparison.ratio(ours, other, of))
            told[f"{name}_low"], told[f"{name}_high"] = (self.ratio(end(ratios)) for end in (min, max))
        merged = self.comparison.ratios(*RANGES["merged"])
        return {
            **told,
            "gain_low": self.percent(min(merged) - 1),
            "gain_high": self.percent(max(merged) - 1),
        }

    def _rivals(self) -> dict[str, str]:
        """Where others are better, and what the ratio to FastAPI would be if it were one of medians."""
        comparison = self.comparison
        ours, theirs = (comparison.rss_mb(name, "started", "all") for name in (THIS, SAME_MODEL))
        return {
            "start": self.number(comparison.start_seconds(THIS)),
            "rival_start": self.number(comparison.start_seconds(SAME_MODEL)),
            "rival_memory": self.percent(theirs / ours),
            "quotient": self.ratio(comparison.rate(THIS, C32) / comparison.rate(SAME_MODEL, C32)),
            "cell_seconds": str(comparison.seconds),
        }

    def _latencies(self) -> dict[str, str]:
        """What merging, and what BentoML's dispatcher, do to latency, in ms."""
        merged, direct = (self.comparison.median(name, C1, "p50_ms") for name in (THIS, DIRECT))
        ours, theirs = (self.comparison.median(name, C128, "p99_ms") for name in (THIS, BENTOMLS))
        return {
            "merged_p50": self.number(merged, 2),
            "direct_p50": self.number(direct, 2),
            "merged_p99": self.number(ours),
            "bentomls_p99": self.number(theirs),
            "shorter_tail": self.ratio(ours / theirs),
            "p99_ms": str(LOAD[1]),
            "in_flight": str(self.in_flight()),
        }

    def _aimed(self) -> dict[str, str]:
        every = [aim for group in self.aims.values() for aim in group]
        rounds = [
            [each[name]["cells"][C1]["p50_ms"] for name in (THIS, DIRECT)] for each in self.comparison.rounds
        ]
        added = [merged - direct for merged, direct in rounds]
        (ndjson,) = [aim for aim in every if "NDJSON, `--processes 2`" in aim.what]
        worst = min(aim.share for aim in every if aim.share is not None)
        return {
            "aims": str(len(every)),
            "met": str(sum(aim.is_met() is True for aim in every)),
            "missed": str(sum(aim.is_met() is False for aim in every)),
            "worst": self.percent(worst),
            "ndjson": self.number(ndjson.found or 0, 2),
            "ndjson_aim": self.number(ndjson.bound, 2),
            "added_low": self.number(min(added), 2).replace("-", "\N{MINUS SIGN}"),
            "added_high": self.number(max(added), 2),
        }

    def _speedups(self) -> dict[str, str]:
        of_one: dict[str, dict[tuple[int, int], float]] = {"compiled": {}, "pipeline": {}}
        for each in self.complexity.cells:
            if each["rows"] == 1:
                of_one[each["form"]][each["trees"], each["depth"]] = each["seconds"]
        of_models = [of_one["pipeline"][model] / took for model, took in of_one["compiled"].items()]
        compiled, pipeline = self.milliseconds("compiled"), self.milliseconds("pipeline")
        faster = {rows: pipeline[rows] / compiled[rows] for rows in compiled}
        grids = self.forms["compilers"]["grids"]
        return {
            "speedup_low": self.ratio(min(of_models)),
            "speedup_high": self.ratio(max(of_models)),
            "speedup_one": self.ratio(faster[1]),
            "speedup_thousand": self.ratio(faster[1_000]),
            "speedup_most": self.ratio(faster[max(faster)]),
            "grids_one": self.ratio(grids["batch_1"]["times_as_fast_as_pipeline"]),
            "grids_thousand": self.ratio(grids["batch_1000"]["times_as_fast_as_pipeline"]),
            "trees": str(MODEL[0]),
            "depth": str(MODEL[1]),
        }

    def _costs(self) -> dict[str, str]:
        comparison, needed = self.comparison, capacity.plan(*LOAD)
        (one, cores_one), (two, cores_two) = self.busiest(1), self.busiest(2)
        doubled, one_then = self.doubled()
        # Of the comparison, a worker answers less: the dearer end.
        dearer = needed.price_of_a_million * needed.worker.rps / comparison.rate(THIS, C32)
        return {
            # To the hundred: runs differ by more.
            "per_core_one": self.number(round(one / cores_one, -2)),
            "per_core_two": self.number(round(two / cores_two, -2)),
            "compared_one": self.number(round(comparison.per_cpu_second(THIS, C32), -2)),
            "compared_two": self.number(round(comparison.per_cpu_second(THIS, C32, 2), -2)),
            "two_workers": self.ratio(two / one),
            "doubled": self.ratio(doubled),
            "one_then": self.number(one_then),
            "one_here": self.number(self.scaling.rate(1, 32)),
            "cores_one": self.number(cores_one, 1),
            "cores_two": self.number(cores_two, 1),
            "base_mb": self.number(self.scaling.base_mb()),
            "worker_mb": self.number(self.scaling.worker_mb()),
            "core_hour": self.number(capacity.CORE_HOUR, 2),
            "million_low": self.number(needed.price_of_a_million, 3),
            "million_high": self.number(dearer, 3),
            "month": self.number(needed.pods * capacity.WORKERS_A_POD * capacity.CORE_HOUR * HOURS_A_MONTH),
            "headroom": self.percent(capacity.HEADROOM),
        }

    def _quality(self) -> dict[str, str]:
        found = self.evaluation
        low, high = found["intervals"]["auc"]
        largest = found["max_difference"]
        parity = found["served"]["parity"]
        return {
            "auc": self.number(found["metrics"]["auc"], 3),
            "auc_low": self.number(low, 3),
            "auc_high": self.number(high, 3),
            "tested": self.number(found["rows"]),
            "positives": self.number(found["positives"]),
            "tenth": self.number(found["rows"] / 10),
            "difference": _ten(math.ceil(math.log10(largest)) if largest else -16),
            "parity_difference": self.power(parity["max_difference"]),
            "changed": self.number(parity["decisions_changed"]),
            "parity_rows": self.number(parity["rows"]),
        }

    def _soaked(self) -> dict[str, str]:
        found = self.soak
        rates = [(each["worker_connections"], each["requests_per_second"]) for each in self.samples()]
        burst = statistics.median(rate for connections, rate in rates if connections > BURST)
        calm = statistics.median(rate for connections, rate in rates if connections <= CALM)
        predicted = sum(answers.get("200", 0) for answers in found["answers"].values())
        return {
            "minutes": self.number(found["seconds"] / 60),
            "answered": self.number(found["answered"]),
            "asked": self.number(found["answered"] + found["failed"]),
            "predicted": self.number(predicted),
            "burst": str(BURST),
            "calm": str(CALM),
            "rate_burst": self.number(burst),
            "rate_calm": self.number(calm),
            "failed": self.number(found["failed"]),
            "failed_without_a_kill": self.number(found["failed_without_a_kill"]),
            "kills": str(found["faults"]["worker killed"]),
            "kill_seconds": str(KILL_SECONDS),
            "memory_change": self.percent(found["drift"]["worker_mb"]["change"], 1),
        }

    def _others(self) -> dict[str, str]:
        image = self._json("deploy/image/image.json")
        summary = self.options["summary"]
        return {
            "image": self.number(image["image_mb"]),
            "default": self.number(image["default_mb"]),
            "generated": self.number(MOST_ROWS),
            "rows": self.number(MAX_ROWS),
            "table_rows": self.number(MAX_TABLE_ROWS),
            "data_rows": self.number(int(str(MANIFEST.data["rows"]))),
            "applications": self.number(len(rows())),
            **{name: self.percent(summary[name]["32"]) for name in ("explained", "challenged", "logged")},
        }
