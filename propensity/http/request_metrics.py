"""Request metrics: BentoML's names and labels, at a fraction of the cost and with bounded values.

Exchanges are counted together, some times a second: each by itself would take a tenth of its time.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context

from propensity.contract.problem import OTHER, Kind
from propensity.http.exchange import Exchange

if TYPE_CHECKING:
    from prometheus_client import Metric

_UNMEASURED = frozenset({"/metrics"})


class RequestMetrics:
    """Counts and times exchanges.

    BentoML's middleware looks its metrics up by five labels several times per request, and takes any path
    that was asked for as a label.
    """

    def __init__(self, namespace: str, paths: frozenset[str]) -> None:
        """Create the metrics of a worker.

        Args:
            namespace: begins the names of the metrics.
            paths: that are told apart.
        """
        self._paths = paths
        _forget_dead_workers()
        client = BentoMLContainer.metrics_client.get()
        names = ["endpoint", "service_name", "service_version", "runner_name"]
        duration = client.Histogram(
            namespace=namespace,
            name="request_duration_seconds",
            documentation="Duration of HTTP requests in seconds",
            labelnames=[*names, "http_response_code"],
            buckets=BentoMLContainer.duration_buckets.get(),
        )
        total = client.Counter(
            namespace=namespace,
            name="request_total",
            documentation="HTTP requests answered",
            labelnames=[*names, "http_response_code"],
        )
        in_progress = client.Gauge(
            namespace=namespace,
            name="request_in_progress",
            documentation="HTTP requests in progress",
            labelnames=names,
            multiprocess_mode="livesum",
        )
        problems = client.Counter(
            namespace="propensity",
            name="problems",
            documentation="Requests answered with a problem, by its kind",
            labelnames=["kind"],
        )
        # All start at zero: a rate over a series that began with its first problem would miss that one.
        self._problems = {kind.anchor: problems.labels(kind=kind.anchor) for kind in Kind}

        def labels(path: str) -> dict[str, str]:
            return {
                "endpoint": path,
                "service_name": server_context.bento_name,
                "service_version": server_context.bento_version,
                "runner_name": str(server_context.service_name),
            }

        @cache
        def total_and_duration(path: str, status: int) -> tuple[Any, Any]:
            with_status = labels(path) | {"http_response_code": str(status)}
            return total.labels(**with_status), duration.labels(**with_status)

        self._total_and_duration = total_and_duration
        self._in_progress = {}
        for path in (*paths - _UNMEASURED, OTHER):
            total_and_duration(path, 200)
            self._in_progress[path] = in_progress.labels(**labels(path))
        self._last_sample: Counter[str] = Counter()

    def _sample(self, exchanges: Iterable[Exchange]) -> None:
        sample = Counter(self._path(exchange) for exchange in exchanges)
        if sample != self._last_sample:
            for path, gauge in self._in_progress.items():
                gauge.set(sample[path])
            self._last_sample = sample

    def count(self, ended: Iterable[Exchange], in_progress: Iterable[Exchange]) -> None:
        """Count exchanges that have ended, and set how many are in progress."""
        self._sample(in_progress)
        seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        for exchange in ended:
            if exchange.path in _UNMEASURED:
                continue
            seconds[self._path(exchange), exchange.status].append(exchange.seconds)
            if exchange.problem is not None:
                self._problems[exchange.problem].inc()
        for (path, status), each in seconds.items():
            total, duration = self._total_and_duration(path, status)
            total.inc(len(each))
            observe(duration, np.array(each))

    def _path(self, exchange: Exchange) -> str:
        return exchange.path if exchange.path in self._paths else OTHER


def observe(histogram: Any, values: npt.NDArray[np.float64]) -> None:
    """Add values to a histogram."""
    # The client's own `observe` takes one value; a table has 100,000.
    places = np.searchsorted(histogram._upper_bounds, values)
    counts = np.bincount(places, minlength=len(histogram._upper_bounds))
    for bucket, count in zip(histogram._buckets, counts.tolist(), strict=True):
        if count:
            bucket.inc(count)
    histogram._sum.inc(float(values.sum()))


def exposition(derive: Callable[[Iterable[Metric]], Iterable[Metric]]) -> bytes:
    """The metrics of all workers, summed, in the text format of Prometheus.

    Args:
        derive: returns the metrics that are computed from the sums and exposed beside them.
    """
    # Imported late: the library looks once, on import, where the server keeps its metrics.
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    summed = [*MultiProcessCollector(None).collect()]  # type: ignore[no-untyped-call]

    class All:
        def collect(self) -> Iterable[Metric]:
            return [*summed, *derive(summed)]

    registry = CollectorRegistry()
    registry.register(All())
    text: bytes = generate_latest(registry)
    return text


def report_stale(source: str, stale: bool) -> None:
    """Set whether changed credentials could not be read, so that older ones are still in use.

    Args:
        source: `tokens` for the tokens file, `keys` for the issuer's keys.
        stale: whether the last attempt to read them failed.
    """
    _stale().labels(source=source).set(int(stale))


@cache
def _stale() -> Any:
    return BentoMLContainer.metrics_client.get().Gauge(
        namespace="propensity",
        name="credentials_stale",
        documentation="1 while credentials could not be read anew and older ones are in use",
        labelnames=["source"],
        multiprocess_mode="livemax",
    )


def _forget_dead_workers() -> None:
    """Drop the gauges of workers that were killed: nothing else does, and they would be summed forever."""
    # Imported late, as in `exposition`.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    folder = Path(
        os.environ.get("PROMETHEUS_MULTIPROC_DIR") or BentoMLContainer.prometheus_multiproc_dir.get()
    )
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            pass  # alive, and another user's
