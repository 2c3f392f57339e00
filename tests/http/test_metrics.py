"""Metrics and traces: what the service exposes, and that docs/observability.md lists exactly that."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from conftest import AUTHORIZED, ROOT
from demonstration import EXAMPLE
from exposition import exposed, families
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import serving
from starlette.testclient import TestClient

from propensity.contract.problem import Kind
from propensity.monitoring.prediction_metrics import BOUNDS, _log_failure


def series(client: TestClient) -> dict[str, float]:
    """The value of each series, by its name with labels."""
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in families(client)
        for sample in family.samples
    }


@contextmanager
def rising(client: TestClient) -> Iterator[dict[str, float]]:
    """The increase of each series during the block; empty until its end."""
    before = series(client)
    risen: dict[str, float] = {}
    yield risen
    for name, value in series(client).items():
        if value != before.get(name, 0.0):
            risen[name] = value - before.get(name, 0.0)


def named(metric: str, **labels: str) -> str:
    return f"{metric}{json.dumps(labels, sort_keys=True)}"


def test_rows_are_counted_by_decision_and_problem_and_propensities_as_they_are_distributed(
    client: TestClient, tag: str, holdout: list[dict[str, Any]]
) -> None:
    applications = [row["application"] for row in holdout[:100]]
    with rising(client) as risen:
        body = {"applications": [*applications, {"age": -1}, {}]}
        answer = client.post("/v1/predict_batch", json=body, headers=AUTHORIZED).json()
        assert client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED).status_code == 200
    predictions = [row for row in answer["predictions"] if "propensity" in row]
    single = client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED).json()
    predictions.append(single)
    declined = sum(row["decision"] == "decline" for row in predictions)
    assert risen[named("propensity_rows_total", model=tag, outcome="positive")] == declined
    assert risen[named("propensity_rows_total", model=tag, outcome="negative")] == 101 - declined
    assert risen[named("propensity_rows_total", model=tag, outcome="invalid-row")] == 2
    assert risen[named("propensity_predicted_count", model=tag)] == 101
    propensities = [row["propensity"] for row in predictions]
    assert risen[named("propensity_predicted_sum", model=tag)] == pytest.approx(sum(propensities))
    for bound in BOUNDS:
        below = sum(propensity <= bound for propensity in propensities)
        assert risen.get(named("propensity_predicted_bucket", model=tag, le=str(bound)), 0) == below


def test_lines_that_are_not_json_are_counted_with_the_others(client: TestClient, tag: str) -> None:
    lines = "\n".join([json.dumps(EXAMPLE), '{"age":', "{}", json.dumps(EXAMPLE)])
    headers = AUTHORIZED | {"Content-Type": "application/x-ndjson"}
    with rising(client) as risen:
        assert client.post("/v1/predict_batch", content=lines, headers=headers).status_code == 200
    counted = {outcome: risen.get(named("propensity_rows_total", model=tag, outcome=outcome))
               for outcome in ("unreadable-body", "invalid-row", "negative")}  # fmt: skip
    assert counted == {"unreadable-body": 1, "invalid-row": 1, "negative": 2}


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({"method": "POST", "url": "/v1/predict", "json": {}, "headers": AUTHORIZED}, "invalid-row"),
        ({"method": "POST", "url": "/v1/predict", "json": EXAMPLE}, "unauthenticated"),
        (
            {"method": "POST", "url": "/v1/predict", "content": b"x", "headers": AUTHORIZED},
            "unsupported-format",
        ),
        ({"method": "GET", "url": "/metrics", "headers": AUTHORIZED}, None),
        ({"method": "GET", "url": "/v1/nothing", "headers": AUTHORIZED}, "not-found"),
        ({"method": "GET", "url": "/v1/predict", "headers": AUTHORIZED}, "method-not-allowed"),
        ({"method": "POST", "url": "/v1/predict", "json": EXAMPLE, "headers": AUTHORIZED}, None),
    ],
)
def test_requests_answered_with_a_problem_are_counted_by_its_kind(
    client: TestClient, request_: dict[str, Any], kind: str | None
) -> None:
    with rising(client) as risen:
        client.request(**request_)
    counted = {name: by for name, by in risen.items() if name.startswith("propensity_problems_total")}
    assert counted == ({named("propensity_problems_total", kind=kind): 1} if kind else {})


def test_refused_fields_are_counted_alone_and_in_batches(client: TestClient) -> None:
    batch = {"applications": [EXAMPLE, EXAMPLE | {"age": 7}, EXAMPLE | {"age": 7, "job": "x", "wage": 1}]}
    with rising(client) as risen:
        client.post("/v1/predict", json=EXAMPLE | {"job": "astronaut"}, headers=AUTHORIZED)
        client.post("/v1/predict_batch", json=batch, headers=AUTHORIZED)
    counted = {name: by for name, by in risen.items() if name.startswith("propensity_invalid_fields_total")}
    expected = {"age": 2, "job": 2, "other": 1}
    assert counted == {
        named("propensity_invalid_fields_total", field=field): by for field, by in expected.items()
    }


def test_the_model_is_described_and_nothing_waits_or_is_stale(
    client: TestClient, tag: str, manifest: dict[str, Any]
) -> None:
    found = series(client)
    described = named("propensity_model_info", model=tag, algorithm="gradient boosting", form="grids")
    assert found[described] == 1
    selected = found[named("propensity_model_selected_ratio", model=tag)]
    assert selected == pytest.approx(manifest["metrics"]["selected"])
    trained = found[named("propensity_model_trained_timestamp_seconds", model=tag)]
    assert time.gmtime(trained)[:5] == time.strptime(manifest["trained_at"][:16], "%Y-%m-%dT%H:%M")[:5]
    for method in ("predict", "predict_batch"):
        assert found[named("propensity_queue_requests", method_name=method)] == 0
    for source in ("tokens", "keys"):
        assert found[named("propensity_credentials_stale", source=source)] == 0


def test_every_kind_of_problem_is_there_from_the_start(client: TestClient) -> None:
    kinds = {name for name in series(client) if name.startswith("propensity_problems_total")}
    assert kinds == {named("propensity_problems_total", kind=kind.anchor) for kind in Kind}


def test_the_documentation_lists_every_metric_with_its_type_and_labels(client: TestClient) -> None:
    text = (ROOT / "docs/observability.md").read_text()
    documented = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", text, re.MULTILINE)
    }
    assert documented == exposed(client)


class Collector:
    """An OpenTelemetry collector: receives spans over OTLP/HTTP and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int) -> list[Span]:
        """The first spans."""
        for _ in range(100):
            if len(self.spans) >= count:
                return self.spans
            time.sleep(0.1)
        pytest.fail(f"{len(self.spans)} of {count} spans arrived")


def test_spans_go_to_the_otlp_endpoint_that_is_set_and_share_their_ids_with_the_log(
    bento: Path, tmp_path: Path, tag: str
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    caller = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "X-Request-ID": "order-17"}
    with Collector() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with serving(bento, tmp_path, environment) as served:
            httpx2.get(f"{served.url}/readyz")
            answer = httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED | caller)
            assert answer.status_code == 200
            httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE)
            first, second = collector.wait_for(2)
        assert len(collector.spans) == 2, "health checks and messages have no spans"
    attributes = {each.key: each.value.string_value or each.value.int_value for each in first.attributes}
    assert first.kind == Span.SpanKind.SPAN_KIND_SERVER
    assert first.trace_id.hex() == trace_id
    assert first.parent_span_id.hex() == "b7ad6b7169203331"
    assert attributes["propensity.request_id"] == "order-17"
    assert attributes["propensity.model"] == tag
    assert attributes["propensity.rows"] == 1
    assert attributes["propensity.caller"] == "scoring"
    refused = {each.key: each.value.string_value for each in second.attributes}
    assert refused["propensity.problem"] == "unauthenticated"
    lines = served.requests()
    logged = {line["trace_id"]: line for line in lines}
    assert logged[trace_id]["request_id"] == "order-17"
    assert logged[second.trace_id.hex()]["problem"] == "unauthenticated"


def test_what_could_not_be_counted_in_a_thread_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no room for counters")

    with ThreadPoolExecutor(1) as threads:
        threads.submit(fail).add_done_callback(_log_failure)
    (record,) = caplog.records
    assert record.getMessage() == "predictions could not be counted; metrics miss them"
    assert "no room for counters" in caplog.text
