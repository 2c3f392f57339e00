"""Measures how the service scales with concurrent callers and with workers.

    python -m load_tests.scaling        # some minutes; writes load_tests/measurements/scaling.json

For each number of workers the service is started and called with ever more connections. Noted down are
throughput, latency, processor time, memory, and how many requests each model call merged. Client and workers
share the machine's cores.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from typing import Any

from load_tests.compare.client import load, machine, single_predictions
from load_tests.compare.server import HOME, CompareError, Server, serve
from load_tests.measurements import keep
from propensity.access.tokens import new_token
from propensity.serving.health import LOOPBACK

CONNECTIONS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
SECONDS = 3
ROUNDS = 3
WARM_UP_SECONDS = 1
BUCKET = re.compile(r'^bentoml_service_adaptive_batch_size_bucket\{(.*method_name="predict".*)\} (.+)$', re.M)


def merged(server: Server, token: str) -> dict[float, float]:
    """How many model calls so far merged up to so many single predictions, over all workers."""
    request = urllib.request.Request(  # noqa: S310 — our own
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with LOOPBACK.open(request, timeout=10) as answer:
        text = answer.read().decode()
    calls: dict[float, float] = {}
    for labels, value in BUCKET.findall(text):
        (bound,) = re.findall(r'le="([^"]+)"', labels)
        calls[float(bound)] = calls.get(float(bound), 0.0) + float(value)
    return calls


def histogram(before: dict[float, float], after: dict[float, float]) -> dict[str, int]:
    """Model calls between two readings, by the bucket of how many requests they merged."""
    calls, below = {}, 0.0
    for bound in sorted(after):
        up_to = after[bound] - before.get(bound, 0.0)
        if up_to > below:
            calls[f"{bound:g}"] = round(up_to - below)
        below = up_to
    return calls


def main() -> None:
    """The command."""
    trial = single_predictions()
    scraper = new_token(HOME / "tokens", "scraper", ["metrics"])
    measured: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        for workers in range(1, (os.cpu_count() or 1) + 1):
            with serve(trial.contender, trial.environment, workers) as server:
                load(server, trial.request, trial.token, trial.folder, 8, WARM_UP_SECONDS)
                for connections in CONNECTIONS:
                    before = merged(server, scraper)
                    found = load(server, trial.request, trial.token, trial.folder, connections, SECONDS)
                    memory = server.memory_mb()
                    measured.append(
                        {
                            "round": number,
                            "workers": workers,
                            "connections": connections,
                            **found,
                            "rss_mb": {"all": round(memory[0], 1), "largest": round(memory[1], 1)},
                            "merged": histogram(before, merged(server, scraper)),
                        }
                    )
                    rate = found["requests"] / found["seconds"]
                    print(
                        f"scaling: round {number + 1} of {ROUNDS}: {workers} workers,"
                        f" {connections} connections: {rate:,.0f}/s",
                        flush=True,
                    )
    keep("scaling", {"machine": machine(), "cells": measured})


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"scaling: {error}")
