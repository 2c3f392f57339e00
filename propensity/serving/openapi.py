"""The OpenAPI document: every operation, every status it can answer, and the token that it needs."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import bentoml
import msgspec
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

from propensity import __version__
from propensity.access.authorization import LIVE, READY, SCOPE_OF_PATH, TRY, TokenScope
from propensity.contract.contract import Contract
from propensity.contract.limits import (
    BODY_SECONDS,
    MAX_BYTES_IN_FLIGHT,
    MAX_HEAD_BYTES,
    MAX_IN_FLIGHT,
    MAX_ROWS,
    MAX_TABLE_ROWS,
)
from propensity.contract.prediction import schemas
from propensity.contract.problem import (
    PAGE,
    InferenceProblem,
    Kind,
    Problem,
    media_type,
    speaks_inference,
)
from propensity.formats.inference import (
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ResponseOutput,
    request_of,
)
from propensity.formats.media_types import ArrowStream, NdJson
from propensity.model.manifest import ModelCard
from propensity.settings import HAS_PAGE, MAX_LATENCY_MS

_DESCRIPTION = """\
For {a_row}: the probability that {meaning}, and the decision that follows from it. Send one {row} or a batch
of them. Under `/v2` it speaks the Open Inference Protocol, for clients of KServe, Seldon and Triton.

Every error is a problem document (RFC 9457) that says what to do about it; its `type`, relative to the URL of
the request, names its place on the page [/problems](./problems). Every answer but those of health checks and
metrics has a header `X-Request-ID`: yours, if you sent one, and the name of the request in the service's
log."""

_Problems = dict[Kind, tuple[str, dict[str, Any]]]
"""What each kind of problem means here, and the headers that come with it."""

_JSON = "application/json"
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE = {"WWW-Authenticate": {"description": "What is needed (RFC 6750).", "schema": {"type": "string"}}}

_ANYWHERE: _Problems = {
    Kind.MALFORMED_REQUEST: ("Not HTTP/1.1, or without one header Host.", {}),
    Kind.LARGE_HEAD: (f"Request line and headers are larger than {MAX_HEAD_BYTES:,} bytes.", {}),
}
_REFUSALS: _Problems = {
    Kind.UNAUTHENTICATED: ("No token, or one that is not valid.", _CHALLENGE),
    Kind.FORBIDDEN: ("The token lacks the scope.", _CHALLENGE),
    Kind.KEYS_UNAVAILABLE: ("The keys of the issuer of JWTs can't be read.", _RETRY_AFTER),
}
_READ_PROBLEMS: _Problems = {
    **_REFUSALS,
    Kind.UNEXPECTED: ("The answer could not be made; the log says why.", {}),
}
_NOT_READY: _Problems = {Kind.NOT_READY: ("No.", {})}


def _prediction_problems(contract: Contract) -> _Problems:
    limits = contract.limits
    return {
        Kind.INVALID_QUERY: ("The query string asks for explanations in an invalid way.", {}),
        Kind.UNREADABLE_BODY: ("The body is not what its Content-Type says, or did not arrive whole.", {}),
        **_REFUSALS,
        Kind.SLOW_BODY: (f"The body did not arrive within {BODY_SECONDS:g} s.", {}),
        Kind.LARGE_BODY: (
            f"The body is larger than {limits.body_bytes:,} bytes, a table than {limits.table_bytes:,},"
            f" {contract.a_row} alone than {limits.row_bytes:,}; or the request takes more than"
            f" {MAX_BYTES_IN_FLIGHT:,} bytes of memory.",
            {},
        ),
        Kind.NOT_ACCEPTABLE: ("The header Accept asks for none of this operation's formats.", {}),
        Kind.UNSUPPORTED_FORMAT: (
            "The body is not declared as one of this operation's formats, or is compressed.",
            {},
        ),
        Kind.INVALID_ROW: ("The body breaks the contract; `errors` names each field.", {}),
        Kind.OVERLOADED: (
            f"More than {MAX_IN_FLIGHT:,} requests are in flight in this worker, or they hold more than"
            f" {MAX_BYTES_IN_FLIGHT:,} bytes of memory.",
            _RETRY_AFTER,
        ),
        Kind.RATE_LIMITED: ("The caller has used up its share of requests.", _RETRY_AFTER),
        Kind.UNEXPECTED: ("A fault of the service; the log says which.", {}),
        Kind.MODEL_FAILED: (f"The model failed on the {contract.row}.", {}),
        Kind.NOT_EXPLAINED: ("Explanations were asked for, and this model has none.", {}),
        Kind.LATE: (f"Not predicted within {MAX_LATENCY_MS / 1_000:g} s.", _RETRY_AFTER),
    }


class _WithoutNulls(GenerateJsonSchema):
    """Makes schemas without `default: null`: client generators take such members to be always present."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Leave out `default: null`."""
        made = super().default_schema(schema)
        if made.get("default", "") is None:
            del made["default"]
        return made


def document(contract: Contract, tag: bentoml.Tag) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this API.

    Args:
        contract: of the model's rows.
        tag: of the model.
    """
    prediction, predictions = schemas(contract)
    described: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (contract.schema_of_row.model, "validation"),
        (contract.schema_of_row.batch, "validation"),
        (prediction, "serialization"),
        (predictions, "serialization"),
        (Problem, "validation"),
        (InferenceProblem, "validation"),
        (ModelCard, "validation"),
    ]
    _, definitions = models_json_schema(
        described, ref_template="#/components/schemas/{model}", schema_generator=_WithoutNulls
    )
    _, tensors = msgspec.json.schema_components(
        [ModelMetadata, InferenceRequest, InferenceResponse], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": contract.title,
            "version": __version__,
            "summary": f"The probability that {contract.meaning}.",
            "description": _DESCRIPTION.format(
                a_row=contract.a_row, row=contract.row, meaning=contract.meaning
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "tags": [
            {"name": "prediction", "description": "Needs a token with the scope `predict`."},
            {"name": "operations", "description": "Health, metrics and documentation."},
            {"name": "inference", "description": "The Open Inference Protocol, version 2."},
        ],
        "paths": {
            "/v1/predict": {"post": _predict(contract, prediction)},
            "/v1/predict_batch": {"post": _predict_batch(contract, predictions)},
            "/v1/model": {"get": _model()},
            "/livez": {"get": _health("livez", "Whether the process is alive.")},
            "/healthz": {"get": _health("healthz", "The same as `/livez`.")},
            "/readyz": {"get": _health("readyz", "Whether the model is loaded and warm.")},
            "/metrics": {"get": _metrics()},
            "/docs.json": {"get": _open("docs", "This document.", "JSON.", _OBJECT)},
            "/schema.json": {
                "get": _open("schema", "The same API, as BentoML's own client reads it.", "JSON.", _OBJECT)
            },
            PAGE: {
                "get": _open(
                    "problems", "The kinds of problems, and what to do about them.", "A page.", _HTML
                )
            },
            **_inference(contract, tag),
            **_page(),
        },
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token with the scope that the operation names; static, or a JWT.",
                }
            },
            "schemas": definitions["$defs"] | tensors,
        },
    }


def _ref(model: type[BaseModel | msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _problems(of: _Problems, path: bytes = b"/v1/") -> dict[str, Any]:
    of = _ANYWHERE | of
    kinds = sorted(of, key=lambda kind: kind.status)
    return {
        str(status): _problem_response({kind: of[kind] for kind in group}, path)
        for status, group in groupby(kinds, key=lambda kind: kind.status)
    }


def _problem_response(of: _Problems, path: bytes) -> dict[str, Any]:
    (*_, headers) = (headers for _, headers in of.values())
    examples = {
        kind.anchor: {
            "summary": kind.title,
            "value": json.loads(Problem.of(kind, description).content(path)),
        }
        for kind, (description, _) in of.items()
    }
    model = InferenceProblem if speaks_inference(path) else Problem
    return {
        "description": " Or: ".join(description for description, _ in of.values()),
        **({"headers": headers} if headers else {}),
        "content": {media_type(path): {"schema": _ref(model), "examples": examples}},
    }


def _answer(description: str, model: type[BaseModel | msgspec.Struct], **media: Any) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": _ref(model), **media}}}


def _operation(scope: TokenScope, problems: _Problems, path: bytes = b"/v1/", **rest: Any) -> dict[str, Any]:
    responses = rest.pop("responses") | _problems(problems, path)
    return {**rest, "security": [{"token": [scope]}], "responses": responses}


def _explain(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "name": "explain",
            "in": "query",
            "description": (
                "Whether each prediction comes with its explanation: what each field contributes to it, and"
                f" reason codes in words. Of at most {MAX_ROWS:,} {contract.rows} at a time. Other parameters"
                " are passed over; one that looks like `explain` misspelt is refused."
            ),
            "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
        }
    ]


def _predicted(contract: Contract) -> dict[str, Any]:
    return {
        "propensity": 0.2,
        "decision": contract.decisions.negative,
        "threshold": 0.26,
        "model": "propensity:0123456789ab",
    }


def _predict(contract: Contract, prediction: type[BaseModel]) -> dict[str, Any]:
    row = {"schema": _ref(contract.schema_of_row.model), "example": contract.example}
    return _operation(
        "predict",
        _prediction_problems(contract),
        tags=["prediction"],
        operationId="predict",
        summary=f"Predict one {contract.row}",
        description=f"The body is the {contract.row} itself.",
        parameters=_explain(contract),
        requestBody={"required": True, "content": {_JSON: row}},
        responses={"200": _answer("The prediction.", prediction, example=_predicted(contract))},
    )


def _predict_batch(contract: Contract, predictions: type[BaseModel]) -> dict[str, Any]:
    row, rows, predicted = contract.row, contract.rows, _predicted(contract)
    first = contract.fields[0].name
    invalid = Problem.of(Kind.INVALID_ROW, f"{row} 1 is not valid: {first}; see errors")
    row_problem = invalid.model_dump(exclude_none=True)
    batch = {"schema": _ref(contract.schema_of_row.batch), "example": {rows: [contract.example]}}
    return _operation(
        "predict",
        _prediction_problems(contract),
        tags=["prediction"],
        operationId="predict_batch",
        summary=f"Predict a batch of {rows}",
        parameters=_explain(contract),
        description=(
            f"1 to {MAX_ROWS:,} {rows} as JSON or NDJSON, up to {MAX_TABLE_ROWS:,} as a table. The answers"
            f" stand in the order of the {rows}. One that is not valid gets a problem in its place; the"
            " others are still predicted. Look at `problems`, or at the column `problem`. Content-Type says"
            " what is sent and Accept what is wanted; without Accept, the answer comes in the format of the"
            " request. In every format the place in a problem's `pointer` is that of JSON."
        ),
        requestBody={
            "required": True,
            "content": {
                _JSON: batch,
                NdJson.media_type: _text(f"{contract.a_row.capitalize()} a line.", [contract.example]),
                **_tables("A column for each field, of numbers, booleans or strings."),
            },
        },
        responses={
            "200": {
                "description": f"A prediction or a problem for each {row}.",
                "content": {
                    _JSON: {
                        "schema": _ref(predictions),
                        "example": {"predictions": [predicted, row_problem], "problems": 1},
                    },
                    NdJson.media_type: _text("A prediction or a problem a line.", [predicted, row_problem]),
                    **_tables(
                        "The columns `propensity`, `decision`, `threshold`, `model`, and `problem`: null, or"
                        " a problem document as JSON. Where it was asked for, `explanation`, also as JSON."
                    ),
                },
            }
        },
    )


def _text(description: str, lines: list[Any]) -> dict[str, Any]:
    example = "".join(f"{json.dumps(line)}\n" for line in lines)
    # At least one character that is not white space: a blank line is no row.
    schema = {"type": "string", "pattern": r"\S", "description": description}
    return {"schema": schema, "example": example}


def _tables(description: str) -> dict[str, Any]:
    # Binary: OpenAPI 3.1 has no type for it.
    return {ArrowStream.media_type: {"schema": {"description": description}}}


def _model() -> dict[str, Any]:
    return _operation(
        "predict",
        _READ_PROBLEMS,
        tags=["prediction"],
        operationId="model",
        summary="The model card",
        description="Which model answers, what it was trained on, and how good it is.",
        responses={"200": _answer("The model card.", ModelCard)},
    )


def _metrics() -> dict[str, Any]:
    return _operation(
        SCOPE_OF_PATH["/metrics"],
        _READ_PROBLEMS,
        b"/metrics",
        tags=["operations"],
        operationId="metrics",
        summary="Metrics for Prometheus",
        responses={"200": {"description": "Prometheus text format.", "content": _TEXT}},
    )


def _page() -> dict[str, Any]:
    page = {TRY: {"get": _open("page", "The model as a page, to try it out.", "A page.", _HTML)}}
    return page if HAS_PAGE else {}


def _health(name: str, summary: str) -> dict[str, Any]:
    return _open(name, summary, "Yes.", _TEXT, _NOT_READY)


def _open(
    name: str,
    summary: str,
    description: str,
    content: dict[str, Any],
    problems: _Problems | None = None,
    *,
    path: bytes = b"/docs.json",
) -> dict[str, Any]:
    return {
        "tags": ["inference" if speaks_inference(path) else "operations"],
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": description, "content": content},
            **_problems(problems or {}, path),
        },
    }


def _inference(contract: Contract, tag: bentoml.Tag) -> dict[str, Any]:
    """The operations of the Open Inference Protocol. All but the health checks need a token to predict."""
    server = _operation(
        "predict",
        _READ_PROBLEMS,
        b"/v2",
        tags=["inference"],
        operationId="inference_server",
        summary="What the server is called",
        responses={"200": {"description": "Name and version.", "content": _OBJECT}},
    )
    live = _open("inference_live", "The same as `/livez`.", "Yes.", _OBJECT, path=LIVE.encode())
    ready = _open(
        "inference_ready", "The same as `/readyz`.", "Yes.", _OBJECT, _NOT_READY, path=READY.encode()
    )
    name, version = (
        {"name": part, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
        for part, value in (("name", tag.name), ("version", tag.version))
    )
    return {
        "/v2": {"get": server},
        LIVE: {"get": live},
        READY: {"get": ready},
        **_model_inference(contract, tag, "/v2/models/{name}", [name], ""),
        **_model_inference(
            contract, tag, "/v2/models/{name}/versions/{version}", [name, version], "_of_version"
        ),
    }


def _model_inference(
    contract: Contract, tag: bentoml.Tag, template: str, parameters: list[Any], suffix: str
) -> dict[str, Any]:
    path = template.format(name=tag.name, version=tag.version)
    other: _Problems = {Kind.NOT_FOUND: ("Another model, or another version, is served.", {})}

    def operation(name: str, below: str, problems: _Problems, **rest: Any) -> dict[str, Any]:
        return _operation(
            "predict",
            problems | other,
            f"{path}{below}".encode(),
            tags=["inference"],
            operationId=f"{name}{suffix}",
            **{"parameters": parameters} | rest,
        )

    response = InferenceResponse(
        tag.name,
        str(tag.version),
        {"threshold": 0.26, "problems": 0},
        [
            ResponseOutput("propensity", "FP64", [1], [0.2]),
            ResponseOutput("decision", "BYTES", [1], [contract.decisions.negative]),
        ],
    )
    return {
        template: {
            "get": operation(
                "inference_model",
                "",
                _READ_PROBLEMS,
                summary="The tensors that the model takes and gives",
                responses={"200": _answer("The metadata of the model.", ModelMetadata)},
            )
        },
        f"{template}/ready": {
            "get": operation(
                "inference_model_ready",
                "/ready",
                _READ_PROBLEMS | _NOT_READY,
                summary="The same as `/readyz`",
                responses={"200": {"description": "Yes.", "content": _OBJECT}},
            )
        },
        f"{template}/infer": {
            "post": operation(
                "infer",
                "/infer",
                _prediction_problems(contract),
                parameters=[*parameters, *_explain(contract)],
                summary=f"Predict 1 to {MAX_ROWS:,} {contract.rows} as tensors",
                description=(
                    "A tensor for each field. Numbers are sent as any datatype of numbers, booleans as BOOL"
                    f" and categories as BYTES. {contract.a_row.capitalize()} that is not valid is null in"
                    " the outputs, and its problem stands in the parameters; one that is sent alone is"
                    " refused."
                ),
                requestBody={
                    "required": True,
                    "content": {
                        _JSON: {
                            "schema": _ref(InferenceRequest),
                            "example": msgspec.to_builtins(request_of([contract.example], contract)),
                        }
                    },
                },
                responses={
                    "200": _answer(
                        f"Tensors with a value for each {contract.row}.",
                        InferenceResponse,
                        example=msgspec.to_builtins(response),
                    )
                },
            )
        },
    }


_OBJECT = {_JSON: {"schema": {"type": "object"}}}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_HTML = {"text/html": {"schema": {"type": "string"}}}
