"""Real servers for tests: the built Bento as a process, and callers that count how their requests end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx2
import psutil
import pytest

from load_tests.compare.server import bundle_workers, free_port
from propensity.serving.health import is_ready

BENTOML = str(Path(sys.executable).with_name("bentoml"))


@dataclass(frozen=True)
class Served:
    """A running Bento."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def workers(self) -> dict[int, psutil.Process]:
        """The worker processes, by process id."""
        return {worker.pid: worker for worker in bundle_workers(psutil.Process(self.process.pid))}

    def lines(self) -> list[dict[str, Any]]:
        """All lines logged so far; each is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        return [line for line in self.lines() if "request_id" in line]

    def metric(self, pattern: str, headers: dict[str, str]) -> float:
        """The sum of all series that match a pattern."""
        text = httpx2.get(f"{self.url}/metrics", headers=headers).text
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


Value = TypeVar("Value")


def eventually(read: Callable[[], Value], is_it: Callable[[Value], bool]) -> Value:
    """What is read once it is what is waited for, or half a minute later."""
    deadline = time.monotonic() + 30
    while not is_it(value := read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


@contextmanager
def serving(
    bento: Path,
    folder: Path,
    environment: dict[str, str] | None = None,
    stdout: IO[Any] | None = None,
    command: str = BENTOML,
) -> Iterator[Served]:
    """Serve the built Bento in a process of its own; yields it when it is ready.

    Args:
        bento: the folder of the Bento.
        folder: the folder for its log and its BENTOML_HOME.
        environment: variables to add to the environment.
        stdout: a file for standard output, instead of the log.
        command: the `bentoml` to serve it with.
    """
    port = str(free_port())
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    home = folder / "home"
    home.mkdir()
    for shared in ("models", "bentos"):
        (home / shared).symlink_to(Path(os.environ["BENTOML_HOME"]) / shared)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [command, "serve", str(bento), "--host", "127.0.0.1", "--port", port],
            stdout=stdout or log, stderr=log, cwd=folder,
            env=inherited | {"BENTOML_HOME": str(home)} | (environment or {}),
        )  # fmt: skip
        served = Served(f"http://127.0.0.1:{port}", process, folder / "log")
        try:
            _wait_until_ready(served)
            yield served
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def stripping(prefix: str, url: str) -> Iterator[str]:
    """Run a proxy that strips a prefix, as ingresses do, without telling the server; yields its URL.

    Args:
        prefix: the prefix of paths to strip.
        url: the URL of the server behind the proxy.
    """

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            path, _, query = self.path.partition("?")
            target = f"{path.removeprefix(prefix) or '/'}?{query}"
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name: value for name, value in self.headers.items() if name not in _HOP_BY_HOP}
            answer = httpx2.request(self.command, url + target, headers=headers, content=body)
            self.send_response(answer.status_code if path.startswith(prefix) else 421)
            for name, value in answer.headers.items():
                if name.title() not in _HOP_BY_HOP | {"Date"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = pass_on  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


_HOP_BY_HOP = {
    "Host",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "Accept-Encoding",
    "Content-Encoding",
}


def _wait_until_ready(served: Served) -> None:
    for _ in range(600):
        if is_ready(served.url):
            return
        if served.process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"the server did not get ready:\n{served.log.read_text()}")


@dataclass
class Tally:
    """How requests ended."""

    sent: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """Requests that were answered or failed."""
        return sum(self.answers.values()) + len(self.failures)


class Callers:
    """Callers that each send one request after the other for the duration of the block."""

    def __init__(self, url: str, number: int, body: Any, headers: dict[str, str]) -> None:
        self.tally = Tally()
        self._url = f"{url}/v1/predict"
        self._number = number
        self._body = body
        self._headers = headers
        self._stopped = False

    async def __aenter__(self) -> Callers:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._number)]
        return self

    async def _call(self) -> None:
        async with httpx2.AsyncClient(headers=self._headers, timeout=60) as client:
            while not self._stopped:
                self.tally.sent += 1
                try:
                    answer = await client.post(self._url, json=self._body)
                except httpx2.TransportError as error:
                    self.tally.failures.append(repr(error))
                    await asyncio.sleep(0.05)
                else:
                    self.tally.answers[answer.status_code] += 1

    async def answered(self, more: int) -> None:
        """Wait until so many more requests have ended."""
        goal = self.tally.ended + more
        while self.tally.ended < goal:
            await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)
