"""The contenders: how each is installed, configured and called, and how its answer is read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from load_tests.demonstration import CONTRACT

Rows = Sequence[dict[str, Any]]
_INVALID_EVERY = 100
JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"

UVICORN = [
    "{bin}/uvicorn",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
    "--app-dir",
    "{peers}",
    "--workers",
    "{workers}",
]
BENTOML = ["{bin}/bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}"]
MLSERVER = ["{python}", "{peers}/mlserver_settings.py", "{port}", "{folder}/mlserver"]
LITSERVE = ["{python}", "{peers}/litserve_api.py", "{port}"]
MLFLOW = ["{python}", "{peers}/mlflow_model.py", "{port}", "{folder}/mlflow"]
RAY_SERVE = ["{python}", "{peers}/ray_deployment.py", "{port}"]
RAY = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
PICKLE = {"MODEL": "pickle"}
COMPILED = {"MODEL": "compiled"}


@dataclass(frozen=True)
class Request:
    """How rows are sent, and how the propensities are read from the answer."""

    path: str
    body: Callable[[Rows], bytes]
    propensities: Callable[[bytes], list[float | None]]
    """None for a row that is answered with its problem."""
    content_type: str = JSON
    invalid_every: int | None = None
    """Of so many rows one is made invalid, the last; None if they all are valid."""

    def is_valid(self, place: int) -> bool:
        """Whether the row at a place in the batch is sent as a valid one."""
        return self.invalid_every is None or (place + 1) % self.invalid_every != 0


@dataclass(frozen=True)
class Contender:
    """Something that serves the pickle.

    Attributes:
        name: as in the report.
        requirements: the file that its environment is made of.
        command: that serves; {bin}, {python}, {port}, {folder}, {workers}, and {peers}, the folder of their
            scripts, are put in. WORKERS is in its environment as well.
        configured: what the report says of its configuration with one worker.
        workers: what a second worker is.
        single: how one row is sent; None where only batches are measured.
        batch: how several are sent; None where only single rows are measured.
        ready: the path that says 200 when it is ready; without one, any answer will do.
        environment: on top of everybody's.
        form: the form of the model that this bundle serves.
        is_peer: not this bundle or a part of it.
    """

    name: str
    requirements: str
    command: Sequence[str]
    configured: str
    workers: str
    single: Request | None
    batch: Request | None
    ready: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    form: str = "compiled"
    is_peer: bool = True


def _json(make: Callable[[Rows], Any]) -> Callable[[Rows], bytes]:
    return lambda rows: json.dumps(make(rows)).encode()


def _with_invalid(rows: Rows) -> Any:
    """A batch in which each hundredth row is invalid: without a field, out of bounds, or of no category."""
    columns = CONTRACT.columns
    number, category = columns.names[0], columns.names[-1]
    required = next(field.name for field in CONTRACT.fields if not field.nullable)
    faults: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
        lambda row: {name: value for name, value in row.items() if name != required},
        lambda row: row | {number: columns.fields[0].highest + 1},
        lambda row: row | {category: "no such category"},
    ]
    sent = list(rows)
    for turn, place in enumerate(range(_INVALID_EVERY - 1, len(sent), _INVALID_EVERY)):
        sent[place] = faults[turn % len(faults)](sent[place])
    return {CONTRACT.rows: sent}


def _arrow(rows: Rows) -> bytes:
    table = pa.Table.from_pylist(list(rows))
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def _arrow_propensities(answer: bytes) -> list[float | None]:
    found: list[float | None] = pa.ipc.open_stream(answer).read_all()["propensity"].to_pylist()
    return found


def _v2(rows: Rows) -> Any:
    """The Open Inference Protocol, a tensor a column."""
    inputs = [
        {
            "name": name,
            "datatype": "BYTES" if name in CONTRACT.columns.categories else "FP64",
            "shape": [len(rows), 1],
            "data": [row[name] for row in rows],
            **({"parameters": {"content_type": "str"}} if name in CONTRACT.columns.categories else {}),
        }
        for name in CONTRACT.by_name
    ]
    return {
        "parameters": {"content_type": "pd"},
        "inputs": inputs,
        "outputs": [{"name": "predict_proba"}],
    }


def _split(rows: Rows) -> Any:
    return {
        "dataframe_split": {
            "columns": list(CONTRACT.by_name),
            "data": [[row[name] for name in CONTRACT.by_name] for row in rows],
        }
    }


def _pairs(answer: bytes) -> list[float | None]:
    return [pair[1] for pair in json.loads(answer)["predictions"]]


def _plain(answer: bytes) -> list[float | None]:
    found: list[float | None] = json.loads(answer)["predictions"]
    return found


def _of_v2(answer: bytes) -> list[float | None]:
    (output,) = json.loads(answer)["outputs"]
    found: list[float | None] = output["data"]
    return found


def _pairs_of_v2(answer: bytes) -> list[float | None]:
    return _of_v2(answer)[1::2]


def _predictions(answer: bytes) -> list[float | None]:
    return [each.get("propensity") for each in json.loads(answer)["predictions"]]


_OWN_SINGLE = Request(
    "/v1/predict", _json(lambda rows: rows[0]), lambda answer: [json.loads(answer)["propensity"]]
)
_OWN_BATCH = Request("/v1/predict_batch", _json(lambda rows: {CONTRACT.rows: rows}), _predictions)
_OWN_ARROW = Request("/v1/predict_batch", _arrow, _arrow_propensities, ARROW)
_OWN_INVALID = replace(_OWN_BATCH, body=_json(_with_invalid), invalid_every=_INVALID_EVERY)
_NAIVE = Request("/predict", _json(list), json.loads)
_NAMED = Request("/predict", _json(lambda rows: {"rows": rows}), json.loads)
_LITSERVE = replace(_NAMED, propensities=lambda answer: json.loads(answer)["propensities"])
_MLFLOW = Request("/invocations", _json(_split), _pairs)
_MLFLOW_COMPILED = replace(_MLFLOW, propensities=lambda answer: json.loads(answer)["predictions"])
_MLSERVER = Request("/v2/models/propensity/infer", _json(_v2), _pairs_of_v2)
_MLSERVER_COMPILED = replace(_MLSERVER, propensities=_of_v2)

_SERVICE = [*BENTOML, "service:Propensity"]
_QUICKSTART = [*BENTOML, "load_tests.compare.peers.bentoml_service:Quickstart"]
_VARIANTS = [*BENTOML, "load_tests.compare.variants:Propensity"]
_OWN_WORKERS = "`PROPENSITY_WORKERS=2`"
_UVICORN_WORKERS = "`uvicorn --workers 2`"
_SAME_COMPILED = "as with the pickle, with this bundle's compiled form; no field is checked"

THIS = "this bundle"

CONTENDERS = [
    Contender(
        THIS,
        "requirements.txt",
        _SERVICE,
        "`bentoml serve`, 1 worker, as it comes; tokens checked, access log on",
        _OWN_WORKERS,
        _OWN_SINGLE,
        _OWN_BATCH,
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "ASGI echo",
        "load_tests/compare/requirements/asgi_echo.txt",
        [*UVICORN, "--no-access-log", "asgi_echo:app"],
        "uvicorn with uvloop and httptools, no access log: what the server alone allows",
        _UVICORN_WORKERS,
        Request("/", _OWN_SINGLE.body, lambda _: []),
        Request("/", _OWN_BATCH.body, lambda _: []),
    ),
    Contender(
        "this bundle, Arrow",
        "requirements.txt",
        _SERVICE,
        "the same service, batches as Arrow streams",
        _OWN_WORKERS,
        None,
        _OWN_ARROW,
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "this bundle, 1 % of rows invalid",
        "requirements.txt",
        _SERVICE,
        "the same service; in batches, each hundredth row is answered with its problem",
        _OWN_WORKERS,
        None,
        _OWN_INVALID,
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "FastAPI, same compiled model",
        "load_tests/compare/requirements/fastapi_compiled.txt",
        [*UVICORN, "fastapi_compiled:app"],
        "uvicorn with uvloop and httptools, async endpoint, this bundle's contract and tables; no tokens, no"
        " metrics, no problems a row",
        _UVICORN_WORKERS,
        Request("/predict", _OWN_SINGLE.body, _OWN_SINGLE.propensities),
        Request("/predict_batch", _OWN_BATCH.body, _predictions),
    ),
    Contender(
        "FastAPI, pickle",
        "load_tests/compare/requirements/fastapi_naive.txt",
        [*UVICORN, "fastapi_naive:app"],
        "uvicorn with uvloop and httptools, endpoint in the thread pool, a DataFrame a request",
        _UVICORN_WORKERS,
        _NAIVE,
        _NAIVE,
    ),
    Contender(
        "BentoML quickstart",
        "load_tests/compare/requirements/bentoml.txt",
        _QUICKSTART,
        "`bentoml serve` with uvloop and httptools, 1 worker, adaptive batching (`batchable=True`)",
        "`workers=2` of the service",
        _NAMED,
        _NAMED,
        environment=PICKLE,
    ),
    Contender(
        "BentoML, same compiled model",
        "load_tests/compare/requirements/bentoml.txt",
        _QUICKSTART,
        _SAME_COMPILED,
        "`workers=2` of the service",
        _NAMED,
        _NAMED,
        environment=COMPILED,
    ),
    Contender(
        "LitServe",
        "load_tests/compare/requirements/litserve.txt",
        LITSERVE,
        "1 API server, 1 worker process, `fast_queue`, batches of up to 64 requests within 5 ms",
        "`workers_per_device=2`, 2 API servers",
        _LITSERVE,
        _LITSERVE,
        environment=PICKLE,
    ),
    Contender(
        "LitServe, same compiled model",
        "load_tests/compare/requirements/litserve.txt",
        LITSERVE,
        _SAME_COMPILED,
        "`workers_per_device=2`, 2 API servers",
        _LITSERVE,
        _LITSERVE,
        environment=COMPILED,
    ),
    Contender(
        "MLflow",
        "load_tests/compare/requirements/mlflow.txt",
        MLFLOW,
        "`mlflow models serve`, 1 worker",
        "`mlflow models serve --workers 2`",
        _MLFLOW,
        _MLFLOW,
        environment=PICKLE,
    ),
    Contender(
        "MLflow, same compiled model",
        "load_tests/compare/requirements/mlflow.txt",
        MLFLOW,
        f"{_SAME_COMPILED}; a `PythonModel`",
        "`mlflow models serve --workers 2`",
        _MLFLOW_COMPILED,
        _MLFLOW_COMPILED,
        environment=COMPILED,
    ),
    Contender(
        "MLServer",
        "load_tests/compare/requirements/mlserver.txt",
        [*MLSERVER, "mlserver_sklearn.SKLearnModel"],
        "scikit-learn runtime, all in 1 process, adaptive batching of up to 64 requests within 5 ms",
        "`parallel_workers` 2, beside the server's own process",
        _MLSERVER,
        _MLSERVER,
        ready="/v2/models/propensity/ready",
    ),
    Contender(
        "MLServer, same compiled model",
        "load_tests/compare/requirements/mlserver.txt",
        [*MLSERVER, "load_tests.compare.peers.mlserver_compiled.Compiled"],
        f"{_SAME_COMPILED}; a runtime of its own, an `MLModel`",
        "`parallel_workers` 2, beside the server's own process",
        _MLSERVER_COMPILED,
        _MLSERVER_COMPILED,
        ready="/v2/models/propensity/ready",
    ),
    Contender(
        "Ray Serve",
        "load_tests/compare/requirements/ray.txt",
        RAY_SERVE,
        "1 replica, `RAY_SERVE_THROUGHPUT_OPTIMIZED`, `serve.batch` of up to 64 requests within 5 ms",
        "`num_replicas=2`",
        _NAMED,
        _NAMED,
        environment=RAY | PICKLE,
    ),
    Contender(
        "Ray Serve, same compiled model",
        "load_tests/compare/requirements/ray.txt",
        RAY_SERVE,
        _SAME_COMPILED,
        "`num_replicas=2`",
        _NAMED,
        _NAMED,
        environment=RAY | COMPILED,
    ),
    Contender(
        "this bundle, not merged",
        "requirements.txt",
        _VARIANTS,
        "the same service without a dispatcher: a model call a request",
        _OWN_WORKERS,
        _OWN_SINGLE,
        None,
        ready="/readyz",
        environment={"VARIANT": "direct"},
        is_peer=False,
    ),
    Contender(
        "this bundle, BentoML's dispatcher",
        "requirements.txt",
        _VARIANTS,
        "the same service with BentoML's dispatcher",
        _OWN_WORKERS,
        _OWN_SINGLE,
        None,
        ready="/readyz",
        environment={"VARIANT": "bentoml"},
        is_peer=False,
    ),
    Contender(
        "this bundle, as a middleware",
        "requirements.txt",
        [*BENTOML, "load_tests.compare.middleware:Propensity"],
        "the same service, put behind BentoML's layers by `add_asgi_middleware`, with BentoML's own access"
        " log, metrics and traces off",
        _OWN_WORKERS,
        _OWN_SINGLE,
        None,
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "this bundle, pipeline form",
        "requirements.txt",
        _SERVICE,
        "the same service with the pickle itself, as for a pipeline that can't be compiled",
        _OWN_WORKERS,
        _OWN_SINGLE,
        _OWN_BATCH,
        ready="/readyz",
        form="pipeline",
        is_peer=False,
    ),
    Contender(
        "this bundle, pipeline form, not merged",
        "requirements.txt",
        _VARIANTS,
        "the same without a dispatcher: a model call a request",
        _OWN_WORKERS,
        _OWN_SINGLE,
        None,
        ready="/readyz",
        environment={"VARIANT": "direct"},
        form="pipeline",
        is_peer=False,
    ),
]
