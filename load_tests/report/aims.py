"""What was aimed at, and what came out: met and missed alike, and wherever somebody else is better."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from load_tests.report.figures import (
    ARROW,
    CONNECTIONS,
    DIRECT,
    ECHO,
    INVALID,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    PIPELINE_DIRECT,
    SAME_MODEL,
    SIZES,
    THIS,
    Comparison,
    cell,
)
from load_tests.report.tables import table, times

C1, C32 = cell(1, 1), cell(32, 1)
KINDS = {"parquet": ("Parquet", 1_500_000), "ndjson": ("NDJSON", 300_000), "csv": ("CSV", 600_000)}
"""Files that are scored, and the rows a second that are aimed at on one core."""


def fastest(comparison: Comparison, names: list[str], of: str) -> str:
    """The contender with the highest rate."""
    return max(names, key=lambda name: comparison.rate(name, of))


@dataclass(frozen=True)
class Aim:
    """What was aimed at, and what came out.

    Attributes:
        what: is measured.
        bound: that it should reach.
        found: in the committed measurements; None if they don't have it yet.
        unit: of both.
        at_most: the bound is an upper one.
    """

    what: str
    bound: float
    found: float | None
    unit: str = "×"
    at_most: bool = False

    def is_met(self) -> bool | None:
        """Whether it was reached; None if it was not measured."""
        if self.found is None:
            return None
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    @property
    def share(self) -> float | None:
        """How much of it was reached, 1 where it is met exactly; None if it was not measured."""
        if self.found is None:
            return None
        return self.bound / self.found if self.at_most else self.found / self.bound

    def line(self) -> list[str]:
        """The line of the table."""
        bound = f"{self.bound:,.0f}" if self.bound >= 1_000 else f"{self.bound:g}"
        aim = f"{'≤' if self.at_most else '≥'} {bound}{self.unit}"
        found = "not measured" if self.found is None else _shown(self.found, self.unit)
        return [self.what, aim, found, {True: "yes", False: "**no**", None: ""}[self.is_met()]]


def _shown(value: float, unit: str) -> str:
    if unit == "×":
        return times(value)
    return f"{value:,.0f}{unit}" if value >= 100 else f"{value:.2g}{unit}"


def grouped(comparison: Comparison, bulk: dict[str, Any], options: dict[str, Any]) -> dict[str, list[Aim]]:
    """All of them by what they are about, with what the committed measurements say."""
    return {
        "single": _single(comparison),
        "tail": _tails(comparison),
        "batches": _batches(comparison),
        "files": _files(bulk),
        "options": _others(comparison, options),
        "merging": _merging(comparison),
    }


def aims(comparison: Comparison, bulk: dict[str, Any], options: dict[str, Any]) -> list[Aim]:
    """All of them, one after the other."""
    return [aim for group in grouped(comparison, bulk, options).values() for aim in group]


def _single(comparison: Comparison) -> list[Aim]:
    server = fastest(comparison, MODEL_SERVERS, C32)
    return [
        Aim("Single, 1 connection, to the ASGI echo", 0.6, comparison.ratio(THIS, ECHO, C1)),
        Aim("Single, 32 connections, to the ASGI echo", 0.4, comparison.ratio(THIS, ECHO, C32)),
        Aim(
            "Single, 32 connections, to FastAPI with the same compiled model",
            4,
            comparison.ratio(THIS, SAME_MODEL, C32),
        ),
        Aim(
            f"Single, 32 connections, to the fastest model server, {server}",
            15,
            comparison.ratio(THIS, server, C32),
        ),
        Aim("Single, 32 connections, to FastAPI and pickle", 25, comparison.ratio(THIS, NAIVE, C32)),
    ]


def _tails(comparison: Comparison) -> list[Aim]:
    return [
        *(
            Aim(f"p99 to p50, {_connections(each)}", 2, _tail(comparison, cell(each, 1)), at_most=True)
            for each in CONNECTIONS
        ),
        Aim("p99.9, 32 connections", 10, comparison.median(THIS, C32, "p999_ms"), " ms", at_most=True),
    ]


def _tail(comparison: Comparison, of: str) -> float:
    return comparison.median(THIS, of, "p99_ms") / comparison.median(THIS, of, "p50_ms")


def _batches(comparison: Comparison) -> list[Aim]:
    found = []
    for connections in (1, 8):
        of = cell(connections, 1_000)
        server = fastest(comparison, MODEL_SERVERS, of)
        invalid = comparison.ratio(INVALID, THIS, of) if comparison.has(INVALID, of) else None
        where = f"1,000 rows as JSON, {_connections(connections)}"
        found += [
            Aim(where, 800_000, comparison.rate(THIS, of) * 1_000, " rows/s"),
            Aim(f"{where}, to the best model server, {server}", 5, comparison.ratio(THIS, server, of)),
            Aim(f"{where}, 1 % of them invalid, to none", 0.7, invalid),
        ]
    for connections in (1, 8):
        rows = comparison.rate(ARROW, cell(connections, 10_000)) * 10_000
        found.append(Aim(f"10,000 rows as Arrow, {_connections(connections)}", 2_000_000, rows, " rows/s"))
    to_json = comparison.ratio(ARROW, THIS, cell(8, 10_000))
    return [*found, Aim("10,000 rows as Arrow, 8 connections, to JSON", 5, to_json)]


def _files(bulk: dict[str, Any]) -> list[Aim]:
    found = []
    for kind, (name, rows_per_second) in KINDS.items():
        rates = {
            each["processes"]: each["rows_per_second"]
            for each in sorted(bulk["cells"], key=lambda each: each["rows"])
            if each["kind"] == kind and "processes" in each
        }
        of_two = rates[2] / rates[1] if rates else None
        found += [
            Aim(f"A file of {name}, one core", rows_per_second, rates.get(1), " rows/s"),
            Aim(f"A file of {name}, `--processes 2` to one", 1.7, of_two),
        ]
    return found


def _others(comparison: Comparison, options: dict[str, Any]) -> list[Aim]:
    memory, of_pipeline = (comparison.rss_mb(name, "started", "largest") for name in (THIS, PIPELINE))
    return [
        Aim("Explained to not, single, 32 connections", 0.5, options["summary"]["explained"]["32"]),
        Aim("Start to ready", 1, comparison.start_seconds(THIS), " s", at_most=True),
        Aim("Memory of a worker, to the pipeline form's", 0.5, memory / of_pipeline, at_most=True),
    ]


def _merging(comparison: Comparison) -> list[Aim]:
    merged_p50, direct_p50 = (comparison.median(name, C1, "p50_ms") for name in (THIS, DIRECT))
    pipelines = comparison.ratio(PIPELINE, PIPELINE_DIRECT, C32)
    return [
        Aim("Merged to not merged, 32 connections", 0.9, comparison.ratio(THIS, DIRECT, C32)),
        Aim("Merging adds, 1 connection, p50", 0.3, merged_p50 - direct_p50, " ms", at_most=True),
        Aim("Pipeline form, merged to not, 32 connections", 10, pipelines),
    ]


def targets(of: list[Aim]) -> str:
    """What was aimed at, and what came out."""
    return table(["", "aim", "found", "met"], [each.line() for each in of])


def count(of: list[Aim]) -> str:
    """How many aims were met, missed, and not measured, in words."""
    met, not_met, unknown = ([each.is_met() for each in of].count(kind) for kind in (True, False, None))
    return f"Of {len(of)} aims, {met} are met, {not_met} are missed, and {unknown} are not measured yet"


@dataclass(frozen=True)
class Measure:
    """What contenders are compared by.

    Attributes:
        what: is measured.
        value: of a contender.
        ratio: how many times better the first contender is than the second.
        has: whether it was measured of a contender.
        shown: a value as the report writes it.
    """

    what: str
    value: Callable[[str], float]
    ratio: Callable[[str, str], float]
    has: Callable[[str], bool]
    shown: str = "{:,.0f}"


def faster(comparison: Comparison, ours: str, others: Iterable[str]) -> str:
    """Every measure in which another contender is better than ours, and by how many times."""
    rows = []
    for each in measures(comparison):
        ratios = {
            name: each.ratio(name, ours)
            for name in others
            if name != ours and each.has(name) and each.has(ours)
        }
        better = sorted((name for name in ratios if ratios[name] > 1), key=lambda name: -ratios[name])
        if better:
            shown = [
                f"{name}: {each.shown.format(each.value(name))} ({times(ratios[name])})" for name in better
            ]
            rows.append([each.what, each.shown.format(each.value(ours)), "; ".join(shown)])
    return table(["", ours, "better (how many times)"], rows) if rows else "None."


def measures(comparison: Comparison) -> list[Measure]:
    """Everything that contenders are compared by."""
    singles = [(connections, 1) for connections in CONNECTIONS]
    batches = [(connections, size) for connections in (1, 8) for size in SIZES if size > 1]
    percentiles = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
    loaded = [(32, 1), (8, 1_000)]
    return [
        *(_rate(comparison, *each) for each in (*singles, *batches)),
        *(
            _latency(comparison, what, key, connections)
            for what, key in percentiles.items()
            for connections in CONNECTIONS
        ),
        *(_per_cpu_second(comparison, *each, workers) for workers in (1, 2) for each in loaded),
        _less("start, s", comparison.start_seconds, "{:.1f}"),
        _less(
            "memory of all processes when started, MB",
            partial(comparison.rss_mb, when="started", which="all"),
        ),
    ]


def _rate(comparison: Comparison, connections: int, size: int) -> Measure:
    of = cell(connections, size)
    what = "single predictions/s" if size == 1 else f"rows/s, {size:,} a request"
    return Measure(
        f"{what}, {_connections(connections)}",
        lambda name: comparison.rate(name, of) * size,
        partial(comparison.ratio, of=of),
        partial(comparison.has, of=of),
    )


def _latency(comparison: Comparison, what: str, key: str, connections: int) -> Measure:
    of = cell(connections, 1)
    named = f"{what} of a single prediction, {_connections(connections)}, ms"
    return _less(named, partial(comparison.median, of=of, what=key), "{:.2f}", partial(comparison.has, of=of))


def _per_cpu_second(comparison: Comparison, connections: int, size: int, workers: int) -> Measure:
    of = cell(connections, size)
    what = "single predictions" if size == 1 else f"rows, {size:,} a request,"
    return Measure(
        f"{what} a CPU second, {_connections(connections)}, {workers} worker{'s' * (workers > 1)}",
        lambda name: comparison.per_cpu_second(name, of, workers) * size,
        partial(comparison.cpu_ratio, of=of, workers=workers),
        partial(comparison.has, of=of, workers=workers),
    )


def _less(
    what: str,
    value: Callable[[str], float],
    shown: str = "{:,.0f}",
    has: Callable[[str], bool] = lambda _: True,
) -> Measure:
    """What is the better the less it is."""
    return Measure(what, value, lambda first, second: value(second) / value(first), has, shown)


def _connections(number: int) -> str:
    return f"{number} connection{'s' * (number > 1)}"
