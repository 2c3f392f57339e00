"""Serves the same pickle with this bundle and with its peers in turn, and measures them side by side.

    python -m load_tests.compare            # all, in about an hour; keeps the figures
    python -m load_tests.compare --resume   # what a run of this version that was stopped has left out
    python -m load_tests.compare NAME ...   # some, to look at; writes nothing

Each server has an environment of its own; the client is wrk with one thread, on the same machine. In each
round every contender is started, checked, warmed up and measured, with one worker in all cells and with two
in some; the rounds' medians are reported, and ratios are of the same round.
"""

from __future__ import annotations

import argparse
import json
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
from load_tests.compare.server import HOME, CompareError, Server, install, serve
from load_tests.demonstration import CONTRACT
from load_tests.measurements import commit, keep
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

TWO_WORKERS_CELLS = [(32, 1), (8, 1_000)]
"""Those that are also measured with two workers, which share the machine's cores with the client."""

UNFINISHED = HOME / "unfinished.json"
"""What a run has measured so far."""

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
    for place, (propensity, wanted) in enumerate(zip(found, expected, strict=True) if found else ()):
        is_wrong = propensity is None or abs(propensity - wanted) > TOLERANCE
        if is_wrong if request.is_valid(place) else propensity is not None:
            raise CompareError(f"predicts otherwise: row {place} as {propensity} instead of {wanted}")


def measure(
    contender: Contender,
    environment: dict[str, str],
    token: str,
    rows: Rows,
    expected: list[float],
    workers: int = 1,
) -> dict[str, Any]:
    """One round of one contender with so many workers."""
    cells: dict[str, Any] = {}
    warm: set[int] = set()
    with serve(contender, environment, workers) as server:
        memory = server.memory_mb()
        for connections, size in CELLS if workers == 1 else TWO_WORKERS_CELLS:
            request = contender.single if size == 1 else contender.batch
            if request is None:
                continue
            folder = write_bodies(contender, request, size, rows)
            if size not in warm:
                check(server, request, token, rows[:size], expected[:size])
                load(server, request, token, folder, 8 * workers, WARM_UP_SECONDS * workers)
                warm.add(size)
            found = load(server, request, token, folder, connections, SECONDS)
            if found["requests"] == found["errors"]:
                raise CompareError(
                    f"{contender.name} answered nothing with {connections} connections and {size:,} rows a"
                    " request; use --resume when the machine is less busy"
                )
            cells[f"c{connections} b{size}"] = found
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


def unfinished() -> list[dict[str, Any]]:
    """The rounds of a run that was stopped.

    Raises:
        CompareError: there is none of this version.
    """
    found = json.loads(UNFINISHED.read_bytes()) if UNFINISHED.exists() else {}
    if found.get("commit") != commit():
        raise CompareError("no run of this version was stopped; leave out --resume")
    rounds: list[dict[str, Any]] = found["rounds"]
    return rounds


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.compare")
    parser.add_argument("names", nargs="*", metavar="NAME", help="contenders to look at; all are kept")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    options = parser.parse_args()
    names = set(options.names)
    if unknown := names - {each.name for each in CONTENDERS}:
        known = ", ".join(each.name for each in CONTENDERS)
        raise CompareError(f"no contender {', '.join(sorted(unknown))}; there are {known}")
    require_wrk()
    rounds = unfinished() if options.resume else [{} for _ in range(ROUNDS)]
    chosen = [each for each in CONTENDERS if not names or each.name in names]
    environments, token = prepare()
    for contender in chosen:
        install(contender)
    rows = complete_rows()
    form = forms.load(store.manifest_of(imported()).served.form, COMPILED.read_bytes())
    expected = form.propensities(CONTRACT.encode(list(rows))).tolist()
    for number, this_round in enumerate(rounds, 1):
        for contender in chosen:
            if contender.name in this_round:
                continue
            started = time.perf_counter()
            one, two = (
                measure(contender, environments[contender.form], token, rows, expected, workers)
                for workers in (1, 2)
            )
            this_round[contender.name] = one | {"two_workers": two}
            seconds = time.perf_counter() - started
            print(
                f"compare: round {number} of {ROUNDS}: {contender.name} ({seconds:.0f} s):"
                f" {_rates(one)}; two workers: {_rates(two)}",
                flush=True,
            )
            if not names:
                UNFINISHED.write_text(json.dumps({"commit": commit(), "rounds": rounds}), encoding="utf-8")
    if names:
        return
    report = {
        "machine": machine(),
        "seconds_a_cell": SECONDS,
        "contenders": {
            each.name: {
                "configured": each.configured,
                "workers": each.workers,
                "is_peer": each.is_peer,
                "versions": versions(each),
            }
            for each in CONTENDERS
        },
        "reference": THIS,
        "rounds": rounds,
    }
    keep("compare", report)
    UNFINISHED.unlink()


def _rates(measured: dict[str, Any]) -> str:
    return ", ".join(
        f"{cell}: {figures['requests'] / figures['seconds']:,.0f}/s"
        for cell, figures in measured["cells"].items()
    )


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"compare: {error}")
