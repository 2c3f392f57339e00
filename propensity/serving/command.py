"""The command `serve`: BentoML's server and, once it is ready, where it is and a request to paste.

propensity serve --port 3001 churn:latest
TOKEN=$(propensity tokens new me --scope predict) propensity serve
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
import urllib.request
from pathlib import Path

from propensity.serving.health import LOOPBACK, is_ready

SOURCE = Path(__file__).resolve().parents[2]


def run(host: str, port: int, tag: str | None) -> None:
    """Run the command `serve`: become the server."""
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        sys.exit(
            f"propensity serve: can't listen on port {port} of {host} ({error.strerror}); choose another:"
            " --port N, or make serve PORT=N"
        )
    if tag is not None:
        os.environ["PROPENSITY_MODEL"] = tag
    token = os.environ.pop("TOKEN", "")
    server = os.getpid()
    if os.fork() == 0:
        _greet(server, url_of(host, port), token)
        os._exit(0)
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    # A Bento is served as such: BentoML finds its model there.
    served = SOURCE.parent if (SOURCE.parent / "bento.yaml").is_file() else SOURCE
    os.execv(bentoml, [bentoml, "serve", str(served), "--host", host, "--port", str(port)])  # noqa: S606 # nosec


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url_of(host: str, port: int) -> str:
    """Return the URL of the service on this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # nosec
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _greet(server: int, url: str, token: str) -> None:
    """Say where the service is, once it is ready."""
    while not is_ready(url):
        time.sleep(0.2)
        if os.getppid() != server:
            return
    print(greeting(url, token), flush=True)


def greeting(url: str, token: str) -> str:
    """Return where a service is and, if it knows the token, a request that it answers."""
    # Imported here: the server need not wait for them.
    from propensity.access.authorization import TRY  # noqa: PLC0415
    from propensity.settings import HAS_PAGE  # noqa: PLC0415

    page = f"\nA page to look and try:  {url}{TRY}" if HAS_PAGE else ""
    where = f"\nServing on {url}{page}\nThe page of the API:     {url}/\n"
    request = urllib.request.Request(f"{url}/v1/model", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 — our own
    try:
        with LOOPBACK.open(request, timeout=10) as answer:
            example = json.loads(answer.read())["contract"]["example"]
    except OSError:
        return where
    return (
        f"{where}A request to paste:\n\n"
        f"curl -s {url}/v1/predict \\\n"
        f"  -H 'Authorization: Bearer {token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(example, ensure_ascii=False))}\n"
    )
