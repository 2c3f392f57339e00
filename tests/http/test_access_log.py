"""The access log: what a line says, what is not logged, and that no prediction depends on it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN, ROOT, written
from demonstration import EXAMPLE
from starlette.testclient import TestClient

from propensity.http import access_log
from propensity.http.access_log import AccessLog
from propensity.http.drain import Drain
from propensity.http.exchange import Exchange


class Output:
    """Standard output, on a disk that may be full."""

    def __init__(self) -> None:
        self.text = ""
        self.is_full = False

    def write(self, text: str) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.text += text

    def flush(self) -> None: ...

    def lines(self, count: int) -> list[dict[str, Any]]:
        for _ in range(100):
            found = self.text.splitlines()
            if len(found) >= count:
                return [json.loads(line) for line in found]
            time.sleep(0.05)
        pytest.fail(f"{count} lines were not written: {self.text}")


@pytest.fixture
def output(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Output:
    written(client)  # the lines that other tests left
    output = Output()
    # Not on sys itself: pytest replaces stdout there in each phase of a test.
    monkeypatch.setattr(access_log, "sys", SimpleNamespace(stdout=output))
    return output


def test_each_request_gets_a_line_that_says_who_asked_what_and_with_nothing_of_its_content(
    client: TestClient, output: Output, tag: str
) -> None:
    client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
    rows = [EXAMPLE, EXAMPLE | {"age": 3}, 4711]
    client.post("/v1/predict_batch", json={"applications": rows}, headers=AUTHORIZED)
    client.post("/v1/predict", json=EXAMPLE)
    client.get("/a%22b%0A", headers=AUTHORIZED)
    lines = output.lines(4)
    always = {"time", "request_id", "client", "method", "path", "status", "ms"}
    assert [{name: line.get(name) for name in ("method", "path", "status")} for line in lines] == [
        {"method": "POST", "path": "/v1/predict", "status": 200},
        {"method": "POST", "path": "/v1/predict_batch", "status": 200},
        {"method": "POST", "path": "/v1/predict", "status": 401},
        {"method": "GET", "path": '/a"b\n', "status": 404},
    ]
    assert [{name: line[name] for name in line.keys() - always} for line in lines] == [
        {"caller": "scoring", "rows": 1, "model": tag},
        {"caller": "scoring", "rows": 3, "model": tag},
        {"problem": "unauthenticated"},
        {"caller": "scoring", "problem": "not-found"},
    ]
    for line in lines:
        assert line["ms"] > 0
        assert line["time"].endswith("+00:00")
    assert PREDICT_TOKEN not in output.text
    assert "4711" not in output.text


def test_a_request_keeps_the_name_that_its_caller_gave_it(client: TestClient, output: Output) -> None:
    given = {"X-Request-ID": "order-17:a"}
    answers = [
        client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED | given),
        client.post("/v1/predict", json=EXAMPLE, headers=given),
    ]
    assert [answer.headers["x-request-id"] for answer in answers] == ["order-17:a"] * 2
    assert [line["request_id"] for line in output.lines(2)] == ["order-17:a"] * 2


@pytest.mark.parametrize("given", [b"", b"x" * 129, b'a","status":200,"x":"', b"a b", b"\xff", b"a\tb"])
def test_a_name_that_can_not_stand_in_a_log_is_replaced(
    client: TestClient, output: Output, given: bytes
) -> None:
    headers = [(b"authorization", f"Bearer {PREDICT_TOKEN}".encode()), (b"x-request-id", given)]
    names = {
        client.post("/v1/predict", json=EXAMPLE, headers=headers).headers["x-request-id"] for _ in range(2)
    }
    assert len(names) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    assert {line["request_id"] for line in output.lines(2)} == names


def test_a_proxy_can_not_forge_a_line(output: Output) -> None:
    """The name that a proxy gives the client is logged as it is."""

    async def nothing(*_: Any) -> Any: ...

    client = ('1.2.3.4","status":200,"x":"\n', 1)
    scope = {"type": "http", "method": "GET", "path": "/", "client": client, "headers": []}
    exchange = Exchange(scope, nothing, Drain())
    asyncio.run(exchange.send({"type": "http.response.start", "status": 403, "headers": []}))
    AccessLog(skip_paths=["/livez"]).write([exchange])
    (line,) = output.lines(1)
    assert line["client"] == '1.2.3.4","status":200,"x":"\n:1'
    assert line["status"] == 403


def test_health_checks_and_scrapes_are_not_logged(client: TestClient, output: Output) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        client.get(path, headers=METRICS_AUTHORIZED)
    client.get("/docs.json")
    assert [line["path"] for line in output.lines(1)] == ["/docs.json"]


def test_refused_scrapes_and_paths_that_only_begin_like_skipped_ones_are_logged(
    client: TestClient, output: Output
) -> None:
    answer = client.get("/metrics")
    client.get("/metricsX", headers=METRICS_AUTHORIZED)
    refused, other = output.lines(2)
    assert (refused["path"], refused["status"]) == ("/metrics", 401)
    assert answer.headers["X-Request-ID"] == refused["request_id"]
    assert other["path"] == "/metricsX"


def test_a_full_disk_costs_lines_and_no_predictions(
    client: TestClient, output: Output, caplog: pytest.LogCaptureFixture
) -> None:
    output.is_full = True
    answers = [client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    for _ in range(100):
        if "access log: [Errno 28]" in caplog.text:
            break
        time.sleep(0.05)
    assert "access log: [Errno 28] No space left on device" in caplog.text
    output.is_full = False
    client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
    assert output.lines(1)[-1]["status"] == 200


PREDICT_ONCE = """
import asyncio, sys
from service import Propensity

async def main():
    app = Propensity.to_asgi()
    started, ended = asyncio.Event(), asyncio.Event()

    async def life():
        if not started.is_set():
            started.set()
            return {"type": "lifespan.startup"}
        await ended.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message):
        if message["type"] == "lifespan.startup.complete":
            ready.set()

    ready = asyncio.Event()
    service = asyncio.create_task(app({"type": "lifespan"}, life, send))
    await ready.wait()

    async def receive():
        return {"type": "http.request", "body": sys.argv[1].encode(), "more_body": False}

    headers = [(b"authorization", b"Bearer predict-token"), (b"content-type", b"application/json"),
               (b"host", b"service"),
               (b"traceparent", b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")]
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers,
             "query_string": b"", "scheme": "http", "server": ("service", 80),
             "client": ("caller", 1), "http_version": "1.1"}
    await app(scope, receive, send)
    ended.set()
    await service

asyncio.run(main())
"""


def test_a_line_names_the_trace_where_spans_are_exported(tag: str, tmp_path: Path) -> None:
    config = tmp_path / "bentoml.yaml"
    tracing = {"exporter_type": "in_memory", "sample_rate": 1.0}
    config.write_text(yaml.safe_dump({"services": {"propensity": {"tracing": tracing}}}))
    done = subprocess.run(
        [sys.executable, "-c", PREDICT_ONCE, json.dumps(EXAMPLE)], cwd=ROOT, capture_output=True, text=True,
        check=True, env=os.environ | {"BENTOML_CONFIG": str(config)},
    )  # fmt: skip
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert line["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert line["status"] == 200
