"""The HTTP application: BentoML's own, with this product's errors, tokens, limits and documentation.

BentoML's server, dispatcher, metrics, health checks and command line stay as they are. What is replaced is
named here, method by method, with the reason; docs/adr/0002-http-application.md has the whole story.
"""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
from _bentoml_impl.server.app import ContextMiddleware, ServiceAppFactory
from _bentoml_sdk import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context
from bentoml._internal.server.http.access import AccessLogMiddleware
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from bentoml.exceptions import BentoMLException
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from uvicorn.config import HTTP_PROTOCOLS

from propensity.access.authorization import Authorization
from propensity.access.configuration import allowance, authorities
from propensity.contract.application import EXAMPLE, Application
from propensity.contract.features import encode
from propensity.contract.limits import THREADS
from propensity.contract.problem import PAGE, Kind, Problem
from propensity.formats.media_types import BATCH, SINGLE
from propensity.http.access_log import AccessLog
from propensity.http.drain import Drain, Draining
from propensity.http.host import HostCheck
from propensity.http.protocol import Protocol
from propensity.http.request_metrics import RequestMetrics, exposition, report_stale
from propensity.http.responses import ProblemResponse, unexpected
from propensity.model import store
from propensity.monitoring.follow_up import FollowUp
from propensity.monitoring.prediction_metrics import PredictionMetrics
from propensity.serving import openapi, pages
from propensity.serving.admission import InFlight
from propensity.serving.dispatcher import Dispatcher
from propensity.serving.endpoint import Notes, PredictionEndpoint

WARM_UP_CALLS = 16
"""Predictions of the example before the first connection is taken: ready means warm."""

GC_THRESHOLDS = (10_000, 20, 50)
"""Of the garbage collector, in the place of 700, 10, 10."""

_DOCUMENTATION = frozenset({"/", "/docs.json", "/schema.json"})
"""Paths of routes that BentoML adds last."""

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "description": "A problem document (RFC 9457); /docs.json has its members.",
}

FORMATS = {"predict": SINGLE, "predict_batch": BATCH}


class ForeignCodeError(BentoMLException):
    """A Bento whose modules were found elsewhere first."""


class PredictionService(Service[Any]):
    """A BentoML service that is served by `PredictionApp`."""

    def to_asgi(self, is_main: bool = True) -> Starlette:
        """The ASGI application of one worker, to be served by our protocol.

        BentoML's worker asks for this and then starts uvicorn with the protocol called "auto".
        """
        self.inject_config()
        app = PredictionApp(self, is_main=is_main)
        HTTP_PROTOCOLS["auto"] = partial(Protocol, drain=app.drain)  # type: ignore[assignment]
        return app()

    def on_load_bento(self, bento: bentoml.Bento) -> None:
        """Serve the model that the Bento was built with; BentoML would take the store's latest.

        Raises:
            ForeignCodeError: this is not the Bento's code.
        """
        here, own = Path(__file__).resolve().parent, Path(bento.path_of("src")).resolve()
        if own not in here.parents:
            raise ForeignCodeError(
                f"Bento {bento.tag} would be served with the code in {here}, and not with its own; start it"
                " from another folder, and without that one in PYTHONPATH"
            )
        super().on_load_bento(bento)
        recorded = next(info.models for info in bento.info.services if info.name == self.name)
        # In the order of their names in service.py: a challenger before the model.
        self.models[-1].pin(recorded[-1].tag)

    def schema(self) -> dict[str, Any]:
        """What BentoML's client reads: `GET /schema.json`.

        Of a row whose type and members are stated it passes on those members alone: misspelt fields would
        get lost on the way in, and problems on the way out.
        """
        found: dict[str, Any] = super().schema()
        for route in found["routes"]:
            if applications := route["input"]["properties"].get("applications"):
                applications["items"] = {"anyOf": [applications["items"]]}
            if predictions := route["output"]["properties"].get("predictions"):
                predictions["items"] = {"anyOf": [predictions["items"], _PROBLEM_SCHEMA]}
        return found

    @property
    def openapi_spec(self) -> dict[str, Any]:
        """The OpenAPI document, also put into the Bento. BentoML's knows no tokens and problems."""
        return openapi.document()


class PredictionApp(ServiceAppFactory):
    """Makes the ASGI application of one worker."""

    def __init__(self, service: Service[Any], is_main: bool) -> None:
        super().__init__(service, is_main=is_main)
        # BentoML's time-out and concurrency limit answer with errors of their own shape: ours replace them.
        self.timeout = None
        self.max_concurrency = None
        self._authorities = authorities()
        self._allowance = allowance()
        self.drain = Drain()
        self._threads = ThreadPoolExecutor(THREADS)
        in_flight = InFlight()
        self._endpoints = {
            name: PredictionEndpoint(FORMATS[name], in_flight, self._threads) for name in service.apis
        }
        self._document = service.openapi_spec
        self._model_card: dict[str, Any] = {}

    def __call__(self) -> Starlette:
        """The application, with problems for what no operation answers."""
        app: Starlette = super().__call__()
        # A redirect would send the caller to whatever host its own Host header named.
        app.router.redirect_slashes = False
        app.add_exception_handler(HTTPException, _http_problem)  # type: ignore[arg-type]
        app.add_exception_handler(Exception, lambda _, error: unexpected(error))
        return app

    @property
    def routes(self) -> list[BaseRoute]:
        """BentoML's, the predictions first and through our endpoints, `/v1/model` and `/problems`.

        BentoML's endpoints parse any content type, read without bound, build a JSON schema a request for
        some inputs, and answer errors in several shapes.
        """
        theirs: list[Route] = super().routes
        predictions = [
            Route(route.path, self._endpoints[route.name], methods=["POST"], name=route.name)
            for route in theirs
            if route.name in self._endpoints
        ]
        others = [route for route in theirs if route.name not in self._endpoints]
        return [
            *predictions,
            *others,
            Route("/v1/model", self.model_card, methods=["GET"]),
            Route(PAGE, self.problems_page, methods=["GET"]),
        ]

    @property
    def middlewares(self) -> list[Middleware]:
        """BentoML's, as far as they are needed, outermost the drain, innermost host and authorization.

        CORS, outside of the authorization, answers preflights by itself.
        """
        middlewares = []
        # Spans that nobody collects would still cost time on each request.
        has_traces = BentoMLContainer.tracing.exporter_type.get() is not None
        for each in super().middlewares:
            if each.cls is RunnerTrafficMetricsMiddleware:
                known = _DOCUMENTATION | {route.path for route in self.routes if isinstance(route, Route)}
                middlewares.append(Middleware(RequestMetrics, each.kwargs["namespace"], known))
            elif each.cls is ContextMiddleware:
                # For methods that ask for BentoML's context; ours do not.
                continue
            elif each.cls is AccessLogMiddleware:
                skipped = each.kwargs["skip_paths"]
                middlewares.append(Middleware(AccessLog, skip_paths=skipped, has_traces=has_traces))
            elif each.cls is OpenTelemetryMiddleware:
                if has_traces:
                    # A span a request; not one more for each message of it.
                    own = {**each.kwargs, "exclude_spans": ["receive", "send"]}
                    middlewares.append(Middleware(OpenTelemetryMiddleware, **own))
            else:
                middlewares.append(each)
        return [
            Middleware(Draining, drain=self.drain),
            *middlewares,
            Middleware(HostCheck),
            Middleware(Authorization, authorities=self._authorities, allowance=self._allowance),
        ]

    async def create_instance(self, app: Starlette) -> None:
        """Load the model and warm it up; the worker takes no connection before this has ended."""
        await super().create_instance(app)
        model = self._service_instance.model
        manifest = store.manifest_of(model)
        self._model_card = {"tag": str(model.tag), **manifest.model_dump(mode="json", exclude_none=True)}
        dispatchers = {name: self._dispatcher(name) for name in self._endpoints}
        self._metrics = PredictionMetrics(str(model.tag), manifest, dispatchers, self._threads)
        self._follow_up = FollowUp.from_environment(self._service_instance.challenging)
        notes: list[Notes] = [self._metrics]
        if self._follow_up is not None:
            notes.append(self._follow_up)
        example = encode([Application.model_validate(EXAMPLE)])
        for name, dispatcher in dispatchers.items():
            self._endpoints[name].start(
                self._service_instance.predictor, dispatcher, notes, self._metrics.refuse
            )
            for _ in range(WARM_UP_CALLS):
                await dispatcher.predict(example)
        for source in ("tokens", "keys"):
            report_stale(source, False)
        self.drain.listen()
        # What is loaded by now stays for good: walking through it on each full collection is the tail of
        # the latency.
        gc.collect()
        gc.freeze()
        # A tenth of a second of requests is kept to be counted: that is no garbage to look for.
        gc.set_threshold(*GC_THRESHOLDS)

    def _dispatcher(self, name: str) -> Dispatcher:
        """In the place of BentoML's, which waits in steps of a millisecond; the histogram is the same."""
        method = self.service.apis[name]
        return Dispatcher(
            getattr(self._service_instance, name).local,
            max_rows=method.max_batch_size,
            max_seconds=method.max_latency_ms / 1_000,
            instant_rows=self._service_instance.predictor.instant_rows,
            threads=self._threads,
            batch_sizes=self.adaptive_batch_size_hist.labels(
                runner_name=self.service.name,
                worker_index=server_context.worker_index,
                method_name=name,
                service_version=server_context.bento_version,
                service_name=server_context.bento_name,
            ),
        )

    async def destroy_instance(self, app: Starlette) -> None:
        """Let threads and connections end with the worker."""
        await super().destroy_instance(app)
        self._metrics.stop()
        if self._follow_up is not None:
            await asyncio.to_thread(self._follow_up.stop)
        self._threads.shutdown()
        if self._allowance is not None:
            await self._allowance.close()

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics`: what the workers count, summed, and what follows from the sums."""
        content = await asyncio.to_thread(exposition, self._metrics.drift.indices)
        return Response(content, media_type=BentoMLContainer.metrics_client.get().CONTENT_TYPE_LATEST)

    async def model_card(self, _: Request) -> Response:
        """`GET /v1/model`: of the model that is loaded, whatever the store calls the latest by now."""
        return JSONResponse(self._model_card)

    async def readyz(self, req: Request) -> Response:
        """`GET /readyz`: 503 from SIGTERM on, while what still arrives is answered."""
        if self.drain.has_begun:
            stopping = "about to stop; send requests to another instance"
            return ProblemResponse(Problem.of(Kind.NOT_READY, stopping))
        answer: Response = await super().readyz(req)
        return answer

    async def openapi_spec_view(self, req: Request) -> Response:  # noqa: ARG002
        """`GET /docs.json`."""
        return JSONResponse(self._document)

    async def index_page(self, _: Request) -> Response:
        """`GET /`: the document, to read. BentoML's own page loads a tracker from the internet."""
        return HTMLResponse(pages.INDEX, headers=pages.HEADERS)

    async def problems_page(self, _: Request) -> Response:
        """`GET /problems`: what kinds of problems there are, each at the place that its `type` names."""
        return HTMLResponse(pages.PROBLEMS, headers=pages.HEADERS)


_KINDS = {
    404: (Kind.NOT_FOUND, "there is nothing at this path; /docs.json lists what there is"),
    405: (Kind.METHOD_NOT_ALLOWED, "this path takes another method; the header Allow names it"),
    503: (Kind.NOT_READY, "not ready"),
}


def _http_problem(_: Request, error: HTTPException) -> Response:
    """What Starlette and BentoML refuse by themselves."""
    if error.status_code not in _KINDS:
        return unexpected(error)
    return ProblemResponse(Problem.of(*_KINDS[error.status_code]), error.headers)
