"""The committed measurements, read and summed up, for the report, the README and the capacity plan."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import curve_fit, nnls

from load_tests.measurements import read

LOAD_TESTS = Path(__file__).parents[1]
THIS = "this bundle"
ARROW = "this bundle, Arrow"
INVALID = "this bundle, 1 % of rows invalid"
DIRECT = "this bundle, not merged"
BENTOMLS = "this bundle, BentoML's dispatcher"
MIDDLEWARE = "this bundle, as a middleware"
PIPELINE = "this bundle, pipeline form"
PIPELINE_DIRECT = "this bundle, pipeline form, not merged"
ECHO = "ASGI echo"
SAME_MODEL = "FastAPI, same compiled model"
NAIVE = "FastAPI, pickle"
MODEL_SERVERS = ["BentoML quickstart", "LitServe", "MLflow", "MLServer", "Ray Serve"]
COMPILED = {
    "FastAPI": (NAIVE, SAME_MODEL),
    "BentoML": ("BentoML quickstart", "BentoML, same compiled model"),
    "LitServe": ("LitServe", "LitServe, same compiled model"),
    "MLflow": ("MLflow", "MLflow, same compiled model"),
    "MLServer": ("MLServer", "MLServer, same compiled model"),
    "Ray Serve": ("Ray Serve", "Ray Serve, same compiled model"),
}
"""Each server's contenders: with the pickle, and with this bundle's compiled form."""

CONNECTIONS = [1, 8, 32, 128]
SIZES = [1, 100, 1_000, 10_000]


def cell(connections: int, size: int) -> str:
    """The name of a cell of the comparison."""
    return f"c{connections} b{size}"


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def _answered(cell: dict[str, Any]) -> int:
    """Requests that were answered without error."""
    answered: int = cell["requests"] - cell["errors"]
    return answered


class Comparison:
    """The comparison: medians over the rounds, and ratios within a round.

    Args:
        content: of its file; the committed one unless given.
    """

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        content = content or read("compare")
        self.machine: dict[str, Any] = content["machine"]
        self.contenders: dict[str, dict[str, Any]] = content["contenders"]
        self.rounds: list[dict[str, Any]] = content["rounds"]
        self.seconds: int = content["seconds_a_cell"]

    def _figures(self, name: str, of: str, workers: int = 1) -> list[dict[str, Any]]:
        measured = [each[name] for each in self.rounds if name in each]
        if workers == 2:
            measured = [each["two_workers"] for each in measured if "two_workers" in each]
        return [each["cells"][of] for each in measured if of in each["cells"]]

    def has(self, name: str, of: str, workers: int = 1) -> bool:
        """Whether a contender was measured in a cell, with one worker or two."""
        return bool(self._figures(name, of, workers))

    def rate(self, name: str, of: str, workers: int = 1) -> float:
        """Requests answered without error in a second."""
        return _median(self.rates(name, of, workers))

    def rates(self, name: str, of: str, workers: int = 1, unit: str = "seconds") -> list[float]:
        """Requests answered without error in a second, or for another unit of time, in each round."""
        return [_answered(each) / each[unit] for each in self._figures(name, of, workers)]

    def ratio(self, name: str, to: str, of: str, workers: int = 1) -> float:
        """How many times the rate of one contender is that of another, in the same round."""
        return _median(self.ratios(name, to, of, workers))

    def per_cpu_second(self, name: str, of: str, workers: int = 1) -> float:
        """Requests answered without error for a second of processor time of all processes."""
        return _median(self.rates(name, of, workers, "cpu_seconds"))

    def cpu_ratio(self, name: str, to: str, of: str, workers: int = 1) -> float:
        """How many times what one contender answers for a second of processor time another does."""
        return _median(self.ratios(name, to, of, workers, "cpu_seconds"))

    def ratios(self, name: str, to: str, of: str, workers: int = 1, unit: str = "seconds") -> list[float]:
        """How many times the rate of one contender is that of another, in each round."""
        ours, theirs = (self.rates(each, of, workers, unit) for each in (name, to))
        return [one / other for one, other in zip(ours, theirs, strict=True)]

    def median(self, name: str, of: str, what: str) -> float:
        """The median over the rounds of a figure, such as `p99_ms`."""
        return _median(each[what] for each in self._figures(name, of))

    def errors(self, name: str) -> int:
        """Requests that failed, over all cells and rounds."""
        return sum(each["errors"] for one in self.rounds for each in one[name]["cells"].values())

    def cpu_ms(self, name: str, of: str) -> float:
        """Processor time of all processes for a request."""
        return _median(
            each["cpu_seconds"] / max(each["requests"], 1) * 1_000 for each in self._figures(name, of)
        )

    def start_seconds(self, name: str) -> float:
        """Seconds from the command to the first answer."""
        return _median(each[name]["start_seconds"] for each in self.rounds)

    def rss_mb(self, name: str, when: str, which: str) -> float:
        """Memory `started` or `loaded`, of `all` processes or of the `largest`."""
        return _median(each[name]["rss_mb"][when][which] for each in self.rounds)


class Scaling:
    """How the service scales: medians over the rounds, by workers and connections."""

    def __init__(self) -> None:
        self._cells: list[dict[str, Any]] = read("scaling")["cells"]
        self.workers = sorted({each["workers"] for each in self._cells})
        self.connections = sorted({each["connections"] for each in self._cells})

    def _of(self, workers: int, connections: int) -> list[dict[str, Any]]:
        return [
            each for each in self._cells if (each["workers"], each["connections"]) == (workers, connections)
        ]

    def rate(self, workers: int, connections: int) -> float:
        """Requests in a second."""
        return _median(each["requests"] / each["seconds"] for each in self._of(workers, connections))

    def median(self, workers: int, connections: int, what: str) -> float:
        """The median of a figure."""
        return _median(each[what] for each in self._of(workers, connections))

    def cores(self, workers: int, connections: int) -> float:
        """Cores that all processes of the service keep busy."""
        return _median(each["cpu_seconds"] / each["seconds"] for each in self._of(workers, connections))

    def rss_mb(self, workers: int, connections: int) -> float:
        """Memory of all processes."""
        return _median(each["rss_mb"]["all"] for each in self._of(workers, connections))

    def worker_mb(self) -> float:
        """Memory that one more worker takes."""
        most = self.connections[-1]
        return self.rss_mb(2, most) - self.rss_mb(1, most)

    def base_mb(self) -> float:
        """Memory of what there is once, whatever the workers: the supervisor."""
        return self.rss_mb(1, self.connections[-1]) - self.worker_mb()

    def merged(self, workers: int, connections: int) -> dict[int, float]:
        """Share of model calls by how many requests they merged, at most."""
        calls: dict[int, int] = {}
        for each in self._of(workers, connections):
            for bound, count in each["merged"].items():
                calls[int(float(bound))] = calls.get(int(float(bound)), 0) + count
        total = sum(calls.values())
        return {bound: calls[bound] / total for bound in sorted(calls)}

    def usl(self, workers: int) -> tuple[float, float, float]:
        """The Universal Scalability Law, fitted to throughput by connections.

        Returns:
            Requests a second of one connection; contention; coherency. Throughput at N connections is
            rate * N / (1 + contention * (N - 1) + coherency * N * (N - 1)).
        """
        connections = np.array(self.connections, dtype=float)
        rates = np.array([self.rate(workers, each) for each in self.connections])
        (rate, contention, coherency), _ = curve_fit(
            usl, connections, rates, p0=(rates[0], 0.1, 1e-5), bounds=(0, np.inf)
        )
        return float(rate), float(contention), float(coherency)


def usl(connections: Any, rate: float, contention: float, coherency: float) -> Any:
    """Throughput by the Universal Scalability Law."""
    n = connections
    return rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))


class Complexity:
    """What scoring costs by rows, trees and depth, fitted.

    Seconds = call + row * rows + unit * rows * size, where the size of a model is trees * depth for the
    pipeline, which walks down each tree, and trees * bytes for the tables, which read one byte for 8 leaves.
    """

    def __init__(self) -> None:
        content = read("complexity")
        self.cells: list[dict[str, Any]] = content["scoring"]
        self.formats: list[dict[str, Any]] = content["formats"]

    def size(self, form: str, trees: int, depth: int) -> int:
        """What the cost of a row grows with."""
        return trees * depth if form == "pipeline" else trees * max(1, 2**depth // 8)

    def fit(self, form: str) -> tuple[float, float, float]:
        """Seconds a call, a row, and a row and unit of size; relative errors count, and none is negative."""
        cells = [each for each in self.cells if each["form"] == form]
        terms = np.array(
            [
                [1, each["rows"], each["rows"] * self.size(form, each["trees"], each["depth"])]
                for each in cells
            ]
        )
        seconds = np.array([each["seconds"] for each in cells])
        (call, row, unit), _ = nnls(terms / seconds[:, np.newaxis], np.ones(len(seconds)))
        return float(call), float(row), float(unit)

    def predicted(self, form: str, cell: dict[str, Any]) -> float:
        """What the fit says of a cell, in seconds."""
        call, row, unit = self.fit(form)
        rows: int = cell["rows"]
        return call + rows * (row + unit * self.size(form, cell["trees"], cell["depth"]))

    def residuals(self, form: str) -> list[float]:
        """The error of the fit, relative to what was measured."""
        return [
            self.predicted(form, each) / each["seconds"] - 1 for each in self.cells if each["form"] == form
        ]

    def format_seconds(self, name: str, step: str, rows: int) -> float:
        """How long a format takes to read or write so many rows."""
        (found,) = [
            each["seconds"]
            for each in self.formats
            if (each["format"], each["step"], each["rows"]) == (name, step, rows)
        ]
        return float(found)
