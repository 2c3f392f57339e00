"""Samples where a worker's time goes while it answers single predictions.

    python -m load_tests.profiling      # writes load_tests/measurements/profiling.json and plots/flame.svg

py-spy must be allowed to look into the worker: run it as root, or see its documentation.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil

from load_tests.compare.client import load, single_predictions
from load_tests.compare.server import HOME, ROOT, CompareError, serve
from load_tests.measurements import keep

CONNECTIONS = 32
SECONDS = 8
SAMPLES_A_SECOND = 250

PARTS = {
    "prometheus_client/": "journal: log, metrics, drift",
    "propensity/http/access_log.py": "journal: log, metrics, drift",
    "propensity/http/request_metrics.py": "journal: log, metrics, drift",
    "propensity/monitoring/": "journal: log, metrics, drift",
    "propensity/serving/journal.py": "journal: log, metrics, drift",
    "propensity/http/cycle.py": "HTTP (uvicorn, httptools, protocol, cycle)",
    "propensity/http/protocol.py": "HTTP (uvicorn, httptools, protocol, cycle)",
    "uvicorn/": "HTTP (uvicorn, httptools, protocol, cycle)",
    "propensity/access/": "authorization",
    "propensity/http/host.py": "authorization",
    "propensity/serving/dispatcher.py": "dispatcher",
    "propensity/model/": "scoring",
    "propensity/contract/": "reading and writing",
    "propensity/formats/": "reading and writing",
    "propensity/": "endpoint, exchange, admission",
}
"""What a sample is counted as, by the innermost of its frames that is listed."""

REST = "event loop and the rest"


def parts(stacks: str) -> dict[str, float]:
    """Share of the samples by part, from py-spy's raw output."""
    samples: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = reversed(stack.split(";"))
        part = next((PARTS[path] for frame in frames for path in PARTS if path in frame), REST)
        if part.startswith("HTTP") and "run_asgi" not in stack and "data_received" not in stack:
            part = REST  # uvicorn's own main function is below everything
        samples[part] += int(count)
    return {part: round(count / samples.total(), 4) for part, count in samples.most_common()}


def main() -> None:
    """The command."""
    trial = single_predictions()
    py_spy = str(Path(sys.executable).with_name("py-spy"))
    stacks = HOME / "stacks"
    outputs = {"raw": stacks, "flamegraph": ROOT / "load_tests/plots/flame.svg"}
    outputs["flamegraph"].parent.mkdir(exist_ok=True)
    with serve(trial.contender, trial.environment) as server:
        worker = max(server.process.children(recursive=True), key=_is_worker)
        for kind, path in outputs.items():
            print(f"profiling: {SECONDS} s for {path.name}", flush=True)
            seconds = SECONDS + 3
            arguments = (server, trial.request, trial.token, trial.folder, CONNECTIONS, seconds)
            caller = threading.Thread(target=load, args=arguments)
            caller.start()
            options = ["--duration", str(SECONDS), "--rate", str(SAMPLES_A_SECOND), "--nonblocking"]
            into = ["--format", kind, "--output", str(path)]
            subprocess.run(
                [py_spy, "record", "--pid", str(worker.pid), *into, *options],
                check=True, capture_output=True,
            )  # fmt: skip
            caller.join()
    flames = outputs["flamegraph"]
    # Of this machine, and of no use to a reader: where the project lies.
    flames.write_text(flames.read_text(encoding="utf-8").replace(f"{ROOT}/", ""), encoding="utf-8")
    keep("profiling", {"connections": CONNECTIONS, "parts": parts(stacks.read_text(encoding="utf-8"))})


def _is_worker(process: psutil.Process) -> bool:
    return any("worker.service" in part for part in process.cmdline())


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"profiling: {error}")
