"""Says what it takes to answer a load, from the committed measurements.

propensity capacity --rps 2000 --p99-ms 50 [--rows 1] [--core-hour 0.04]
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass

from load_tests.demonstration import CONTRACT, MANIFEST, rows
from load_tests.report.figures import SIZES, THIS, Comparison, Scaling, cell
from propensity.contract.prediction import Prediction

HEADROOM = 0.7
"""Share of the measured capacity that is planned with: beyond it, queues grow faster than load."""

WORKERS_A_POD = 1
SPARE_PODS = 1
"""One may be down, or be replaced, without loss."""

CORE_HOUR = 0.04
"""Price of a core for an hour, in whatever money; a usual order of magnitude of cloud list prices in USD."""

GB_A_CORE = 4.0
MBIT_A_CORE = 500.0
"""What a machine brings with each core; whichever of core, memory and network is used up first binds."""

HEADER_BYTES = 350
"""HTTP headers of a request and its answer, about."""


class CapacityError(Exception):
    """A load that the measurements say nothing about; the message says why."""


@dataclass(frozen=True)
class Capacity:
    """What one worker can do at requests of one size.

    Attributes:
        rps: requests a second.
        p99_ms: their latency at that load.
    """

    rps: float
    p99_ms: float


@dataclass(frozen=True)
class Plan:
    """What a load takes."""

    worker: Capacity
    workers: int
    pods: int
    memory_gb: float
    network_mbit: float
    price_of_a_million: float
    binds: str


def _measured(size: int) -> list[Capacity]:
    """What one worker was seen to do at a measured size."""
    if size == 1:
        scaling = Scaling()
        return [
            Capacity(scaling.rate(1, each), scaling.median(1, each, "p99_ms")) for each in scaling.connections
        ]
    comparison = Comparison()
    cells = [cell(connections, size) for connections in (1, 8)]
    return [Capacity(comparison.rate(THIS, each), comparison.median(THIS, each, "p99_ms")) for each in cells]


def of_worker(rows: int, p99_ms: float) -> Capacity:
    """What one worker can do within a latency; between measured sizes, the time of a request is interpolated.

    Raises:
        CapacityError: nothing that was measured stays within the latency, or has so many rows.
    """
    if not SIZES[0] <= rows <= SIZES[-1]:
        raise CapacityError(f"requests of {SIZES[0]} to {SIZES[-1]:,} rows were measured, not of {rows:,}")
    below = max(size for size in SIZES if size <= rows)
    above = min(size for size in SIZES if size >= rows)
    share = (rows - below) / (above - below) if above > below else 0.0
    ends = []
    for size in (below, above):
        within = [each for each in _measured(size) if each.p99_ms <= p99_ms]
        if not within:
            least = min(each.p99_ms for each in _measured(size))
            raise CapacityError(
                f"no load of {size:,} rows a request was answered within {p99_ms:g} ms; the least p99 was"
                f" {least:.1f} ms: send smaller batches, or allow more time"
            )
        ends.append(max(within, key=lambda each: each.rps))
    low, high = ends
    seconds = (1 - share) / low.rps + share / high.rps
    return Capacity(1 / seconds, (1 - share) * low.p99_ms + share * high.p99_ms)


def plan(rps: float, p99_ms: float, rows: int = 1, core_hour: float = CORE_HOUR) -> Plan:
    """What it takes to answer a load.

    Args:
        rps: requests a second.
        p99_ms: that 99 of 100 requests are to be answered within.
        rows: rows a request, as JSON.
        core_hour: price of a core for an hour.

    Raises:
        CapacityError: the measurements say nothing about such a load.
    """
    worker = of_worker(rows, p99_ms)
    scaling = Scaling()
    workers = math.ceil(rps / (worker.rps * HEADROOM))
    pods = math.ceil(workers / WORKERS_A_POD) + SPARE_PODS
    memory_gb = pods * (scaling.base_mb() + WORKERS_A_POD * scaling.worker_mb()) / 1_000
    network_mbit = rps * (HEADER_BYTES + rows * _bytes_a_row()) * 8 / 1e6
    price = core_hour / 3_600 / (worker.rps * HEADROOM * rows) * 1e6
    used = {
        "CPU": pods * WORKERS_A_POD,
        "memory": memory_gb / GB_A_CORE,
        "network": network_mbit / MBIT_A_CORE,
    }
    return Plan(worker, workers, pods, memory_gb, network_mbit, price, max(used, key=lambda name: used[name]))


def _bytes_a_row() -> float:
    """Bytes of a row and of its prediction, as JSON."""
    known = rows()
    answer = Prediction(
        propensity=0.1339591267082814,
        decision=CONTRACT.decisions.negative,
        threshold=MANIFEST.threshold.value,
        model=f"{MANIFEST.name}:0123456789ab",
    )
    asked = sum(len(json.dumps(row)) for row in known) / len(known)
    return asked + len(answer.model_dump_json(exclude_none=True))


def run(rps: float, p99_ms: float, rows: int, core_hour: float) -> None:
    """Run the command `capacity`."""
    if rps <= 0 or p99_ms <= 0 or core_hour <= 0:
        sys.exit("propensity capacity: --rps, --p99-ms and --core-hour must be more than 0")
    try:
        needed = plan(rps, p99_ms, rows, core_hour)
    except CapacityError as error:
        sys.exit(f"propensity capacity: {error}")
    print(
        f"One worker answers {needed.worker.rps:,.0f} requests/s of {rows:,} rows at a p99 of"
        f" {needed.worker.p99_ms:.1f} ms; planned with {HEADROOM:.0%} of that.\n"
        f"workers  {needed.workers:,} (a core each)\n"
        f"pods     {needed.pods:,} of {WORKERS_A_POD} worker each, {SPARE_PODS} of them spare\n"
        f"cores    {needed.pods * WORKERS_A_POD:,}\n"
        f"memory   {needed.memory_gb:.1f} GB\n"
        f"network  {needed.network_mbit:,.1f} Mbit/s, both ways together\n"
        f"binds    {needed.binds}\n"
        f"price    {needed.price_of_a_million:.4f} a million predictions,"
        f" at {core_hour:g} a core and hour"
    )


if __name__ == "__main__":
    sys.exit("load_tests.capacity: it is a command now: `propensity capacity`")
