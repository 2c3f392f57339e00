"""Serves the same pickle with this bundle and with its peers in turn, and measures them side by side.

    python -m load_tests.compare            # all, in about half an hour; keeps the figures
    python -m load_tests.compare NAME ...   # some, to look at; writes nothing

Each server has an environment of its own and one worker; the client is wrk with one thread, on the same
machine. In each round every contender is started, checked, warmed up and measured; the rounds' medians
are reported, and ratios are of the same round.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from importlib import metadata
from typing import Any

from load_tests.compare.client import (
    COMPILED,
    TIMEOUT_SECONDS,
    complete_rows,
    imported,
    load,
    machine,
    prepare,
    require_wrk,
    write_bodies,
)
from load_tests.compare.contenders import CONTENDERS, THIS, Contender, Request, Rows
from load_tests.compare.server import CompareError, Server, install, serve
from load_tests.demonstration import CONTRACT
from load_tests.measurements import keep
from propensity.model import forms, store
from propensity.serving.health import LOOPBACK

ROUNDS = 3
SECONDS = 2
WARM_UP_SECONDS = 1
CELLS = [
    (1, 1),
    (8, 1),
    (32, 1),
    (128, 1),
    (1, 100),
    (8, 100),
    (1, 1_000),
    (8, 1_000),
    (1, 10_000),
    (8, 10_000),
]
"""Connections, and rows a request."""

TOLERANCE = 1e-6
REPORTED = [
    "bentoml",
    "fastapi",
    "litserve",
    "mlflow",
    "mlserver",
    "ray",
    "scikit-learn",
    "starlette",
    "uvicorn",
    "uvloop",
]


def check(server: Server, request: Request, token: str, rows: Rows, expected: list[float]) -> None:
    """See that a contender predicts what the model predicts."""
    sent = urllib.request.Request(  # noqa: S310 — our own
        server.url + request.path,
        data=request.body(rows),
        headers={"Content-Type": request.content_type, "Authorization": f"Bearer {token}"},
    )
    with LOOPBACK.open(sent, timeout=TIMEOUT_SECONDS) as answer:
        found = request.propensities(answer.read())
    if found and max(abs(a - b) for a, b in zip(found, expected, strict=True)) > TOLERANCE:
        raise CompareError(f"predicts otherwise: {found[:3]} instead of {expected[:3]}")


def measure(
    contender: Contender, environment: dict[str, str], token: str, rows: Rows, expected: list[float]
) -> dict[str, Any]:
    """One round of one contender."""
    cells: dict[str, Any] = {}
    with serve(contender, environment) as server:
        memory = server.memory_mb()
        for connections, size in CELLS:
            request = contender.single if size == 1 else contender.batch
            if request is None:
                continue
            folder = write_bodies(contender, request, size, rows)
            if connections == 1:
                check(server, request, token, rows[:size], expected[:size])
                load(server, request, token, folder, 8, WARM_UP_SECONDS)
            cells[f"c{connections} b{size}"] = load(server, request, token, folder, connections, SECONDS)
        under_load = server.memory_mb()
    return {
        "start_seconds": round(server.start_seconds, 2),
        "rss_mb": {
            "started": {"all": round(memory[0], 1), "largest": round(memory[1], 1)},
            "loaded": {"all": round(under_load[0], 1), "largest": round(under_load[1], 1)},
        },
        "cells": cells,
    }


def versions(contender: Contender) -> dict[str, str]:
    """Versions of the libraries that matter in a contender's environment."""
    (site,) = install(contender).parent.glob("lib/python*/site-packages")
    found = {each.name: each.version for each in metadata.distributions(path=[str(site)])}
    return {name: found[name] for name in REPORTED if name in found}


def main(names: list[str]) -> None:
    """The command."""
    chosen = [each for each in CONTENDERS if not names or each.name in names]
    if unknown := set(names) - {each.name for each in CONTENDERS}:
        known = ", ".join(each.name for each in CONTENDERS)
        raise CompareError(f"no contender {', '.join(sorted(unknown))}; there are {known}")
    require_wrk()
    environments, token = prepare()
    for contender in chosen:
        install(contender)
    rows = complete_rows()
    form = forms.load(store.manifest_of(imported()).served.form, COMPILED.read_bytes())
    expected = form.propensities(CONTRACT.encode(list(rows))).tolist()
    rounds: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        this_round = {}
        for contender in chosen:
            started = time.perf_counter()
            found = measure(contender, environments[contender.form], token, rows, expected)
            this_round[contender.name] = found
            rates = ", ".join(
                f"{cell}: {figures['requests'] / figures['seconds']:,.0f}/s"
                for cell, figures in found["cells"].items()
            )
            seconds = time.perf_counter() - started
            print(
                f"compare: round {number + 1} of {ROUNDS}: {contender.name} ({seconds:.0f} s): {rates}",
                flush=True,
            )
        rounds.append(this_round)
    if names:
        return
    report = {
        "machine": machine(),
        "seconds_a_cell": SECONDS,
        "contenders": {
            each.name: {"configured": each.configured, "is_peer": each.is_peer, "versions": versions(each)}
            for each in CONTENDERS
        },
        "reference": THIS,
        "rounds": rounds,
    }
    keep("compare", report)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CompareError as error:
        sys.exit(f"compare: {error}")
