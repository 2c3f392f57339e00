"""Metrics of requests: the names and labels of BentoML's, at a fraction of their cost, and bounded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from propensity.contract.problem import OTHER, Kind
from propensity.http.scope import PROBLEM

if TYPE_CHECKING:
    from prometheus_client import Metric

_UNMEASURED = frozenset({"/metrics"})


class RequestMetrics:
    """Counts and times requests.

    BentoML's middleware looks its metrics up by five labels several times a request and labels them with
    whatever path was asked for.
    """

    def __init__(self, app: ASGIApp, namespace: str, paths: frozenset[str]) -> None:
        self._app = app
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
        # All from zero: a rate over a series that begins with its first problem would miss that one.
        self._problems = {kind.anchor: problems.labels(kind=kind.anchor) for kind in Kind}

        def labels(path: str) -> dict[str, str]:
            return {
                "endpoint": path,
                "service_name": server_context.bento_name,
                "service_version": server_context.bento_version,
                "runner_name": str(server_context.service_name),
            }

        @cache
        def progress_of(path: str) -> Any:
            return in_progress.labels(**labels(path))

        @cache
        def answered(path: str, status: int) -> tuple[Any, Any]:
            own = labels(path) | {"http_response_code": str(status)}
            return total.labels(**own), duration.labels(**own)

        self._progress_of, self._answered = progress_of, answered
        for path in paths - _UNMEASURED:
            answered(path, 200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note down how it went."""
        if scope["type"] != "http" or scope["path"] in _UNMEASURED:
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else OTHER
        started = time.perf_counter()
        status = 500  # whoever raises before answering is answered so

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        progress = self._progress_of(path)
        progress.inc()
        try:
            await self._app(scope, receive, noting)
        finally:
            progress.dec()
            total, duration = self._answered(path, status)
            total.inc()
            duration.observe(time.perf_counter() - started)
            if PROBLEM in scope:
                self._problems[scope[PROBLEM]].inc()


def exposition(derive: Callable[[Iterable[Metric]], Iterable[Metric]]) -> bytes:
    """What the workers expose, summed, in the text format of Prometheus.

    Args:
        derive: gives what follows from the sums, to be exposed beside them.
    """
    # Only once a server has chosen where metrics are kept.
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
    """Say whether credentials that changed could not be read, so that older ones are still in use.

    Args:
        source: `tokens`, of the tokens file; `keys`, of the issuer.
        stale: whether the last reading failed.
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
    """Drop the gauges of workers that were killed: nobody else does, and they would be summed for good."""
    # Only once a server has chosen where metrics are kept.
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
            pass  # of another user, and alive
