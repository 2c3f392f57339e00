"""The health check of the image: `python -m propensity health` ends with 0 while it is ready."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Calls servers on this machine: whatever proxy the environment names, it can't reach them."""


def is_ready(url: str) -> bool:
    """Whether the service there takes requests."""
    try:
        with LOOPBACK.open(f"{url}/readyz", timeout=2):
            return True
    except (OSError, HTTPException):  # urllib's own errors, and what is no HTTP
        return False


def port(command: str, environment: str | None) -> int:
    """The port that the server was told to take.

    Args:
        command: that started it, its arguments ended by null characters.
        environment: `BENTOML_PORT`, where that is set.
    """
    told = re.findall(r"\0(?:--port\0|--port=|-p\0|-p)(\d+)\0", command)
    return int(told[-1] if told else environment or 3000)


def main() -> None:
    """End with 0 while the server of this container is ready."""
    # In a container the server is the first process, or what that has started.
    server = Path("/proc/1/cmdline").read_text(encoding="utf-8", errors="replace")
    sys.exit(not is_ready(f"http://127.0.0.1:{port(server, os.environ.get('BENTOML_PORT'))}"))
