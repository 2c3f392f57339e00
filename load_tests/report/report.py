"""The text of the report, from the committed measurements."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from load_tests import capacity
from load_tests.measurements import read, version
from load_tests.report import aims, alike
from load_tests.report.aims import C32
from load_tests.report.figures import (
    ARROW,
    BENTOMLS,
    CONNECTIONS,
    DIRECT,
    ECHO,
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
from load_tests.report.tables import table, times

PEERS = [ECHO, SAME_MODEL, NAIVE, *MODEL_SERVERS]
EXAMPLES = [(200, 1, 20), (2_000, 1, 50), (10_000, 1, 50), (5, 1_000, 100), (5, 10_000, 500)]
"""Requests a second, rows a request and p99 in ms that the report plans for."""


def ranked(comparison: Comparison) -> list[str]:
    """The peers that are services, the fastest first."""
    return sorted((name for name in PEERS if name != ECHO), key=lambda name: -comparison.rate(name, C32))


def side_by_side(comparison: Comparison) -> str:
    """Single predictions at 32 connections, and what each takes."""
    rows = [
        [
            name,
            f"{comparison.rate(name, C32):,.0f}",
            "1" if name == THIS else times(comparison.ratio(THIS, name, C32)),
            f"{comparison.median(name, C32, 'p50_ms'):.1f}",
            f"{comparison.median(name, C32, 'p99_ms'):.1f}",
            f"{comparison.median(name, C32, 'p999_ms'):.1f}",
            f"{comparison.cpu_ms(name, C32):.2f}",
            f"{comparison.errors(name):,}",
            f"{comparison.rss_mb(name, 'started', 'all'):,.0f}",
            f"{comparison.start_seconds(name):.1f}",
        ]
        for name in [THIS, *PEERS]
    ]
    head = ["", "requests/s", "this bundle is", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms a request"]
    return table([*head, "errors", "RSS MB", "start s"], rows)


def summary(comparison: Comparison) -> str:
    """What the README shows: single predictions at 32 connections, the fastest peer first."""
    rows = [
        [
            name,
            f"{comparison.rate(name, C32):,.0f}",
            f"{comparison.median(name, C32, 'p99_ms'):,.0f} ms",
            "" if name == THIS else times(comparison.ratio(THIS, name, C32)),
        ]
        for name in [THIS, *ranked(comparison)]
    ]
    return table(["one worker, 32 connections", "single predictions/s", "p99", "this bundle is"], rows)


def variants(comparison: Comparison, *others: str) -> str:
    """The service beside variants of itself, by connections."""
    rows = []
    for name in (THIS, *others):
        rates = [f"{comparison.rate(name, cell(each, 1)):,.0f}" for each in CONNECTIONS]
        rows.append([name, f"{comparison.median(name, cell(1, 1), 'p50_ms'):.2f} ms", *rates])
    return table(["", "p50, 1 connection", *[f"requests/s, {each}" for each in CONNECTIONS]], rows)


def by_connections(comparison: Comparison) -> str:
    """Single predictions a second by connections, with the ratio of this bundle to each."""
    rows = []
    for name in [THIS, *PEERS]:
        line = [name]
        for each in CONNECTIONS:
            of = cell(each, 1)
            ratio = "" if name == THIS else f" ({times(comparison.ratio(THIS, name, of))})"
            line.append(f"{comparison.rate(name, of):,.0f}{ratio}")
        rows.append(line)
    return table(["requests/s", *[f"{each} connections" for each in CONNECTIONS]], rows)


def by_size(comparison: Comparison, connections: int) -> str:
    """Predictions a second by batch size, with the ratio of this bundle's JSON to each."""
    rows = []
    for name in [THIS, ARROW, *PEERS]:
        line = [name]
        for size in SIZES:
            of = cell(connections, size)
            if not comparison.has(name, of):
                line.append("")
                continue
            ratio = "" if name == THIS else f" ({times(comparison.ratio(THIS, name, of))})"
            line.append(f"{comparison.rate(name, of) * size:,.0f}{ratio}")
        rows.append(line)
    return table(["rows/s", *[f"{size:,} a request" for size in SIZES]], rows)


def configured(comparison: Comparison) -> str:
    """How each contender was configured."""
    lines = []
    for name, contender in comparison.contenders.items():
        versions = ", ".join(f"{library} {version}" for library, version in contender["versions"].items())
        second = f"; 2 workers: {contender['workers']}" if "workers" in contender else ""
        lines.append(f"- **{name}**: {contender['configured']}{second} ({versions}).")
    return "\n".join(lines)


def fits(scaling: Scaling) -> str:
    """The coefficients of the Universal Scalability Law."""
    rows = []
    for workers in scaling.workers:
        rate, contention, coherency = scaling.usl(workers)
        peak = max(scaling.rate(workers, each) for each in scaling.connections)
        rows.append([str(workers), f"{rate:,.0f}", f"{contention:.3f}", f"{coherency:.1e}", f"{peak:,.0f}"])
    return table(["workers", "λ, requests/s", "σ, contention", "κ, coherency", "highest measured"], rows)


def costs_table(costs: Complexity) -> str:
    """The fitted costs of a model call."""
    rows = []
    for form, order in (
        ("compiled", "O(rows · (features · log splits + features · trees · ⌈leaves / 8⌉))"),
        ("pipeline", "O(rows · (columns + trees · depth)), and a large constant"),
    ):
        call, row, unit = costs.fit(form)
        residuals = sorted(abs(each) for each in costs.residuals(form))
        rows.append(
            [
                form,
                f"{call * 1e6:,.0f} µs",
                f"{row * 1e6:.2f} µs",
                f"{unit * 1e9:.2f} ns",
                f"{statistics.median(residuals):.0%}",
                f"{residuals[-1]:.0%}",
                order,
            ]
        )
    head = ["form", "a, a call", "b, a row", "c, a row and unit", "residual, median", "largest", "order"]
    return table(head, rows)


def plans() -> str:
    """What some loads take."""
    rows = []
    for rps, size, p99_ms in EXAMPLES:
        load = [f"{rps:,}", f"{size:,}", f"{p99_ms:,} ms"]
        try:
            needed = capacity.plan(rps, p99_ms, size)
        except capacity.CapacityError as error:
            rows.append([*load, str(error), "", "", "", "", ""])
            continue
        rows.append(
            [
                *load,
                f"{needed.worker.rps:,.0f}",
                f"{needed.workers:,}",
                f"{needed.pods:,}",
                f"{needed.memory_gb:.1f} GB",
                f"{needed.network_mbit:,.0f} Mbit/s",
                f"{needed.binds}",
                f"{needed.price_of_a_million:.4f}",
            ]
        )
    head = ["requests/s", "rows a request", "p99", "a worker answers", "workers", "pods", "memory", "network"]
    return table([*head, "binds", "a million predictions"], rows)


def locust() -> str:
    """What Locust measured."""
    content = read("load_test")
    rows = [
        [
            f"{user}, `{figures['path']}`",
            f"{figures['requests_per_second']:,.0f}",
            f"{figures['p50_ms']:.0f}",
            f"{figures['p99_ms']:.0f}",
            f"{figures['requests']:,}",
            f"{figures['failures']:,}",
        ]
        for user, paths in content["users"].items()
        for figures in paths
    ]
    return table(
        [f"{content['callers']} callers", "requests/s", "p50 ms", "p99 ms", "requests", "failed"], rows
    )


def profile() -> str:
    """Where a worker's time goes."""
    content = read("profiling")
    rows = [[part, f"{share:.0%}"] for part, share in content["parts"].items()]
    return table([f"single predictions, {content['connections']} connections", "of the samples"], rows)


ROW = ("reading and writing", "scoring")
"""The parts of the profile that are spent on the row itself."""

SHOWN_PACKAGES = 12


def imports(started: dict[str, Any]) -> str:
    """What a start imports, and how long that takes."""
    spent = started["imports_ms"]
    total = sum(spent.values())
    shown = dict(list(spent.items())[:SHOWN_PACKAGES])
    shown["all others"] = total - sum(shown.values())
    rows = [[name, f"{each:,.0f} ms", f"{each / total:.0%}"] for name, each in shown.items()]
    return table(["package", "its own modules", "of all imports"], [*rows, ["all", f"{total:,.0f} ms", ""]])


def forms(comparison: Comparison) -> str:
    """What the forms take when they are served."""
    rows = [
        [
            name,
            f"{comparison.start_seconds(name):.1f}",
            f"{comparison.rss_mb(name, 'started', 'largest'):,.0f}",
            f"{comparison.rss_mb(name, 'loaded', 'largest'):,.0f}",
            f"{comparison.rate(name, C32):,.0f}",
            f"{comparison.rate(name, cell(8, 1_000)) * 1_000:,.0f}",
        ]
        for name in (THIS, PIPELINE)
    ]
    head = ["", "start s", "worker MB, started", "worker MB, after all loads", "single requests/s"]
    return table([*head, "rows/s in batches of 1,000"], rows)


def families(measured: dict[str, Any]) -> str:
    """What a model of each family is served in, and how fast."""
    rows = []
    for family, of in measured["families"].items():
        difference = "" if of["parity"] is None else _difference(of["parity"]["max_difference"])
        rows.append([family, of["form"], difference, *_calls(of)])
    return table(["family", "served as", "largest difference", *_CALLS], rows)


def compilers(measured: dict[str, Any]) -> str:
    """What compilers make of the demonstration model, and how fast it is."""
    rows = [
        [name, _difference(of["max_difference"]), *_calls(of)] for name, of in measured["compilers"].items()
    ]
    return table(["form", "largest difference", *_CALLS], rows)


def _difference(of_propensities: float) -> str:
    return f"{of_propensities:.0e}" if of_propensities else "0"


_CALLS = ["one row", "times as fast", "1,000 rows", "times as fast"]


def _calls(of: dict[str, Any]) -> list[str]:
    calls = (of["batch_1"], of["batch_1000"])
    return [
        cell
        for each in calls
        for cell in (f"{each['microseconds']:,.0f} µs", times(each["times_as_fast_as_pipeline"]))
    ]


def files(bulk: dict[str, Any]) -> str:
    """What docs/trust.md shows of scoring files."""
    rows = [
        [
            FILES[each["kind"]],
            str(each.get("processes", 1)),
            f"{each['rows']:,}",
            f"{each['rows_per_second']:,}",
            f"{each['memory_mb']:,} MB",
        ]
        for each in bulk["cells"]
    ]
    return table(["Input", "processes", "rows", "rows/s", "at most"], rows)


def soaked(soak: dict[str, Any]) -> str:
    """What became of the requests of the soak, by kind."""
    rows = []
    for name, answers in sorted(soak["answers"].items()):
        statuses = ", ".join(f"{count:,} × {status}" for status, count in answers.items() if status != "0")
        rows.append([name, f"{sum(answers.values()):,}", statuses])
    return table(["", "requests", "answered"], rows)


def drifts(soak: dict[str, Any]) -> str:
    """How memory and handles moved."""
    names = {
        "worker_mb": "RSS of the worker that lived throughout, MB",
        "worker_handles": "its file handles, without connections",
        "supervisor_mb": "RSS of the supervisor, MB",
    }
    rows = [
        [
            what,
            f"{soak['drift'][name]['second_minute']:g}",
            f"{soak['drift'][name]['last_minute']:g}",
            f"{soak['drift'][name]['change']:+.1%}",
        ]
        for name, what in names.items()
    ]
    return table(["median of a minute", "second", "last", "change"], rows)


def first_minute(measured: dict[str, Any]) -> str:
    """What `make serve` takes in a clean clone, step by step, and what it does without."""
    steps = {
        "install": "install what serving and the notebook need",
        "notebook": "run the notebook",
        "import": "import its pickle",
        "start": "start, until it has answered",
    }
    rows = [[shown, f"{measured[step]:.0f}", ""] for step, shown in steps.items()]
    for shown, seconds, size in (
        ("`make serve`, in all", "total", "mb"),
        ("left to `make test-all`", "tools", "tools_mb"),
    ):
        rows.append([shown, f"{measured[seconds]:.0f}", f"{measured[size]:,.0f}"])
    return table(["", "s", "MB in `.venv`"], rows)


FILES = {name: shown for name, (shown, _) in aims.KINDS.items()} | {"spark": "Parquet on Spark, `local[2]`"}
"""The kinds of scored files, as docs/trust.md calls them."""

MADE_BY = {
    "compare": "`make compare` (about an hour; needs wrk)",
    "scaling": "`make scaling` (some minutes; needs wrk, and leave to run py-spy)",
    "complexity": "`make scaling`",
    "profiling": "`make scaling`",
    "load_test": "`make load-test` (Locust, about a minute)",
    "soak": "`make soak` (ten minutes)",
    "options": "`make options` (some minutes; needs wrk)",
    "bulk": "`make bulk` (some minutes; needs Java 17)",
    "forms": "`make forms` (some minutes)",
    "start": "`make start` (a minute)",
    "first_minute": "`make first-minute` (some minutes)",
}


def made() -> str:
    """The files of measurements: what makes each, and which version it is of."""
    rows = [
        f"| [{name}.json](measurements/{name}.json) | {how} | {version(name)} |"
        for name, how in MADE_BY.items()
    ]
    return "\n".join(["| file | made by | of |", "|---|---|---|", *rows])


def report() -> str:
    """The report's text."""
    comparison, scaling, costs = Comparison(), Scaling(), Complexity()
    soak, started, aimed = read("soak"), read("start"), aims.aims(comparison, read("bulk"), read("options"))
    machine = comparison.machine
    c1 = cell(1, 1)
    text = Path(__file__).with_name("report.md.in").read_text(encoding="utf-8")
    return text.format(
        machine=f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}",
        client=machine["client"],
        cores=machine["cores"],
        measured=made(),
        rounds=len(comparison.rounds),
        seconds=comparison.seconds,
        aims=aims.count(aimed),
        targets=aims.targets(aimed),
        faster=aims.faster(comparison, THIS, comparison.contenders),
        faster_with_pickle=aims.faster(comparison, PIPELINE, [NAIVE, *MODEL_SERVERS]),
        same_pipeline=alike.same_pipeline(comparison),
        same_compiled=alike.same_compiled(comparison),
        told_apart_single=alike.told_apart(comparison, alike.SINGLE),
        told_apart_batch=alike.told_apart(comparison, alike.BATCH),
        two_workers_single=alike.two_workers(comparison, alike.SINGLE, 1),
        two_workers_batch=alike.two_workers(comparison, alike.BATCH, 1_000),
        side_by_side=side_by_side(comparison),
        by_connections=by_connections(comparison),
        by_size_1=by_size(comparison, 1),
        by_size_8=by_size(comparison, 8),
        configured=configured(comparison),
        profile=profile(),
        row_share=f"{sum(read('profiling')['parts'][each] for each in ROW):.0%}",
        echo_tail=times(comparison.median(ECHO, C32, "p99_ms") / comparison.median(ECHO, C32, "p50_ms")),
        start_seconds=f"{statistics.median(started['seconds']):.1f}",
        starts=len(started["seconds"]),
        start_least=f"{min(started['seconds']):.1f}",
        start_most=f"{max(started['seconds']):.1f}",
        imports=imports(started),
        first_minute=first_minute(read("first_minute")),
        first_rounds=read("first_minute")["rounds"],
        forms=forms(comparison),
        families=families(read("forms")),
        merged_c32=times(comparison.ratio(THIS, DIRECT, C32)),
        bentomls_c32=times(comparison.ratio(THIS, BENTOMLS, C32)),
        merged_p50=f"{comparison.median(THIS, c1, 'p50_ms'):.2f}",
        direct_p50=f"{comparison.median(DIRECT, c1, 'p50_ms'):.2f}",
        bentomls_p50=f"{comparison.median(BENTOMLS, c1, 'p50_ms'):.2f}",
        pipeline_c32=times(comparison.ratio(PIPELINE, PIPELINE_DIRECT, C32)),
        usl=fits(scaling),
        costs=costs_table(costs),
        plans=plans(),
        headroom=f"{capacity.HEADROOM:.0%}",
        workers_a_pod=capacity.WORKERS_A_POD,
        core_hour=f"{capacity.CORE_HOUR:g}",
        gb_a_core=f"{capacity.GB_A_CORE:g}",
        mbit_a_core=f"{capacity.MBIT_A_CORE:g}",
        worker_mb=f"{scaling.worker_mb():.0f}",
        base_mb=f"{scaling.base_mb():.0f}",
        locust=locust(),
        soak_minutes=soak["seconds"] // 60,
        soak_workers=soak["workers"],
        soak_answered=f"{soak['answered']:,}",
        soak_failed=f"{soak['failed']:,}",
        soak_failed_without_a_kill=f"{soak['failed_without_a_kill']:,}",
        soak_unexpected=len(soak["unexpected"]),
        soak_faults="; ".join(f"{name}: {count}" for name, count in soak["faults"].items()),
        soaked=soaked(soak),
        drifts=drifts(soak),
    )
