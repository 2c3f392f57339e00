"""The HTTP application: BentoML's own, with this product's errors, tokens, limits and documentation.

BentoML's server, dispatcher, metrics, health checks and command line stay as they are. What is replaced is
named here, method by method, with the reason; docs/adr/0002-http-application.md has the whole story.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import bentoml
from _bentoml_impl.server.app import ServiceAppFactory
from _bentoml_sdk import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import ServiceUnavailable
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from propensity import openapi, store
from propensity.contract import EXAMPLE, Application, Row
from propensity.limits import (
    BODY_SECONDS,
    DEADLINE_SECONDS,
    MAX_BODY_BYTES,
    MAX_IN_FLIGHT,
    RETRY_AFTER_SECONDS,
)
from propensity.problem import Problem, ProblemError
from propensity.tokens import TokenMiddleware, Tokens

WARM_UP_CALLS = 16
"""BentoML's dispatcher learns the model's speed from its first 11 calls, and is slow during them."""

_RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}

_INDEX = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Propensity to default</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "./docs.json", dom_id: "#swagger-ui"});</script>
</body></html>
"""

logger = logging.getLogger("bentoml.propensity")


class PredictionService(Service[Any]):
    """A BentoML service that is served by `PredictionApp`."""

    def to_asgi(self, is_main: bool = True) -> Starlette:
        """The ASGI application of one worker."""
        self.inject_config()
        return PredictionApp(self, is_main=is_main)()

    def on_load_bento(self, bento: bentoml.Bento) -> None:
        """Serve the model that the Bento was built with; BentoML would take the store's latest."""
        super().on_load_bento(bento)
        (recorded,) = next(info.models for info in bento.info.services if info.name == self.name)
        (model,) = self.models
        model.pin(recorded.tag)

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
        self._tokens = Tokens.from_environment()
        self._in_flight = 0
        self._document = service.openapi_spec
        self._model_card: dict[str, Any] = {}

    def __call__(self) -> Starlette:
        """The application, with problems for what no operation answers, and `/v1/model`."""
        app: Starlette = super().__call__()
        # A redirect would send the caller to whatever host its own Host header named.
        app.router.redirect_slashes = False
        app.add_route("/v1/model", self.model_card, methods=["GET"])
        app.add_exception_handler(HTTPException, _http_problem)  # type: ignore[arg-type]
        app.add_exception_handler(Exception, _unexpected_problem)
        return app

    @property
    def middlewares(self) -> list[Middleware]:
        """BentoML's, and innermost the tokens: CORS, outside of them, answers preflights by itself."""
        theirs = super().middlewares
        if BentoMLContainer.tracing.exporter_type.get() is None:
            # Spans that nobody collects would still cost time on each request.
            theirs = [each for each in theirs if each.cls is not OpenTelemetryMiddleware]
        return [*theirs, Middleware(TokenMiddleware, tokens=self._tokens)]

    async def create_instance(self, app: Starlette) -> None:
        """Load the model and warm it up; the worker takes no connection before this has ended."""
        await super().create_instance(app)
        model = self._service_instance.model
        manifest = store.manifest_of(model).model_dump(mode="json", exclude_none=True)
        self._model_card = {"tag": str(model.tag), **manifest}
        for name in self.service.apis:
            for _ in range(WARM_UP_CALLS):
                await self.batch_infer(name, ([Application.model_validate(EXAMPLE)],), {})
        # What is loaded by now stays for good: walking through it on each full collection is the tail of
        # the latency.
        gc.collect()
        gc.freeze()

    async def api_endpoint_wrapper(self, name: str, request: Request) -> Response:
        """Answer a prediction request: read, validate, score in a merged batch, respond.

        Replaces BentoML's, which parses any content type, reads without bound, builds a JSON schema a
        request for some inputs, and answers errors in several shapes.
        """
        try:
            response = await self._respond(name, request)
        except ProblemError as error:
            response = error.response()
        except (ServiceUnavailable, TimeoutError):
            # The dispatcher gave the request up: it had waited, or would have, for too long.
            response = Problem.of(503, "not predicted in time; try again later").response(_RETRY)
        except ClientDisconnect:
            response = Problem.of(400, "the body did not arrive whole").response()
        except Exception as error:  # nothing of it may reach the caller
            response = _unexpected_problem(request, error)
        self._add_response_headers(response)
        return response

    async def _respond(self, name: str, request: Request) -> Response:
        if self._in_flight >= MAX_IN_FLIGHT:
            raise ProblemError.of(429, f"{MAX_IN_FLIGHT:,} requests are in flight; try again later", _RETRY)
        self._in_flight += 1
        try:
            method = self.service.apis[name]
            rows: list[Row] = method.input_spec.rows(await _body(request))
            async with asyncio.timeout(DEADLINE_SECONDS):
                outcomes = await self.batch_infer(name, (rows,), {})
            answer: bytes = method.output_spec.body(outcomes)
            return Response(answer, media_type="application/json")
        finally:
            self._in_flight -= 1

    async def model_card(self, _: Request) -> Response:
        """`GET /v1/model`: of the model that is loaded, whatever the store calls the latest by now."""
        return JSONResponse(self._model_card)

    async def openapi_spec_view(self, req: Request) -> Response:  # noqa: ARG002
        """`GET /docs.json`."""
        return JSONResponse(self._document)

    async def index_page(self, _: Request) -> Response:
        """`GET /`: the document, to read. BentoML's own page loads a tracker from the internet."""
        return HTMLResponse(_INDEX)


async def _body(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError.of(415, "send JSON with the header `Content-Type: application/json`")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ProblemError.of(415, "send the body uncompressed, without Content-Encoding")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ProblemError.of(
                        413, f"the body is larger than {MAX_BODY_BYTES:,} bytes; split the batch"
                    )
    except TimeoutError:
        raise ProblemError.of(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    return bytes(body)


_DETAILS = {
    404: "there is nothing at this path; /docs.json lists what there is",
    405: "this path takes another method; the header Allow names it",
    503: "not ready",
}


def _http_problem(_: Request, error: HTTPException) -> Response:
    detail = _DETAILS.get(error.status_code, error.detail)
    return Problem.of(error.status_code, detail).response(error.headers)


def _unexpected_problem(_: Request, error: Exception) -> Response:
    logger.error("a request failed", exc_info=error)
    return Problem.of(500, "an unexpected error; it has been logged").response()
