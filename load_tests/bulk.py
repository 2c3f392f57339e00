"""Measures scoring files: rows a second and memory, by format and size, and on Spark.

    python -m load_tests.bulk        # some minutes, 5 GB of disk; writes load_tests/measurements/bulk.json

The rows are generated: whole ones drawn from the hold-out set, with an id of their own. A command with N
processes gets N cores, so that one of them says what a core does; Spark gets all. Seconds are the median
over the rounds, and include the start of the command. Memory is the largest resident set of the process that
scores, as the kernel counts it, or of it and its children together; of Spark, of its driver, which in local
mode is also its executor, and of its Python workers.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from load_tests.compare.client import machine
from load_tests.compare.server import ROOT
from load_tests.demonstration import rows as holdout_rows
from load_tests.measurements import keep

SEED = 20_26
PIECE = 100_000
ROUNDS = 3
CELLS = [
    ("parquet", 1_000_000, 1),
    ("parquet", 10_000_000, 1),
    ("parquet", 40_000_000, 1),
    ("parquet", 40_000_000, 2),
    ("csv", 5_000_000, 1),
    ("csv", 5_000_000, 2),
    ("ndjson", 5_000_000, 1),
    ("ndjson", 5_000_000, 2),
    ("spark", 10_000_000, 1),
]
"""Kind, rows, and processes that score."""

SAMPLE_SECONDS = 0.1

SPARK = """
import sys
from pyspark.sql import SparkSession
from propensity.files.spark import score
session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = session.config("spark.sql.execution.arrow.maxRecordsPerBatch", "50000").getOrCreate()
score(spark.read.parquet(sys.argv[1]), id_column="row_id").write.parquet(sys.argv[2])
"""


def generate(rows: int, path: Path) -> None:
    """Write rows, a piece at a time."""
    holdout = pa.Table.from_pylist(holdout_rows())
    chance = np.random.default_rng(SEED)
    writer: Any = None
    with path.open("wb") as file:
        for start in range(0, rows, PIECE):
            table = holdout.take(chance.integers(0, len(holdout), PIECE))
            table = table.add_column(0, "row_id", pa.array(np.arange(start, start + PIECE)))
            if path.suffix == ".ndjson":
                file.writelines(f"{json.dumps(row)}\n".encode() for row in table.to_pylist())
                continue
            if writer is None:
                make = pq.ParquetWriter if path.suffix == ".parquet" else pa.csv.CSVWriter
                writer = make(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def measure(command: list[str], cores: int) -> tuple[float, float]:
    """Seconds that a command takes, and the most memory in MB that it and its children hold together.

    Args:
        command: its words.
        cores: how many it may use.

    Raises:
        SystemExit: it fails.
    """
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        family = psutil.Process(process.pid)
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        most = 0.0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            held = 0
            with suppress(psutil.Error):  # one of them has just ended
                for each in [family, *family.children(recursive=True)]:
                    held += each.memory_info().rss
            most = max(most, held / 1e6)
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode:
            log.seek(0)
            sys.exit(f"bulk: {command} failed: {log.read().decode()[-2_000:]}")
    # Of the process itself the kernel knows it exactly.
    return seconds, max(most, usage.ru_maxrss * 1024 / 1e6)


def command(kind: str, source: Path, output: Path, processes: int) -> list[str]:
    """The command that scores a file."""
    if kind == "spark":
        return [sys.executable, "-c", SPARK, str(source), str(output)]
    score = [sys.executable, "-m", "propensity", "score", str(source), str(output), "--id", "row_id"]
    return score if processes == 1 else [*score, "--processes", str(processes)]


def main() -> None:
    """The command."""
    if shutil.which("java") is None:
        sys.exit("bulk: Spark needs Java 17; install it (Debian, Ubuntu: apt install openjdk-17-jre)")
    measured: list[list[tuple[float, float]]] = [[] for _ in CELLS]
    with tempfile.TemporaryDirectory(dir=ROOT / ".local") as name:
        folder = Path(name)
        for number in range(ROUNDS):
            for found, (kind, rows, processes) in zip(measured, CELLS, strict=True):
                suffix = "parquet" if kind == "spark" else kind
                source, output = folder / f"{rows}.{suffix}", folder / f"out.{suffix}"
                if not source.exists():
                    generate(rows, source)
                cores = (os.cpu_count() or 1) if kind == "spark" else processes
                seconds, memory = measure(command(kind, source, output, processes), cores)
                scored = pq.read_metadata(output).num_rows if kind == "parquet" else rows
                if scored != rows:
                    sys.exit(f"bulk: {output} has {scored:,} rows instead of {rows:,}")
                found.append((seconds, memory))
                print(
                    f"bulk: round {number + 1} of {ROUNDS}: {kind}, {rows:,} rows, {processes} processes:"
                    f" {rows / seconds:,.0f} rows/s, at most {memory:,.0f} MB",
                    flush=True,
                )
                shutil.rmtree(output) if output.is_dir() else output.unlink()
    cells = [_cell(*each, found) for each, found in zip(CELLS, measured, strict=True)]
    keep("bulk", {"machine": machine(), "cells": cells})


def _cell(kind: str, rows: int, processes: int, found: list[tuple[float, float]]) -> dict[str, Any]:
    seconds = statistics.median(seconds for seconds, _ in found)
    return {
        "kind": kind,
        "rows": rows,
        "processes": processes,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "memory_mb": round(max(memory for _, memory in found)),
    }


if __name__ == "__main__":
    main()
