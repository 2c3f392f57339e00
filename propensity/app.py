"""The HTTP application: BentoML's, with this product's errors, tokens, limits and documentation.

BentoML's server, health checks and command line stay as they are. The methods here replace BentoML's one by
one and say why; docs/adr/0002-http-application.md has the whole story.
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
from _bentoml_sdk.io_models import ensure_io_descriptor
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
from propensity.contract.contract import Contract
from propensity.contract.limits import THREADS
from propensity.contract.prediction import schemas
from propensity.contract.problem import PAGE, Kind, Problem
from propensity.formats.media_types import formats_of
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
from propensity.serving.endpoint import PredictionEndpoint, Recorder

WARM_UP_CALLS = 16
"""Predictions of the example before the worker accepts connections: ready means warm."""

GC_THRESHOLDS = (10_000, 20, 50)
"""Thresholds of the garbage collector, instead of 700, 10, 10."""

_DOCUMENTATION = frozenset({"/", "/docs.json", "/schema.json"})
"""Paths of the documentation, whose routes BentoML adds to the finished application."""

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "description": "A problem document (RFC 9457); /docs.json has its members.",
}


class ForeignCodeError(BentoMLException):
    """Python found other code than the Bento's first."""


class PredictionService(Service[Any]):
    """A BentoML service that `PredictionApp` serves."""

    def to_asgi(self, is_main: bool = True) -> Starlette:
        """Make the ASGI application of one worker, and let uvicorn serve it with our protocol.

        BentoML's worker calls this, and then starts uvicorn with the protocol named "auto".
        """
        self.inject_config()
        app = PredictionApp(self, is_main=is_main)
        HTTP_PROTOCOLS["auto"] = partial(Protocol, drain=app.drain)  # type: ignore[assignment]
        return app()

    def on_load_bento(self, bento: bentoml.Bento) -> None:
        """Serve the model that the Bento was built with; BentoML would take the latest of the store.

        Raises:
            ForeignCodeError: this is not the Bento's code.
        """
        here, source = Path(__file__).resolve().parent, Path(bento.path_of("src")).resolve()
        if source not in here.parents:
            raise ForeignCodeError(
                f"Bento {bento.tag} would be served with the code in {here}, and not with its own; start it"
                " from another folder, and without that one in PYTHONPATH"
            )
        super().on_load_bento(bento)
        recorded = next(info.models for info in bento.info.services if info.name == self.name)
        # BentoML sorts the models by attribute name: a challenger comes before the model.
        self.models[-1].pin(recorded[-1].tag)

    @property
    def contract(self) -> Contract:
        """The contract of the model that is served."""
        return store.manifest_of(self.models[-1].resolve()).contract

    def schema(self) -> dict[str, Any]:
        """The schema that BentoML's client reads: `GET /schema.json`.

        The client passes on only those members of a row that the schema states. Rows of any shape are allowed
        here, or misspelt fields would get lost on the way in, and problems on the way out.
        """
        contract = self.contract
        rows = {"predict": contract.schema_of_row.model, "predict_batch": contract.schema_of_row.batch}
        for (name, row), answer in zip(rows.items(), schemas(contract), strict=True):
            self.apis[name].input_spec = ensure_io_descriptor(row)
            self.apis[name].output_spec = ensure_io_descriptor(answer)
        schema: dict[str, Any] = super().schema()
        for route in schema["routes"]:
            batch = route["input"]["properties"] if route["name"] == "predict_batch" else {}
            for listed in batch.values():
                listed["items"] = {"anyOf": [listed["items"]]}
            if predictions := route["output"]["properties"].get("predictions"):
                predictions["items"] = {"anyOf": [predictions["items"], _PROBLEM_SCHEMA]}
        return schema

    @property
    def openapi_spec(self) -> dict[str, Any]:
        """The OpenAPI document, also put into the Bento. BentoML's lacks tokens and problems."""
        return openapi.document(self.contract)


class PredictionApp(ServiceAppFactory):
    """Makes the ASGI application of one worker."""

    def __init__(self, service: PredictionService, is_main: bool) -> None:
        super().__init__(service, is_main=is_main)
        # Our limits replace BentoML's time-out and concurrency limit, whose errors are no problem documents.
        self.timeout = None
        self.max_concurrency = None
        self._authorities = authorities()
        self._allowance = allowance()
        self.drain = Drain()
        self._threads = ThreadPoolExecutor(THREADS)
        in_flight = InFlight()
        contract = service.contract
        self._endpoints = {
            name: PredictionEndpoint(formats, in_flight, self._threads)
            for name, formats in formats_of(contract).items()
        }
        self._document = openapi.document(contract)
        self._schema = service.schema()
        self._index = pages.index(contract.title)

    def __call__(self) -> Starlette:
        """Make the application, which answers a problem where no operation answers."""
        app: Starlette = super().__call__()
        # A redirect would send the client to whatever host its own Host header names.
        app.router.redirect_slashes = False
        app.add_exception_handler(HTTPException, _http_problem)  # type: ignore[arg-type]
        app.add_exception_handler(Exception, lambda _, error: unexpected(error))
        return app

    @property
    def routes(self) -> list[BaseRoute]:
        """BentoML's routes, with our prediction endpoints first, and `/v1/model` and `/problems` added.

        BentoML's endpoints parse any content type, read without limit, build a JSON schema per request for
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
        """BentoML's middlewares, as far as they are needed; the drain outermost, authorization innermost.

        CORS, outside of the authorization, answers preflight requests itself.
        """
        middlewares = []
        # Spans that nobody collects would still cost time on each request.
        has_traces = BentoMLContainer.tracing.exporter_type.get() is not None
        for middleware in super().middlewares:
            if middleware.cls is RunnerTrafficMetricsMiddleware:
                known = _DOCUMENTATION | {route.path for route in self.routes if isinstance(route, Route)}
                middlewares.append(Middleware(RequestMetrics, middleware.kwargs["namespace"], known))
            elif middleware.cls is ContextMiddleware:
                # For methods that ask for BentoML's context; ours do not.
                continue
            elif middleware.cls is AccessLogMiddleware:
                skipped = middleware.kwargs["skip_paths"]
                middlewares.append(Middleware(AccessLog, skip_paths=skipped, has_traces=has_traces))
            elif middleware.cls is OpenTelemetryMiddleware:
                if has_traces:
                    # One span per request, without further ones for each of its messages.
                    options = {**middleware.kwargs, "exclude_spans": ["receive", "send"]}
                    middlewares.append(Middleware(OpenTelemetryMiddleware, **options))
            else:
                middlewares.append(middleware)
        return [
            Middleware(Draining, drain=self.drain),
            *middlewares,
            Middleware(HostCheck),
            Middleware(Authorization, authorities=self._authorities, allowance=self._allowance),
        ]

    async def create_instance(self, app: Starlette) -> None:
        """Load the model and warm it up; the worker accepts connections only afterwards."""
        await super().create_instance(app)
        model = self._service_instance.model
        manifest = store.manifest_of(model)
        self._model_card = {"tag": str(model.tag), **manifest.model_dump(mode="json", exclude_none=True)}
        dispatchers = {name: self._dispatcher(name) for name in self._endpoints}
        self._metrics = PredictionMetrics(str(model.tag), manifest, dispatchers, self._threads)
        self._follow_up = FollowUp.from_environment(manifest.contract, self._service_instance.challenging)
        recorders: list[Recorder] = [self._metrics]
        if self._follow_up is not None:
            recorders.append(self._follow_up)
        example = manifest.contract.encode([manifest.contract.example])
        for name, dispatcher in dispatchers.items():
            self._endpoints[name].start(
                self._service_instance.predictor, dispatcher, recorders, self._metrics.refuse
            )
            for _ in range(WARM_UP_CALLS):
                await dispatcher.predict(example)
        for source in ("tokens", "keys"):
            report_stale(source, False)
        self.drain.listen()
        # What is loaded by now stays: walking through it in each full collection would be the tail of the
        # latency.
        gc.collect()
        gc.freeze()
        # Requests are kept for a tenth of a second until they are counted: no garbage to search for.
        gc.set_threshold(*GC_THRESHOLDS)

    def _dispatcher(self, name: str) -> Dispatcher:
        """Replace BentoML's dispatcher, which waits in steps of 1 ms; the histogram is the same."""
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
        """End the threads and close the connections of the worker."""
        await super().destroy_instance(app)
        self._metrics.stop()
        if self._follow_up is not None:
            await asyncio.to_thread(self._follow_up.stop)
        self._threads.shutdown()
        if self._allowance is not None:
            await self._allowance.close()

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics`: the counts of all workers, summed, and the drift indices computed from the sums."""
        content = await asyncio.to_thread(exposition, self._metrics.drift.indices)
        return Response(content, media_type=BentoMLContainer.metrics_client.get().CONTENT_TYPE_LATEST)

    async def model_card(self, _: Request) -> Response:
        """`GET /v1/model`: the card of the loaded model, whatever the store calls the latest by now."""
        return JSONResponse(self._model_card)

    async def readyz(self, req: Request) -> Response:
        """`GET /readyz`: 503 from SIGTERM on, while requests that still arrive are answered."""
        if self.drain.has_begun:
            stopping = "about to stop; send requests to another instance"
            return ProblemResponse(Problem.of(Kind.NOT_READY, stopping))
        answer: Response = await super().readyz(req)
        return answer

    async def schema_view(self, req: Request) -> Response:  # noqa: ARG002
        """`GET /schema.json`. BentoML makes it anew for each request."""
        return JSONResponse(self._schema)

    async def openapi_spec_view(self, req: Request) -> Response:  # noqa: ARG002
        """`GET /docs.json`."""
        return JSONResponse(self._document)

    async def index_page(self, _: Request) -> Response:
        """`GET /`: the OpenAPI document, to read. BentoML's own page loads a tracker from the internet."""
        return HTMLResponse(self._index, headers=pages.HEADERS)

    async def problems_page(self, _: Request) -> Response:
        """`GET /problems`: the kinds of problems, each at the place that its `type` names."""
        return HTMLResponse(pages.PROBLEMS, headers=pages.HEADERS)


_KINDS = {
    404: (Kind.NOT_FOUND, "there is nothing at this path; /docs.json lists what there is"),
    405: (Kind.METHOD_NOT_ALLOWED, "this path takes another method; the header Allow names it"),
    503: (Kind.NOT_READY, "not ready"),
}


def _http_problem(_: Request, error: HTTPException) -> Response:
    """The problem for what Starlette or BentoML refuses by itself."""
    if error.status_code not in _KINDS:
        return unexpected(error)
    return ProblemResponse(Problem.of(*_KINDS[error.status_code]), error.headers)
