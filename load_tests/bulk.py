"""Measures scoring files: rows a second and memory, by format and size, and on Spark.

    python -m load_tests.bulk        # some minutes, 2 GB of disk; writes load_tests/measurements/bulk.json

The rows are generated: whole ones drawn from the hold-out set, with an id of their own. Memory is the
largest resident set of the process that scores, as the kernel counts it; of Spark, of its driver, which in
local mode is also its executor, and of its Python workers.
"""

from __future__ import annotations

import json
import os
import shutil
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
ROWS = {"parquet": [1_000_000, 10_000_000], "csv": [1_000_000], "ndjson": [1_000_000], "spark": [10_000_000]}
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


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and the most memory in MB that it and its children hold together.

    Raises:
        SystemExit: it fails.
    """
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        most = 0.0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            held = 0
            for each in [process, *process.children(recursive=True)]:
                with suppress(psutil.Error):  # it has just ended
                    held += each.memory_info().rss
            most = max(most, held / 1e6)
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        if status:
            log.seek(0)
            sys.exit(f"bulk: {command} failed: {log.read().decode()[-2_000:]}")
    # Of the process itself the kernel knows it exactly.
    return seconds, max(most, usage.ru_maxrss * 1024 / 1e6)


def main() -> None:
    """The command."""
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=ROOT / ".local") as name:
        folder = Path(name)
        for kind, sizes in ROWS.items():
            for rows in sizes:
                if kind == "spark" and shutil.which("java") is None:
                    sys.exit(
                        "bulk: Spark needs Java 17; install it (Debian, Ubuntu: apt install openjdk-17-jre)"
                    )
                suffix = "parquet" if kind == "spark" else kind
                source, output = folder / f"{rows}.{suffix}", folder / f"out-{kind}-{rows}.{suffix}"
                if not source.exists():
                    generate(rows, source)
                if kind == "spark":
                    command = [sys.executable, "-c", SPARK, str(source), str(output)]
                else:
                    command = [sys.executable, "-m", "propensity", "score", str(source), str(output)]
                    command += ["--id", "row_id"]
                seconds, memory = measure(command)
                found = pq.read_metadata(output).num_rows if kind == "parquet" else None
                if found not in {None, rows}:
                    sys.exit(f"bulk: {output} has {found:,} rows instead of {rows:,}")
                measured.append(
                    {
                        "kind": kind,
                        "rows": rows,
                        "seconds": round(seconds, 2),
                        "rows_per_second": round(rows / seconds),
                        "memory_mb": round(memory),
                    }
                )
                print(
                    f"bulk: {kind}, {rows:,} rows: {rows / seconds:,.0f} rows/s, at most {memory:,.0f} MB",
                    flush=True,
                )
                if output.is_dir():
                    shutil.rmtree(output)
                else:
                    output.unlink()
    keep("bulk", {"machine": machine(), "cells": measured})


if __name__ == "__main__":
    main()
