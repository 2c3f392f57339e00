"""The pictures of the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from load_tests.measurements import read
from load_tests.report.figures import (
    ARROW,
    BENTOMLS,
    CONNECTIONS,
    DIRECT,
    ECHO,
    LOAD_TESTS,
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
    usl,
)

mpl.use("Agg")

FOLDER = LOAD_TESTS / "plots"
STYLE = {"figure.dpi": 110, "font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}
OURS, OTHERS = "#1f4e79", "#b0b0b0"
COLOURS = {THIS: OURS, ARROW: "#2e9e6b", ECHO: "#000000", SAME_MODEL: "#d98b1f", NAIVE: "#b03a2e"}


def _plain(axis: Axes, which: str) -> None:
    formatter = FuncFormatter(lambda value, _: f"{value:,.10g}")
    (axis.xaxis if which == "x" else axis.yaxis).set_major_formatter(formatter)


def _colour(name: str, number: int) -> dict[str, Any]:
    if name in COLOURS:
        return {"color": COLOURS[name], "linewidth": 2.2}
    return {"color": mpl.colormaps["tab20"](number * 2 + 1), "linewidth": 1.2}


def throughput(comparison: Comparison) -> None:
    """Requests a second and p99 by connections."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4))
    for number, name in enumerate([THIS, ECHO, SAME_MODEL, NAIVE, *MODEL_SERVERS]):
        rates = [comparison.rate(name, cell(each, 1)) for each in CONNECTIONS]
        tails = [comparison.median(name, cell(each, 1), "p99_ms") for each in CONNECTIONS]
        left.plot(CONNECTIONS, rates, marker="o", markersize=3, label=name, **_colour(name, number))
        right.plot(CONNECTIONS, tails, marker="o", markersize=3, label=name, **_colour(name, number))
    for axis, title in ((left, "Single predictions a second"), (right, "p99 of a single prediction, ms")):
        axis.set(xscale="log", yscale="log", title=title, xlabel="connections", xticks=CONNECTIONS)
        axis.minorticks_off()
        _plain(axis, "x")
        _plain(axis, "y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    _save("throughput", bottom=0.22)


def batches(comparison: Comparison) -> None:
    """Rows a second by batch size."""
    _, axis = plt.subplots(figsize=(7, 4.4))
    for number, name in enumerate([THIS, ARROW, SAME_MODEL, NAIVE, *MODEL_SERVERS]):
        sizes = [size for size in SIZES if comparison.has(name, cell(8, size))]
        rows = [comparison.rate(name, cell(8, size)) * size for size in sizes]
        axis.plot(sizes, rows, marker="o", markersize=3, label=name, **_colour(name, number))
    axis.set(xscale="log", yscale="log", xlabel="rows a request", xticks=SIZES)
    axis.set_title("Predictions a second, 8 connections")
    axis.minorticks_off()
    _plain(axis, "x")
    _plain(axis, "y")
    axis.legend(fontsize=7.5)
    _save("batches")


def merging(comparison: Comparison) -> None:
    """Micro-batching on and off, in both forms."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    pairs = [
        (axes[0], "compiled form", [(THIS, OURS), (DIRECT, OTHERS), (BENTOMLS, "#d98b1f")]),
        (axes[1], "pipeline form", [(PIPELINE, OURS), (PIPELINE_DIRECT, OTHERS)]),
    ]
    labels = {
        THIS: "merged",
        PIPELINE: "merged",
        DIRECT: "a model call a request",
        PIPELINE_DIRECT: "a model call a request",
        BENTOMLS: "merged by BentoML's dispatcher",
    }
    for axis, title, bars in pairs:
        width = 0.8 / len(bars)
        for number, (name, colour) in enumerate(bars):
            places = np.arange(len(CONNECTIONS)) + (number - (len(bars) - 1) / 2) * width
            rates = [comparison.rate(name, cell(each, 1)) for each in CONNECTIONS]
            axis.bar(places, rates, width, color=colour, label=labels[name])
        axis.set(title=f"Single predictions a second, {title}", xlabel="connections")
        axis.set_xticks(range(len(CONNECTIONS)), [str(each) for each in CONNECTIONS])
        axis.legend(fontsize=7.5)
        _plain(axis, "y")
    _save("merging")


def merged(scaling: Scaling) -> None:
    """How many requests a model call merged, under load."""
    _, axis = plt.subplots(figsize=(7, 3.6))
    loads = [each for each in (8, 32, 128) if each in scaling.connections]
    bounds = sorted({bound for load in loads for bound in scaling.merged(1, load)})
    for number, load in enumerate(loads):
        shares = scaling.merged(1, load)
        places = np.arange(len(bounds)) + (number - 1) * 0.27
        heights = [100 * shares.get(bound, 0) for bound in bounds]
        axis.bar(
            places, heights, 0.27, label=f"{load} connections", color=["#9fc1e0", "#4f8cc0", OURS][number]
        )
    axis.set_xticks(range(len(bounds)), [f"≤ {bound}" for bound in bounds])
    axis.set(title="Requests that a model call merges, 1 worker", ylabel="% of model calls")
    axis.legend()
    _save("merged")


def resources(scaling: Scaling) -> None:
    """Cores and memory while load and workers grow."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for workers in scaling.workers:
        style = {"marker": "o", "markersize": 3, "label": f"{workers} worker{'s' * (workers > 1)}"}
        colour = OURS if workers == 1 else "#d98b1f"
        cores = [scaling.cores(workers, each) for each in scaling.connections]
        memory = [scaling.rss_mb(workers, each) for each in scaling.connections]
        left.plot(scaling.connections, cores, color=colour, **style)
        right.plot(scaling.connections, memory, color=colour, **style)
    left.set(title="Cores kept busy", ylim=(0, None))
    right.set(title="Memory of all processes, MB", ylim=(0, None))
    for axis in (left, right):
        axis.set(xscale="log", xlabel="connections", xticks=scaling.connections)
        axis.minorticks_off()
        _plain(axis, "x")
        axis.legend()
    _save("resources")


def scalability(scaling: Scaling) -> None:
    """The Universal Scalability Law, fitted."""
    _, axis = plt.subplots(figsize=(7, 3.8))
    for workers in scaling.workers:
        rates = [scaling.rate(workers, each) for each in scaling.connections]
        colour = OURS if workers == 1 else "#d98b1f"
        label = f"{workers} worker{'s' * (workers > 1)}"
        axis.plot(scaling.connections, rates, "o", color=colour, label=f"{label}, measured")
        smooth = np.geomspace(1, scaling.connections[-1], 200)
        axis.plot(smooth, usl(smooth, *scaling.usl(workers)), color=colour, label=f"{label}, fitted")
    axis.set(xscale="log", xlabel="connections", title="Single predictions a second", ylim=(0, None))
    axis.set_xticks(scaling.connections)
    axis.minorticks_off()
    _plain(axis, "x")
    _plain(axis, "y")
    axis.legend()
    _save("scalability")


def complexity(costs: Complexity) -> None:
    """Measured and fitted cost of scoring, and the residuals."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9))
    for form, colour in (("compiled", OURS), ("pipeline", "#b03a2e")):
        cells = [each for each in costs.cells if each["form"] == form]
        seconds = np.array([each["seconds"] for each in cells])
        predicted = np.array([costs.predicted(form, each) for each in cells])
        left.plot(predicted * 1e3, seconds * 1e3, "o", markersize=3, color=colour, label=form)
        rows = np.array([each["rows"] for each in cells], dtype=float)
        right.plot(rows, 100 * (predicted / seconds - 1), "o", markersize=3, color=colour, label=form)
    ends = left.get_xlim()
    left.plot(ends, ends, color=OTHERS, linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="fitted, ms", ylabel="measured, ms", title="A model call")
    right.axhline(0, color=OTHERS, linewidth=1)
    right.set(xscale="log", xlabel="rows", title="Residuals of the fit, %")
    for axis in (left, right):
        axis.legend()
        _plain(axis, "x")
    _plain(left, "y")
    _save("complexity")


def steps(costs: Complexity, rows: int = 1_000) -> None:
    """Where the time of a batch goes, by format."""
    _, axis = plt.subplots(figsize=(7, 2.8))
    names = ["JSON", "NDJSON", "Arrow"]
    (score,) = [
        each["seconds"]
        for each in costs.cells
        if (each["form"], each["trees"], each["depth"], each["rows"]) == ("compiled", 300, 3, rows)
    ]
    parts: list[tuple[str, Callable[[str], float], str]] = [
        ("read and validate", lambda name: costs.format_seconds(name, "read", rows), "#9fc1e0"),
        ("score", lambda _: score, OURS),
        ("write", lambda name: costs.format_seconds(name, "write", rows), "#d98b1f"),
    ]
    left = np.zeros(len(names))
    for label, seconds, colour in parts:
        widths = np.array([seconds(name) * 1e6 / rows for name in names])
        axis.barh(names, widths, left=left, color=colour, label=label)
        left += widths
    axis.invert_yaxis()
    axis.set(title=f"Time of a row in a batch of {rows:,}, without the network", xlabel="µs")
    axis.legend(fontsize=7.5)
    _save("steps")


def soak(found: dict[str, Any]) -> None:
    """Requests a second and memory through the soak, with its faults."""
    seconds = [sample["seconds"] / 60 for sample in found["samples"]]
    _, (rate, memory) = plt.subplots(2, 1, figsize=(8, 5), sharex=True)
    rate.plot(seconds, [sample["requests_per_second"] for sample in found["samples"]], color=OURS)
    rate.set_ylabel("requests/s")
    rate.set_ylim(bottom=0)
    memory.plot(
        seconds,
        [sample["worker_mb"] for sample in found["samples"]],
        color=OURS,
        label="the worker that lived",
    )
    memory.plot(
        seconds, [sample["supervisor_mb"] for sample in found["samples"]], color=OTHERS, label="supervisor"
    )
    memory.set_ylabel("RSS, MB")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("minutes")
    names = sorted(found["faults"])
    for at, name in found["fault_times"]:
        for axis in (rate, memory):
            axis.axvline(at / 60, color=f"C{names.index(name)}", linewidth=1, alpha=0.7)
    marks = [Line2D([], [], color=f"C{number}", label=name) for number, name in enumerate(names)]
    rate.legend(handles=marks, fontsize=7, loc="lower right", ncols=3)
    memory.legend(fontsize=7, loc="lower right")
    _save("soak")


def _save(name: str, bottom: float | None = None) -> None:
    FOLDER.mkdir(exist_ok=True)
    plt.tight_layout()
    if bottom is not None:
        plt.subplots_adjust(bottom=bottom)
    plt.savefig(FOLDER / f"{name}.png", metadata={"Software": None})
    plt.close()


def draw() -> None:
    """Draw them all."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # its stubs list every key as a literal
        comparison, scaling, costs = Comparison(), Scaling(), Complexity()
        for draw_comparison in (throughput, batches, merging):
            draw_comparison(comparison)
        for draw_scaling in (merged, resources, scalability):
            draw_scaling(scaling)
        complexity(costs)
        steps(costs)
        soak(read("soak"))
