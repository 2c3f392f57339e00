"""Measures the first minute: from a clean clone to the answer of its own service, by `make serve`.

    python -m load_tests.first_minute      # some minutes; writes load_tests/measurements/first_minute.json

The packages lie in the caches of pip and uv, as after a first installation: a network would be measured
otherwise. Then, in the same clone, the tools of the tests are installed on top, which `make serve` does
without. Each is the median over the rounds.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from load_tests.compare.client import machine
from load_tests.compare.server import ROOT, free_port
from load_tests.measurements import keep

ROUNDS = 3

STEPS = {"make: installing": "install", "notebook:": "notebook", "make: importing": "import", "{": "start"}
"""The steps, by how the first line of each begins."""

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("BENTOML_", "MAKE", "PROPENSITY_"))
    and name not in {"MFLAGS", "TOKEN", "VIRTUAL_ENV"}
}
"""As in the shell of somebody new."""


def serve(checkout: Path) -> dict[str, float]:
    """Run `make serve` until it prints a request to paste; return the seconds of each step.

    Raises:
        SystemExit: it ends before.
    """
    began: dict[str, float] = {}
    printed = ""
    started = time.perf_counter()
    with subprocess.Popen(
        ["make", "serve", f"PORT={free_port()}"], cwd=checkout, env=ENVIRONMENT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            printed += line
            for beginning, step in STEPS.items():
                if line.startswith(beginning):
                    began.setdefault(step, time.perf_counter())
            if line.startswith("curl "):
                break
        else:
            sys.exit(f"first-minute: make serve failed: {printed[-2_000:]}")
        ready = time.perf_counter()
        os.killpg(process.pid, signal.SIGINT)
    ends = [*list(began.values())[1:], ready]
    steps = {step: end - began[step] for step, end in zip(began, ends, strict=True)}
    return steps | {"total": ready - started}


def installed(checkout: Path, target: str) -> float:
    """Make what a target installs; return the seconds."""
    started = time.perf_counter()
    subprocess.run(
        ["make", "--silent", target], cwd=checkout, env=ENVIRONMENT, check=True, capture_output=True
    )
    return time.perf_counter() - started


def megabytes(folder: Path) -> float:
    """What the files below a folder take, those with several names once."""
    files = {(found := path.lstat()).st_ino: found.st_size for path in folder.rglob("*") if path.is_file()}
    return sum(files.values()) / 1e6


def main() -> None:
    """The command."""
    rounds: list[dict[str, float]] = []
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as name:
            checkout = Path(name) / "checkout"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
            found = serve(checkout)
            found["mb"] = megabytes(checkout / ".venv")
            found["tools"] = installed(checkout, ".venv/.spark")
            found["tools_mb"] = megabytes(checkout / ".venv") - found["mb"]
        rounds.append(found)
        print(
            f"first-minute: round {number} of {ROUNDS}: {found['total']:.0f} s, {found['mb']:.0f} MB",
            flush=True,
        )
    medians: dict[str, Any] = {
        what: round(statistics.median(each[what] for each in rounds), 1) for what in rounds[0]
    }
    keep("first_minute", {"machine": machine(), "rounds": ROUNDS, **medians})


if __name__ == "__main__":
    main()
