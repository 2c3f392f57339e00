"""The health check of the image: `propensity health` exits with 0 while the service is ready."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine directly: a proxy that the environment names can't reach them."""


def is_ready(url: str) -> bool:
    """Whether the service at this base URL is ready for requests."""
    try:
        with LOOPBACK.open(f"{url}/readyz", timeout=2):
            return True
    except (OSError, HTTPException):  # urllib's own errors, and answers that are not HTTP
        return False


def port(command: str, environment: str | None) -> int:
    """The port that the server listens on.

    Args:
        command: the server's command line, each argument terminated by a null character.
        environment: the value of `BENTOML_PORT`, if set.
    """
    ports = re.findall(r"\0(?:--port\0|--port=|-p\0|-p)(\d+)\0", command)
    return int(ports[-1] if ports else environment or 3000)


def run() -> None:
    """Run the command `health`."""
    # In a container, the first process is the server, or an init whose command line names it.
    server = Path("/proc/1/cmdline").read_text(encoding="utf-8", errors="replace")
    sys.exit(not is_ready(f"http://127.0.0.1:{port(server, os.environ.get('BENTOML_PORT'))}"))
