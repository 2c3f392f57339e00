"""Like for like: the same model in every server, and what each answers for its processor time."""

from __future__ import annotations

from load_tests.report.figures import (
    COMPILED,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    THIS,
    Comparison,
    cell,
)
from load_tests.report.tables import table, times

SINGLE, BATCH = cell(32, 1), cell(8, 1_000)
SHOWN = [(1, 1), (32, 1), (1, 1_000), (8, 1_000), (8, 10_000)]
"""Connections, and rows a request, of the tables."""


def same_pipeline(comparison: Comparison) -> str:
    """Every server with the pickle, which predicts from a DataFrame."""
    return _same_model(comparison, PIPELINE, [NAIVE, *MODEL_SERVERS])


def same_compiled(comparison: Comparison) -> str:
    """Every server with this bundle's compiled form."""
    return _same_model(comparison, THIS, [compiled for _, compiled in COMPILED.values()])


def _same_model(comparison: Comparison, ours: str, others: list[str]) -> str:
    rows = []
    for name in [ours, *(other for other in others if other in comparison.contenders)]:
        line = [name]
        for connections, size in SHOWN:
            of = cell(connections, size)
            ratio = "" if name == ours else f" ({times(comparison.ratio(ours, name, of))})"
            line.append(f"{comparison.rate(name, of) * size:,.0f}{ratio}")
        rows.append([*line, f"{comparison.cpu_ms(name, SINGLE):.2f}"])
    heads = [f"{connections} × {size:,}" for connections, size in SHOWN]
    return table(["rows/s, connections × rows a request", *heads, "CPU ms a request, 32 × 1"], rows)


def told_apart(comparison: Comparison, of: str) -> str:
    """What of this bundle's lead comes from compiling, and what from serving, in one cell."""
    rows = []
    for server, (pickled, compiled) in COMPILED.items():
        rows.append(
            [
                server,
                _times(comparison, THIS, pickled, of),
                _times(comparison, PIPELINE, pickled, of),
                _times(comparison, THIS, compiled, of),
                _times(comparison, compiled, pickled, of),
            ]
        )
    rows.append([THIS, "", "", "", _times(comparison, THIS, PIPELINE, of)])
    return table(
        [
            "",
            "this bundle to it and pickle",
            "serving alone, both the pickle",
            "serving alone, both compiled",
            "compiling alone, in it",
        ],
        rows,
    )


def serving_alone(comparison: Comparison) -> str:
    """What the README shows: single predictions at 32 connections with the same model in both."""
    rows = [
        [server, _times(comparison, PIPELINE, pickled, SINGLE), _times(comparison, THIS, compiled, SINGLE)]
        for server, (pickled, compiled) in COMPILED.items()
    ]
    return table(["this bundle is", "same pickle in both", "same compiled model in both"], rows)


def compiling_alone(comparison: Comparison) -> str:
    """What compiling alone gives single predictions of this bundle at 32 connections."""
    return times(comparison.ratio(THIS, PIPELINE, SINGLE))


def _times(comparison: Comparison, name: str, to: str, of: str) -> str:
    if not (comparison.has(name, of) and comparison.has(to, of)):
        return "not measured"
    return times(comparison.ratio(name, to, of))


def two_workers(comparison: Comparison, of: str, rows_a_request: int) -> str:
    """Every contender with one worker and with two: rows a second, and rows a second of processor time."""
    rows = []
    for name in comparison.contenders:
        if not comparison.has(name, of, workers=2):
            continue
        rates = [comparison.rate(name, of, each) * rows_a_request for each in (1, 2)]
        per_cpu = [comparison.per_cpu_second(name, of, each) * rows_a_request for each in (1, 2)]
        ours = "1" if name == THIS else times(comparison.cpu_ratio(THIS, name, of, workers=2))
        rows.append([name, *(f"{each:,.0f}" for each in (*rates, *per_cpu)), ours])
    if not rows:
        return "Not measured yet."
    unit = "requests" if rows_a_request == 1 else "rows"
    heads = [f"{unit}/s, 1 worker", "2 workers", f"{unit} a CPU second, 1 worker", "2 workers"]
    return table(["", *heads, "this bundle is, by CPU, 2 workers"], rows)
