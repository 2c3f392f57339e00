"""Measures how long the service takes from its start to ready, and what it imports meanwhile.

    python -m load_tests.start       # a minute; writes load_tests/measurements/start.json

It is started in turn as it comes, and with Python writing down its imports, which costs a little. The time of
a package is that of its own modules in all processes: the supervisor and then a worker import them.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections import Counter
from typing import Any

from load_tests.compare.client import machine, single_predictions
from load_tests.compare.server import HOME, CompareError, serve
from load_tests.measurements import keep

ROUNDS = 5
_IMPORT = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)


def packages(log: str) -> dict[str, float]:
    """Milliseconds by package, of what Python wrote down."""
    spent: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(log):
        spent[module.partition(".")[0]] += int(microseconds)
    return {package: round(each / 1_000, 1) for package, each in spent.most_common()}


def main() -> None:
    """The command."""
    trial = single_predictions()
    log = HOME / "logs" / "this-bundle.log"
    profiled = trial.environment | {"PYTHONPROFILEIMPORTTIME": "1"}
    seconds: list[float] = []
    imported: list[dict[str, float]] = []
    for number in range(1, ROUNDS + 1):
        with serve(trial.contender, trial.environment) as server:
            seconds.append(round(server.start_seconds, 2))
        with serve(trial.contender, profiled):
            pass
        imported.append(packages(log.read_text(encoding="utf-8")))
        print(f"start: round {number} of {ROUNDS}: {seconds[-1]:.2f} s", flush=True)
    names = dict.fromkeys(name for each in imported for name in each)
    medians: dict[str, Any] = {
        name: statistics.median(each.get(name, 0.0) for each in imported) for name in names
    }
    ordered = dict(sorted(medians.items(), key=lambda item: -item[1]))
    keep("start", {"machine": machine(), "seconds": seconds, "imports_ms": ordered})


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"start: {error}")
