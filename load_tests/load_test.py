"""Runs Locust headless against a service of its own, with each kind of user in turn.

python -m load_tests.load_test      # about a minute; writes load_tests/measurements/load_test.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from load_tests.compare.client import prepare
from load_tests.compare.contenders import CONTENDERS, THIS
from load_tests.compare.server import ROOT, CompareError, serve
from load_tests.measurements import keep

USERS = ["SingleUser", "BatchUser", "MixedUser"]
CALLERS = 16
SECONDS = 15


def main() -> None:
    """The command."""
    (contender,) = [each for each in CONTENDERS if each.name == THIS]
    environments, token = prepare()
    locust = str(Path(sys.executable).with_name("locust"))
    measured: dict[str, list[dict[str, Any]]] = {}
    with serve(contender, environments["compiled"]) as server:
        for user in USERS:
            print(f"load-test: {CALLERS} callers of kind {user} for {SECONDS} s", flush=True)
            options = ["--headless", "--users", str(CALLERS), "--spawn-rate", str(CALLERS)]
            limits = [
                "--run-time",
                f"{SECONDS}s",
                "--json",
                "--loglevel",
                "WARNING",
                "--exit-code-on-error",
                "1",
            ]
            done = subprocess.run(
                [locust, "-f", "load_tests/locustfile.py", "--host", server.url, *options, *limits, user],
                cwd=ROOT, env=os.environ | {"TOKEN": token}, stdout=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"load-test: requests failed, or Locust did; its output: {done.stdout[-500:]}")
            measured[user] = [_figures(entry) for entry in json.loads(done.stdout)]
    keep("load_test", {"callers": CALLERS, "users": measured})


def _figures(entry: dict[str, Any]) -> dict[str, Any]:
    """What Locust says of one path."""
    times = {float(milliseconds): count for milliseconds, count in entry["response_times"].items()}
    requests = entry["num_requests"]

    def percentile(share: float) -> float:
        passed = 0
        for milliseconds in sorted(times):
            passed += times[milliseconds]
            if passed >= share * requests:
                return milliseconds
        return max(times)

    return {
        "path": entry["name"],
        "requests": requests,
        "failures": entry["num_failures"],
        "requests_per_second": round(requests / (entry["last_request_timestamp"] - entry["start_time"]), 1),
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
    }


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"load-test: {error}")
