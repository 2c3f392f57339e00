"""The HTTP application: one pass for each request, around BentoML's own application of the service.

BentoML's server, supervisor, life cycle, health checks, store and command line stay as they are.
docs/adr/0002-http-application.md has the whole story.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import bentoml
import msgspec
from _bentoml_sdk import Service
from _bentoml_sdk.io_models import ensure_io_descriptor
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from propensity import __version__
from propensity.access.authorization import LIVE, READY, Authorization
from propensity.access.configuration import allowance, authorities
from propensity.contract.contract import Contract
from propensity.contract.features import Propensities
from propensity.contract.limits import THREADS
from propensity.contract.prediction import Explanation, schemas
from propensity.contract.problem import PAGE, Kind, Problem, ProblemError
from propensity.formats.inference import Inference, model_metadata
from propensity.formats.media_types import formats_of
from propensity.http.access_log import AccessLog
from propensity.http.drain import Drain
from propensity.http.exchange import EXCHANGE, Exchange, TracedExchange
from propensity.http.host import check_host
from propensity.http.protocol import Protocol
from propensity.http.request_metrics import RequestMetrics, exposition, report_stale
from propensity.http.responses import ProblemResponse, unexpected
from propensity.model import signature, store
from propensity.monitoring.follow_up import FollowUp
from propensity.monitoring.prediction_metrics import PredictionMetrics
from propensity.serving import openapi, pages, try_page
from propensity.serving.admission import InFlight
from propensity.serving.clock import Clock
from propensity.serving.dispatcher import Dispatcher
from propensity.serving.endpoint import PredictionEndpoint
from propensity.serving.journal import Journal
from propensity.settings import MAX_MERGED_ROWS

WARM_UP_CALLS = 16
"""Predictions of the example before the worker accepts connections: ready means warm."""

GC_THRESHOLDS = (10_000, 20, 50)
"""Thresholds of the garbage collector, instead of 700, 10, 10."""

_THEIRS = frozenset({"livez", "healthz", "static_content"})
"""The routes of BentoML that stay as they are, by name."""

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "description": "A problem document (RFC 9457); /docs.json has its members.",
}


class ForeignCodeError(BentoMLException):
    """Python found other code than the Bento's first."""


class BentoMLChangedError(BentoMLException):
    """This version of BentoML lacks what the application keeps of it."""


class PredictionService(Service[Any]):
    """A BentoML service that `PredictionApp` serves."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Make the ASGI application of one worker, and let uvicorn serve it with our protocol.

        BentoML's worker calls this, and then starts uvicorn with the protocol named "auto".
        """
        theirs: Starlette = super().to_asgi(is_main)
        app = PredictionApp(self, theirs)
        HTTP_PROTOCOLS["auto"] = partial(Protocol, drain=app.drain)  # type: ignore[assignment]
        return _traced(app) if _has_traces() else app

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
    def served(self) -> bentoml.Model:
        """The model that is served."""
        # BentoML keeps what it finds in the store this way: to read it anew takes a tenth of the start.
        model: bentoml.Model = self.models[-1].__get__(self, type(self))
        return model

    @property
    def contract(self) -> Contract:
        """The contract of the model that is served."""
        return store.manifest_of(self.served).contract

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
        return openapi.document(self.contract, self.served.tag)


def _has_traces() -> bool:
    # Spans that nobody collects would still cost time on each request.
    return BentoMLContainer.tracing.exporter_type.get() is not None


def _traced(app: ASGIApp) -> ASGIApp:
    """One span per request, without further ones for each of its messages."""
    # Imported late: most services export no traces.
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415

    return OpenTelemetryMiddleware(
        app,
        excluded_urls=BentoMLContainer.tracing_excluded_urls.get(),
        tracer_provider=BentoMLContainer.tracer_provider.get(),
        exclude_spans=["receive", "send"],
    )


class PredictionApp:
    """The ASGI application of one worker. A request goes through `__call__` and `_answer`."""

    def __init__(self, service: PredictionService, theirs: Starlette) -> None:
        """Make the application.

        Args:
            service: the service.
            theirs: BentoML's application, which starts and stops the service.

        Raises:
            BentoMLChangedError: it lacks what is kept of it.
        """
        self._service = service
        self._theirs = theirs
        self._authorization = Authorization(authorities(), allowance())
        self._threads = ThreadPoolExecutor(THREADS)
        self._in_flight = InFlight()
        self.drain = Drain()
        contract = service.contract
        operations = {
            service.apis[name].route: (name, formats) for name, formats in formats_of(contract).items()
        }
        self._tag = service.served.tag
        model = f"/v2/models/{self._tag.name}"
        self._model_paths = model, f"{model}/versions/{self._tag.version}"
        for path in (f"{each}/infer" for each in self._model_paths):
            # Its rows are merged with those of other batches.
            operations[path] = "predict_batch", (Inference(contract, str(self._tag), path),)
        self._operations = {
            path: PredictionEndpoint(
                formats, service.apis[name].max_latency_ms / 1_000, self._in_flight, self._threads
            )
            for path, (name, formats) in operations.items()
        }
        self._methods = {path: name for path, (name, _) in operations.items()}
        self._contract = contract
        self._exchange = TracedExchange if _has_traces() else Exchange
        server = BentoMLContainer.api_server_config
        self._has_metrics = server.metrics.enabled.get()
        self._pages = Starlette(routes=self._routes(), lifespan=self._lifespan)
        # A redirect would send the client to whatever host its own Host header names.
        self._pages.router.redirect_slashes = False
        self._pages.add_exception_handler(HTTPException, self._http_problem)  # type: ignore[arg-type]
        self._pages.add_exception_handler(Exception, lambda _, error: unexpected(error))
        log, metrics = server.logging.access, server.metrics
        self._journal = Journal(
            AccessLog([*log.skip_paths.get(), LIVE, READY]) if log.enabled.get() else None,
            RequestMetrics(metrics.namespace.get(), self._known_paths()) if self._has_metrics else None,
        )
        self._clock = Clock([self._in_flight.check_time, self._authorization.forget, self._journal.write])
        self._inner: ASGIApp = self._answer
        if BentoMLContainer.http.cors.enabled.get():
            # Preflights are answered without a token.
            cors: Any = BentoMLContainer.access_control_options.get()
            self._inner = CORSMiddleware(self._answer, **cors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep a record of a request while it is answered, and put it into the journal then."""
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        exchange = self._exchange(scope, send, self.drain)
        self._journal.begin(exchange)
        try:
            await self._inner(scope, receive, exchange.send)
        finally:
            # The server keeps the scope of an idle connection: what it refers to would stay in memory.
            del scope[EXCHANGE]
            self._journal.end(exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_host(scope)
            await self._authorization.admit(scope)
        except ProblemError as error:
            await ProblemResponse(error.problem, error.headers)(scope, receive, send)
            return
        except Exception as error:  # the caller must learn nothing of it
            await unexpected(error)(scope, receive, send)
            return
        endpoint = self._operations.get(scope["path"]) if scope["method"] == "POST" else None
        await (endpoint or self._pages)(scope, receive, send)

    def _routes(self) -> list[BaseRoute]:
        theirs = {route.name: route for route in self._theirs.routes if isinstance(route, Route | Mount)}
        if missing := sorted(_THEIRS - theirs.keys()):
            raise BentoMLChangedError(
                f"BentoML {bentoml.__version__} lacks the routes {', '.join(missing)};"
                " install the version that requirements.txt names"
            )
        kept = [theirs[name] for name in sorted(_THEIRS)]
        metrics = [Route("/metrics", self._metrics)] if self._has_metrics else []
        return [
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in self._operations.items()),
            *kept,
            *metrics,
            Route("/readyz", self._readyz),
            Route("/schema.json", self._schema_view),
            Route("/docs.json", self._document_view),
            Route("/", self._index_page),
            Route("/v1/model", self._model_view, methods=["GET"]),
            Route("/v2", self._server_metadata, methods=["GET"]),
            Route(LIVE, self._live, methods=["GET"]),
            Route(READY, self._ready, methods=["GET"]),
            *(Route(path, self._model_metadata, methods=["GET"]) for path in self._model_paths),
            *(Route(f"{path}/ready", self._ready, methods=["GET"]) for path in self._model_paths),
            Route(PAGE, self._problems_page, methods=["GET"]),
            *try_page.routes(),
        ]

    def _known_paths(self) -> frozenset[str]:
        return frozenset(route.path for route in self._pages.routes if isinstance(route, Route))

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._theirs.router.lifespan_context(self._theirs):
            await self._start(bentoml.get_current_service())
            yield
            await self._stop()

    async def _start(self, loaded: Any) -> None:
        """Warm the model up; the worker accepts connections only afterwards.

        Args:
            loaded: the instance of the service's class, with the model.
        """
        manifest = store.manifest_of(loaded.model)
        self._card = {
            "tag": str(loaded.model.tag),
            **manifest.model_dump(mode="json", exclude_none=True),
            "signature_verified": signature.is_verified(),
        }
        predictor = loaded.predictor
        self._metadata = msgspec.json.encode(
            model_metadata(manifest.contract, str(self._tag), is_additive=predictor.is_additive)
        )
        apis = self._service.apis
        # Ours in place of BentoML's, which waits in steps of 1 ms.
        dispatcher = partial(Dispatcher, threads=self._threads)
        predicting: dict[str, Dispatcher[Propensities]] = {
            name: dispatcher(
                getattr(loaded, name).local,
                max_rows=apis[name].max_batch_size,
                instant_rows=predictor.instant_rows,
            )
            for name in dict.fromkeys(self._methods.values())
        }
        explaining: Dispatcher[list[Explanation]] = dispatcher(
            predictor.explain, max_rows=MAX_MERGED_ROWS, instant_rows=predictor.instant_explanations
        )
        self._prediction_metrics = PredictionMetrics(
            str(loaded.model.tag), manifest, predicting | {"explain": explaining}, self._threads
        )
        self._follow_up = FollowUp.from_environment(manifest.contract, loaded.challenging)
        self._journal.start(self._prediction_metrics, self._follow_up)
        example = manifest.contract.encode([manifest.contract.example])
        for path, endpoint in self._operations.items():
            endpoint.start(predictor, predicting[self._methods[path]], explaining)
        for each in predicting.values():
            for _ in range(WARM_UP_CALLS):
                await each.predict(example)
        for source in ("tokens", "keys"):
            report_stale(source, False)
        self.drain.listen()
        self._clock.start()
        # What is loaded by now stays: walking through it in each full collection would be the tail of the
        # latency.
        gc.collect()
        gc.freeze()
        # Requests are kept until they are noted: no garbage to search for.
        gc.set_threshold(*GC_THRESHOLDS)

    async def _stop(self) -> None:
        """Note what is left, and end the threads and connections of the worker."""
        self._clock.stop()
        self._journal.note_all()
        if self._follow_up is not None:
            await asyncio.to_thread(self._follow_up.stop)
        self._threads.shutdown()
        await self._authorization.close()

    async def _metrics(self, _: Request) -> Response:
        """`GET /metrics`: the counts of all workers, summed, and the drift indices computed from the sums."""
        self._journal.note_all()
        content = await asyncio.to_thread(exposition, self._prediction_metrics.drift.indices)
        return Response(content, media_type=BentoMLContainer.metrics_client.get().CONTENT_TYPE_LATEST)

    async def _model_view(self, _: Request) -> Response:
        """`GET /v1/model`: the card of the loaded model, whatever the store calls the latest by now."""
        return JSONResponse(self._card)

    async def _readyz(self, _: Request) -> Response:
        """`GET /readyz`: 503 from SIGTERM on, while requests that still arrive are answered."""
        if self.drain.has_begun:
            stopping = "about to stop; send requests to another instance"
            return ProblemResponse(Problem.of(Kind.NOT_READY, stopping))
        return Response("\n", media_type="text/plain")

    @cached_property
    def _schema(self) -> dict[str, Any]:
        # Made when it is asked for: the start does not wait for it.
        return self._service.schema()

    @cached_property
    def _document(self) -> dict[str, Any]:
        return openapi.document(self._contract, self._tag)

    async def _server_metadata(self, _: Request) -> Response:
        """`GET /v2`."""
        return JSONResponse({"name": "propensity-bento", "version": __version__, "extensions": []})

    async def _model_metadata(self, _: Request) -> Response:
        """`GET /v2/models/NAME`: the tensors that the model takes and gives."""
        return Response(self._metadata, media_type="application/json")

    async def _live(self, _: Request) -> Response:
        """`GET /v2/health/live`."""
        return JSONResponse({"live": True})

    async def _ready(self, request: Request) -> Response:
        """`GET /v2/health/ready` and `/v2/models/NAME/ready`: as `/readyz`."""
        response = await self._readyz(request)
        if isinstance(response, ProblemResponse):
            return response
        of = {} if request.url.path == READY else {"name": self._tag.name}
        return JSONResponse({**of, "ready": True})

    async def _schema_view(self, _: Request) -> Response:
        """`GET /schema.json`. BentoML makes it anew for each request."""
        return JSONResponse(self._schema)

    async def _document_view(self, _: Request) -> Response:
        """`GET /docs.json`."""
        return JSONResponse(self._document)

    async def _index_page(self, _: Request) -> Response:
        """`GET /`: the OpenAPI document, to read. BentoML's own page loads a tracker from the internet."""
        return HTMLResponse(pages.index(self._contract.title), headers=pages.HEADERS)

    async def _problems_page(self, _: Request) -> Response:
        """`GET /problems`: the kinds of problems, each at the place that its `type` names."""
        return HTMLResponse(pages.PROBLEMS, headers=pages.HEADERS)

    def _http_problem(self, request: Request, error: HTTPException) -> Response:
        """The problem for what Starlette or BentoML refuses by itself."""
        if error.status_code not in _KINDS:
            return unexpected(error)
        kind, detail = _KINDS[error.status_code]
        if kind is Kind.NOT_FOUND and request.url.path.startswith("/v2/models/"):
            served = " and ".join(self._model_paths)
            detail = f"there is nothing at this path; the model that is served is at {served}"
        return ProblemResponse(Problem.of(kind, detail), error.headers)


_KINDS = {
    404: (Kind.NOT_FOUND, "there is nothing at this path; /docs.json lists what there is"),
    405: (Kind.METHOD_NOT_ALLOWED, "this path takes another method; the header Allow names it"),
    503: (Kind.NOT_READY, "not ready"),
}
