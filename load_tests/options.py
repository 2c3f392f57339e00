"""Measures what explanations, the prediction log and a challenger cost, beside plain single predictions.

    python -m load_tests.options     # some minutes; writes load_tests/measurements/options.json

Each variant is a server of its own, one worker; they are called in turn, round by round, so the ratios are
worth more than the digits. Client and worker share the machine's cores.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import replace
from typing import Any

from load_tests.compare.client import imported, load, machine, single_predictions
from load_tests.compare.server import HOME, CompareError, serve
from load_tests.measurements import keep

CONNECTIONS = [1, 32]
SECONDS = 4
ROUNDS = 3
WARM_UP_SECONDS = 1


def main() -> None:
    """The command."""
    trial = single_predictions()
    tag = str(imported().tag)
    measured: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(dir=HOME) as log:
        settings = {
            "plain": {},
            "explained": {},
            "logged": {"PROPENSITY_LOG_FOLDER": log},
            # Itself: a challenger of the same size.
            "challenged": {"PROPENSITY_CHALLENGER": tag},
            "logged and challenged": {"PROPENSITY_LOG_FOLDER": log, "PROPENSITY_CHALLENGER": tag},
        }
        for number in range(ROUNDS):
            for variant, environment in settings.items():
                own = replace(trial.contender, environment=environment)
                request = trial.request
                if variant == "explained":
                    request = replace(request, path=f"{request.path}?explain=true")
                with serve(own, trial.environment) as server:
                    load(server, request, trial.token, trial.folder, 8, WARM_UP_SECONDS)
                    for connections in CONNECTIONS:
                        found = load(server, request, trial.token, trial.folder, connections, SECONDS)
                        cell = {"round": number, "connections": connections, **found}
                        measured.setdefault(variant, []).append(cell)
                        rate = found["requests"] / found["seconds"]
                        print(
                            f"options: round {number + 1} of {ROUNDS}: {variant}, {connections} connections:"
                            f" {rate:,.0f}/s",
                            flush=True,
                        )
    keep("options", {"machine": machine(), "summary": summary(measured), "cells": measured})


def summary(measured: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """The rate of each variant relative to plain predictions, by connections: the median over the rounds."""
    found: dict[str, dict[str, float]] = {}
    for variant, cells in measured.items():
        for connections in CONNECTIONS:
            ratios = [
                (cell["requests"] / cell["seconds"]) / (plain["requests"] / plain["seconds"])
                for cell, plain in zip(cells, measured["plain"], strict=True)
                if cell["connections"] == connections
            ]
            found.setdefault(variant, {})[str(connections)] = round(statistics.median(ratios), 2)
    return found


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"options: {error}")
