"""The local service of `make serve`: BentoML's server and, once it is ready, a request to paste.

python -m deploy.local PORT TOKEN_FILE
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

HOST = "127.0.0.1"


def main() -> None:
    """The command: becomes the server."""
    if len(sys.argv) != 3 or not sys.argv[1].isdecimal():
        sys.exit("usage: python -m deploy.local PORT TOKEN_FILE")
    port = int(sys.argv[1])
    token = Path(sys.argv[2]).read_text(encoding="utf-8").strip()
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        sys.exit(f"make serve: can't use port {port} ({error}); choose another: make serve PORT=3001")
    server = os.getpid()
    if os.fork() == 0:
        _greet(server, f"http://{HOST}:{port}", token)
        os._exit(0)
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    os.execv(bentoml, [bentoml, "serve", "--host", HOST, "--port", str(port)])  # noqa: S606 # nosec


def _greet(server: int, url: str, token: str) -> None:
    while not is_ready(url):
        time.sleep(0.2)
        if os.getppid() != server:
            return
    print(
        f"\nServing on {url} (documentation: open it in a browser). Try:\n\n"
        f"curl -s {url}/v1/predict \\\n"
        f"  -H 'Authorization: Bearer {token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(_example(url, token), ensure_ascii=False))}\n",
        flush=True,
    )


def _example(url: str, token: str) -> object:
    """The example of the model that is served."""
    request = urllib.request.Request(f"{url}/v1/model", headers={"Authorization": f"Bearer {token}"})
    with LOOPBACK.open(request, timeout=10) as answer:
        return json.loads(answer.read())["contract"]["example"]


if __name__ == "__main__":
    main()
