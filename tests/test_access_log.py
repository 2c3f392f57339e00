"""The access log: what a line says, what is not logged, and that no prediction depends on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import AUTHORIZED, METRICS_AUTHORIZED, ROOT
from starlette.testclient import TestClient

from propensity import access_log
from propensity.access_log import AccessLog
from propensity.contract import EXAMPLE


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
    time.sleep(0.2)  # for what other tests left
    output = Output()
    # Not of sys itself: pytest puts its own there in each phase of a test.
    monkeypatch.setattr(access_log, "sys", SimpleNamespace(stdout=output))
    return output


def test_each_request_gets_a_line_with_nothing_of_its_content(client: TestClient, output: Output) -> None:
    client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
    client.post("/v1/predict", json=EXAMPLE)
    client.get("/a%22b%0A", headers=AUTHORIZED)
    lines = output.lines(3)
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/v1/predict", 200),
        ("POST", "/v1/predict", 401),
        ("GET", '/a"b\n', 404),
    ]
    for line in lines:
        assert set(line) == {"time", "client", "method", "path", "status", "ms"}
        assert line["ms"] > 0
        assert line["time"].endswith("+00:00")


def test_a_proxy_can_not_forge_a_line(output: Output) -> None:
    """Whom a proxy names as the client is put there as it is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403})

    async def nothing(*_: Any) -> Any: ...

    async def main() -> None:
        log = AccessLog(app, skip_paths=["/livez"], has_traces=False)
        client = ('1.2.3.4","status":200,"x":"\n', 1)
        await log({"type": "http", "method": "GET", "path": "/", "client": client}, nothing, nothing)
        await asyncio.sleep(2 * access_log.WRITE_SECONDS)

    asyncio.run(main())
    (line,) = output.lines(1)
    assert line["client"] == '1.2.3.4","status":200,"x":"\n:1'
    assert line["status"] == 403


def test_health_checks_and_scrapes_are_not_logged(client: TestClient, output: Output) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        client.get(path, headers=METRICS_AUTHORIZED)
    client.get("/docs.json")
    assert [line["path"] for line in output.lines(1)] == ["/docs.json"]


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
import asyncio, json
from service import Propensity
from propensity.contract import EXAMPLE

async def main():
    app = Propensity.to_asgi()
    async with app.router.lifespan_context(app):
        async def receive():
            return {"type": "http.request", "body": json.dumps(EXAMPLE).encode(), "more_body": False}

        async def send(message):
            pass

        headers = [(b"authorization", b"Bearer predict-token"), (b"content-type", b"application/json"),
                   (b"traceparent", b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers,
                 "query_string": b"", "scheme": "http", "server": ("service", 80),
                 "client": ("caller", 1), "http_version": "1.1"}
        await app(scope, receive, send)
        await asyncio.sleep(0.3)

asyncio.run(main())
"""


def test_a_line_names_the_trace_where_spans_are_exported(tag: str, tmp_path: Path) -> None:
    config = tmp_path / "bentoml.yaml"
    tracing = {"exporter_type": "in_memory", "sample_rate": 1.0}
    config.write_text(yaml.safe_dump({"services": {"propensity": {"tracing": tracing}}}))
    done = subprocess.run(
        [sys.executable, "-c", PREDICT_ONCE], cwd=ROOT, env=os.environ | {"BENTOML_CONFIG": str(config)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert line["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert line["status"] == 200
