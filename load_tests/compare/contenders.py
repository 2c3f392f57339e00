"""The contenders: how each is installed, configured and called, and how its answer is read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from load_tests.demonstration import CONTRACT

Rows = Sequence[dict[str, Any]]
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
]
BENTOML = ["{bin}/bentoml", "serve", "--host", "127.0.0.1", "--port", "{port}"]


@dataclass(frozen=True)
class Request:
    """How rows are sent, and how the propensities are read from the answer."""

    path: str
    body: Callable[[Rows], bytes]
    propensities: Callable[[bytes], list[float]]
    content_type: str = JSON


@dataclass(frozen=True)
class Contender:
    """Something that serves the pickle.

    Attributes:
        name: as in the report.
        requirements: the file that its environment is made of.
        command: that serves; {bin}, {python}, {port}, {folder}, and {peers}, that of their scripts, are put
            in.
        configured: what the report says of its configuration.
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
    single: Request | None
    batch: Request | None
    ready: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    form: str = "compiled"
    is_peer: bool = True


def _json(make: Callable[[Rows], Any]) -> Callable[[Rows], bytes]:
    return lambda rows: json.dumps(make(rows)).encode()


def _arrow(rows: Rows) -> bytes:
    table = pa.Table.from_pylist(list(rows))
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def _arrow_propensities(answer: bytes) -> list[float]:
    found: list[float] = pa.ipc.open_stream(answer).read_all()["propensity"].to_pylist()
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


def _pairs(answer: bytes) -> list[float]:
    return [pair[1] for pair in json.loads(answer)["predictions"]]


def _of_v2(answer: bytes) -> list[float]:
    (output,) = json.loads(answer)["outputs"]
    found: list[float] = output["data"][1::2]
    return found


def _predictions(answer: bytes) -> list[float]:
    return [prediction["propensity"] for prediction in json.loads(answer)["predictions"]]


_OWN_SINGLE = Request(
    "/v1/predict", _json(lambda rows: rows[0]), lambda answer: [json.loads(answer)["propensity"]]
)
_OWN_BATCH = Request("/v1/predict_batch", _json(lambda rows: {CONTRACT.rows: rows}), _predictions)
_NAIVE = Request("/predict", _json(list), json.loads)
_NAMED = Request("/predict", _json(lambda rows: {"rows": rows}), json.loads)
_MLFLOW = Request("/invocations", _json(_split), _pairs)
_MLSERVER = Request("/v2/models/propensity/infer", _json(_v2), _of_v2)
_VARIANTS = [*BENTOML, "load_tests.compare.variants:Propensity"]

THIS = "this bundle"

CONTENDERS = [
    Contender(
        THIS,
        "requirements.txt",
        [*BENTOML, "service:Propensity"],
        "`bentoml serve`, 1 worker, as it comes; tokens checked, access log on",
        _OWN_SINGLE,
        _OWN_BATCH,
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "this bundle, Arrow",
        "requirements.txt",
        [*BENTOML, "service:Propensity"],
        "the same service, batches as Arrow streams",
        None,
        Request("/v1/predict_batch", _arrow, _arrow_propensities, ARROW),
        ready="/readyz",
        is_peer=False,
    ),
    Contender(
        "ASGI echo",
        "load_tests/compare/requirements/asgi_echo.txt",
        [*UVICORN, "--no-access-log", "asgi_echo:app"],
        "uvicorn with uvloop and httptools, no access log: what the server alone allows",
        Request("/", _OWN_SINGLE.body, lambda _: []),
        Request("/", _OWN_BATCH.body, lambda _: []),
    ),
    Contender(
        "FastAPI, same compiled model",
        "load_tests/compare/requirements/fastapi_compiled.txt",
        [*UVICORN, "fastapi_compiled:app"],
        "uvicorn with uvloop and httptools, async endpoint, this bundle's contract and tables; no tokens, no"
        " metrics, no problems a row",
        Request("/predict", _OWN_SINGLE.body, _OWN_SINGLE.propensities),
        Request("/predict_batch", _OWN_BATCH.body, _predictions),
    ),
    Contender(
        "FastAPI, pickle",
        "load_tests/compare/requirements/fastapi_naive.txt",
        [*UVICORN, "fastapi_naive:app"],
        "uvicorn with uvloop and httptools, endpoint in the thread pool, a DataFrame a request",
        _NAIVE,
        _NAIVE,
    ),
    Contender(
        "BentoML quickstart",
        "load_tests/compare/requirements/bentoml_quickstart.txt",
        [*BENTOML, "load_tests.compare.peers.bentoml_quickstart:Quickstart"],
        "`bentoml serve`, 1 worker, adaptive batching (`batchable=True`)",
        _NAMED,
        _NAMED,
    ),
    Contender(
        "LitServe",
        "load_tests/compare/requirements/litserve_batched.txt",
        ["{python}", "{peers}/litserve_batched.py", "{port}"],
        "1 API server, 1 worker process, batches of up to 64 requests within 5 ms",
        Request("/predict", _NAMED.body, lambda answer: json.loads(answer)["propensities"]),
        Request("/predict", _NAMED.body, lambda answer: json.loads(answer)["propensities"]),
    ),
    Contender(
        "MLflow",
        "load_tests/compare/requirements/mlflow_model.txt",
        ["{python}", "{peers}/mlflow_model.py", "{port}", "{folder}/mlflow"],
        "`mlflow models serve`, 1 worker",
        _MLFLOW,
        _MLFLOW,
    ),
    Contender(
        "MLServer",
        "load_tests/compare/requirements/mlserver_settings.txt",
        ["{python}", "{peers}/mlserver_settings.py", "{port}", "{folder}/mlserver"],
        "scikit-learn runtime, 1 inference process, adaptive batching of up to 64 requests within 5 ms",
        _MLSERVER,
        _MLSERVER,
        ready="/v2/models/propensity/ready",
    ),
    Contender(
        "Ray Serve",
        "load_tests/compare/requirements/ray_serve.txt",
        ["{python}", "{peers}/ray_serve.py", "{port}"],
        "1 replica, `serve.batch` of up to 64 requests within 5 ms",
        _NAMED,
        _NAMED,
    ),
    Contender(
        "this bundle, not merged",
        "requirements.txt",
        _VARIANTS,
        "the same service without a dispatcher: a model call a request",
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
        _OWN_SINGLE,
        None,
        ready="/readyz",
        environment={"VARIANT": "bentoml"},
        is_peer=False,
    ),
    Contender(
        "this bundle, pipeline form",
        "requirements.txt",
        [*BENTOML, "service:Propensity"],
        "the same service with the pickle itself, as for a pipeline that can't be compiled",
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
        _OWN_SINGLE,
        None,
        ready="/readyz",
        environment={"VARIANT": "direct"},
        form="pipeline",
        is_peer=False,
    ),
]
