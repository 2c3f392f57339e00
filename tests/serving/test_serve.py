"""The command `serve`: what it starts, and what it says once that is ready."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import commands
import httpx2
import pytest
from conftest import AUTHORIZED, PREDICT_TOKEN, ROOT
from demonstration import EXAMPLE
from test_docs import curl

from load_tests.compare.server import free_port
from propensity.__main__ import main
from propensity.serving import command


def started(root: Path, home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The service of a checkout or of a Bento's source, with a BENTOML_HOME in a folder."""
    for shared in ("models", "bentos"):
        (home / shared).symlink_to(Path(os.environ["BENTOML_HOME"]) / shared)
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        [root / "bin/propensity", "serve", *arguments], cwd="/", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=inherited | {"BENTOML_HOME": str(home), "PATH": path} | environment,
    )  # fmt: skip


def said(server: subprocess.Popen[str], last: str) -> str:
    """What a server prints until a line that begins so."""
    assert server.stdout is not None
    printed = ""
    for line in server.stdout:
        printed += line
        if line.startswith(last):
            break
    return printed[printed.index("Serving on") :]


def ended(server: subprocess.Popen[str]) -> int:
    """The exit code of a server that is told to stop."""
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)
    return server.returncode


def test_a_checkout_is_served_with_a_request_to_paste(tmp_path: Path, tag: str) -> None:
    port = str(free_port())
    other = {"PROPENSITY_MODEL": "other:latest", "TOKEN": PREDICT_TOKEN}
    with started(ROOT, tmp_path, "--port", port, tag, **other) as server:
        printed = said(server, "  -d ")
        url = f"http://127.0.0.1:{port}"
        places = f"Serving on {url}\nA page to look and try:  {url}/try\nThe page of the API:     {url}/\n"
        assert printed.startswith(f"{places}A request to paste:\n\ncurl -s ")
        request = curl(printed[printed.index("curl") :].replace(port, "3000"))
        assert request["headers"]["Authorization"] == f"Bearer {PREDICT_TOKEN}"
        answer = httpx2.post(url + request["path"], headers=request["headers"], content=request["content"])
        assert answer.json()["model"] == tag
        assert b"TOKEN=" not in Path(f"/proc/{server.pid}/environ").read_bytes().replace(b"_TOKEN", b"")
        assert ended(server) == 0


def test_a_bento_serves_itself_and_prints_no_request_without_a_token(tmp_path: Path, bento: Path) -> None:
    port = str(free_port())
    given = {"BENTOML_PORT": port, "BENTOML_HOST": "0.0.0.0", "TOKEN": "", "PROPENSITY_PAGE": "off"}
    with started(bento / "src", tmp_path, **given) as server:
        printed, url = said(server, "The page of the API"), f"http://127.0.0.1:{port}"
        assert printed == f"Serving on {url}\nThe page of the API:     {url}/\n"
        answer = httpx2.post(f"{url}/v1/predict", headers=AUTHORIZED, json=EXAMPLE)
        assert answer.status_code == 200
        assert ended(server) == 0


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", "Address already in use"), ("no.such.host.invalid", "")]
)
def test_where_it_can_not_listen_is_said_before_anything_starts(host: str, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = commands.run(main, "serve", "--host", host, "--port", port)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"propensity serve: can't listen on port {port} of {host} ({why}")
    assert done.stderr.endswith("; choose another: --port N, or make serve PORT=N\n")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:3000"), ("0.0.0.0", "http://127.0.0.1:3000"),
        ("fe80::1", "http://[fe80::1]:3000"), ("::", "http://[::1]:3000"),
    ],
)  # fmt: skip
def test_the_url_is_one_that_can_be_opened(host: str, url: str) -> None:
    assert command.url_of(host, 3000) == url
