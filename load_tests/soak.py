"""Soaks the service: callers of every kind, and faults at random, for as long as it is told.

python -m load_tests.soak [MINUTES]      # 10 unless told; writes load_tests/measurements/soak.json

Two workers, with prediction log and challenger on. One is killed now and then; the other lives throughout,
and shows what grows with time. Ends with exit code 1 where anything was answered that should not have been,
or where memory or file handles grew.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pyarrow as pa

from load_tests.compare.client import imported, prepare
from load_tests.compare.contenders import CONTENDERS, THIS
from load_tests.compare.server import HOME, CompareError, Server, serve
from load_tests.demonstration import CONTRACT
from load_tests.demonstration import rows as holdout_rows
from load_tests.measurements import keep
from propensity.access.tokens import new_token

WORKERS = 2
SEED = 2026
SAMPLE_SECONDS = 5
FAULT_SECONDS = (8, 16)
"""Seconds between two faults."""

KILL_SECONDS = 20
"""Seconds after a worker was killed in which its callers may fail."""

NEW_CONNECTION = 0.05
"""The share of requests that close their connection, so that both workers get callers after a kill."""

MAX_DRIFT = 0.1
"""The share by which memory may grow, from the second minute to the last."""

MAX_MORE_HANDLES = 10


@dataclass(frozen=True)
class Kind:
    """A kind of request, and how it is to be answered."""

    name: str
    callers: int
    expected: frozenset[int]
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass
class Soak:
    """What became of everything."""

    server: Server
    token: str
    tokens: Path
    ends_at: float
    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    unexpected: list[str] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.ends_at

    def since_start(self) -> float:
        """Seconds."""
        return round(time.monotonic() - self.started, 1)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for what no HTTP library sends."""
        host, port = self.server.url.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port))

    def head(self, length: int) -> str:
        """What precedes a body of this length on such a connection."""
        return (
            f"POST /v1/predict HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )


def single(token: str, name: str = "single", callers: int = 1) -> Kind:
    """The prediction of one row."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps(CONTRACT.example).encode()
    return Kind(name, callers, frozenset({200, 429}), "/v1/predict", body, headers)


def kinds(token: str) -> list[Kind]:
    """Every kind of request; most are predictions."""
    rows = holdout_rows()[:1_000]
    misspelt = CONTRACT.example | {"no such field": 3}
    table = pa.Table.from_pylist(rows)
    arrow = pa.BufferOutputStream()
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    batch = json.dumps({CONTRACT.rows: rows[:100]}).encode()
    empty = json.dumps({CONTRACT.rows: [{}] * 2_000 + [CONTRACT.example]}).encode()
    mixed = json.dumps({CONTRACT.rows: [*rows[:50], misspelt, 7]}).encode()
    lines = "\n".join(json.dumps(row) for row in rows[:50]).encode()
    good = single(token, callers=6)
    one, many, authorized = good.path, "/v1/predict_batch", good.headers
    # Bursts fill the worker now and then; who is sent away then is told so.
    fine, wrong = good.expected, frozenset({400, 429})
    of_ndjson = authorized | {"Content-Type": "application/x-ndjson"}
    of_arrow = authorized | {"Content-Type": "application/vnd.apache.arrow.stream"}
    return [
        good,
        Kind("batch of 100", 2, fine, many, batch, authorized),
        Kind("batch with invalid rows", 1, fine, many, mixed, authorized),
        Kind("batch of 2,000 without a field, and one", 1, fine, many, empty, authorized),
        Kind("single, explained", 1, fine, f"{one}?explain=true", good.body, authorized),
        Kind("batch of 100, explained", 1, fine, f"{many}?explain=true", batch, authorized),
        Kind("NDJSON of 50", 1, fine, many, lines, of_ndjson),
        Kind("Arrow of 1,000", 1, fine, many, arrow.getvalue().to_pybytes(), of_arrow),
        Kind("invalid", 1, frozenset({422, 429}), one, json.dumps(misspelt).encode(), authorized),
        Kind("not JSON", 1, wrong, one, b"\xff\x00{", authorized),
        Kind("a name twice", 1, wrong, one, b'{"a": 3, "a": 4}', authorized),
        Kind("no Arrow", 1, wrong, many, b"\xff\xff\xff\xff" + bytes(range(256)) * 8, of_arrow),
        Kind("too large", 1, frozenset({413, 429}), one, b" " * (CONTRACT.limits.row_bytes + 1), authorized),
        Kind("no token", 1, frozenset({401}), one, good.body, {"Content-Type": "application/json"}),
        Kind("wrong token", 1, frozenset({401}), one, good.body, {"Authorization": "Bearer wrong"}),
        Kind("nothing there", 1, frozenset({404}), "/v2", b"", authorized),
    ]


async def call(soak: Soak, session: aiohttp.ClientSession, kind: Kind) -> None:
    """One request, and what became of it."""
    try:
        async with session.post(soak.server.url + kind.path, data=kind.body, headers=kind.headers) as answer:
            content = await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        soak.failures.append(soak.since_start())
        await asyncio.sleep(0.05)
        return
    soak.answers[kind.name][answer.status] += 1
    if answer.status not in kind.expected or (answer.status == 200 and b"propensity" not in content):
        soak.unexpected.append(f"{soak.since_start()} s: {kind.name}: {answer.status}: {content[:200]!r}")


async def caller(soak: Soak, session: aiohttp.ClientSession, kind: Kind, chance: random.Random) -> None:
    """Sends one request after the other."""
    while not soak.is_over:
        closing = {"Connection": "close"} if chance.random() < NEW_CONNECTION else {}
        await call(soak, session, replace(kind, headers=kind.headers | closing))
        await asyncio.sleep(chance.uniform(0, 0.02))


async def leaver(soak: Soak, chance: random.Random) -> None:
    """A caller who leaves: in the middle of the body, or before the answer."""
    body = json.dumps(CONTRACT.example)
    request = f"{soak.head(len(body))}{body}".encode()
    while not soak.is_over:
        with suppress(OSError):
            _, writer = await soak.connect()
            writer.write(request[: chance.randint(1, len(request))])
            await writer.drain()
            await asyncio.sleep(chance.uniform(0, 0.1))
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)


Fault = Callable[[Soak, aiohttp.ClientSession, random.Random], Awaitable[None]]


async def kill_a_worker(soak: Soak, _: aiohttp.ClientSession, __: random.Random) -> None:
    """The younger one: the other shows what grows with time."""
    workers = soak.server.workers()
    if len(workers) == WORKERS:
        workers[-1].send_signal(signal.SIGKILL)


async def remove_the_tokens(soak: Soak, _: aiohttp.ClientSession, __: random.Random) -> None:
    """Make it unreadable for two seconds; the last good ones stay in use."""
    await _without_tokens(soak, soak.tokens.unlink)


async def corrupt_the_tokens(soak: Soak, _: aiohttp.ClientSession, __: random.Random) -> None:
    """Make it unreadable for two seconds; the last good ones stay in use."""
    await _without_tokens(soak, lambda: soak.tokens.write_bytes(b"\xff nonsense"))


async def _without_tokens(soak: Soak, spoil: Callable[[], object]) -> None:
    content = soak.tokens.read_bytes()
    spoil()
    await asyncio.sleep(2)
    soak.tokens.write_bytes(content)


async def add_a_token(soak: Soak, session: aiohttp.ClientSession, _: random.Random) -> None:
    """It is good at once, and the others stay so."""
    token = new_token(soak.tokens, "newcomer", ["predict"])
    await call(soak, session, single(token, "new token"))


async def burst(soak: Soak, session: aiohttp.ClientSession, _: random.Random) -> None:
    """A thousand requests at once."""
    one = single(soak.token, "burst")
    await asyncio.gather(*(call(soak, session, one) for _ in range(1_000)))


async def hang(soak: Soak, _: aiohttp.ClientSession, chance: random.Random) -> None:
    """Two hundred connections that begin a request and say no more, until the service gives them up."""
    request = f"{soak.head(300)}{{".encode()

    async def one() -> None:
        with suppress(OSError):
            reader, writer = await soak.connect()
            writer.write(request)
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.readline(), chance.uniform(5, 15))
                soak.answers["slow body"][int(answer.split()[1]) if answer else 0] += 1
            writer.close()

    await asyncio.gather(*(one() for _ in range(200)))


FAULTS: dict[str, Fault] = {
    "worker killed": kill_a_worker,
    "tokens file removed": remove_the_tokens,
    "tokens file corrupted": corrupt_the_tokens,
    "token added": add_a_token,
    "burst of 1,000": burst,
    "200 slow bodies": hang,
}


async def faults(soak: Soak, session: aiohttp.ClientSession, chance: random.Random) -> None:
    """One at a time, in random order, each as often as the others."""
    names: list[str] = []
    while not soak.is_over:
        names = names or chance.sample(sorted(FAULTS), len(FAULTS))
        name = names.pop()
        soak.faults.append((soak.since_start(), name))
        await FAULTS[name](soak, session, chance)
        await asyncio.sleep(chance.uniform(*FAULT_SECONDS))


async def watch(soak: Soak) -> None:
    """Memory and handles, every few seconds, and a line of progress a minute."""
    before = 0
    while not soak.is_over:
        await asyncio.sleep(SAMPLE_SECONDS)
        oldest = soak.server.workers()[0]
        answered = sum(sum(counter.values()) for counter in soak.answers.values())
        sample = {
            "seconds": soak.since_start(),
            "requests_per_second": round((answered - before) / SAMPLE_SECONDS, 1),
            "worker_pid": oldest.pid,
            "worker_mb": round(oldest.memory_info().rss / 1e6, 2),
            "worker_handles": oldest.num_fds() - len(oldest.net_connections()),
            "worker_connections": len(oldest.net_connections()),
            "supervisor_mb": round(soak.server.process.memory_info().rss / 1e6, 2),
            "supervisor_handles": soak.server.process.num_fds(),
        }
        before = answered
        soak.samples.append(sample)
        if len(soak.samples) % (60 // SAMPLE_SECONDS) == 0:
            minutes = round(sample["seconds"] / 60)
            print(
                f"soak: minute {minutes}: {answered:,} answered, {len(soak.failures)} failed,"
                f" {len(soak.unexpected)} unexpected, worker {sample['worker_mb']:.0f} MB",
                flush=True,
            )


async def run(soak: Soak) -> None:
    """Everything at once, until the time is up."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        callers = [
            caller(soak, session, kind, random.Random(f"{SEED} {kind.name} {number}"))
            for kind in kinds(soak.token)
            for number in range(kind.callers)
        ]
        leaving = leaver(soak, random.Random(SEED))
        await asyncio.gather(*callers, leaving, faults(soak, session, random.Random(SEED)), watch(soak))


def figures(soak: Soak, seconds: int) -> dict[str, Any]:
    """What is kept: counts, and how memory and handles moved, by the medians of two minutes."""
    a_minute = 60 // SAMPLE_SECONDS
    early, late = soak.samples[a_minute : 2 * a_minute] or soak.samples[:1], soak.samples[-a_minute:]

    def drift(what: str) -> dict[str, float]:
        first, last = (statistics.median(sample[what] for sample in part) for part in (early, late))
        return {"second_minute": first, "last_minute": last, "change": round(last / first - 1, 4)}

    kills = [at for at, name in soak.faults if name == "worker killed"]
    explained = [at for at in soak.failures if any(0 <= at - kill <= KILL_SECONDS for kill in kills)]
    return {
        "seconds": seconds,
        "workers": WORKERS,
        "seed": SEED,
        "answered": sum(sum(counter.values()) for counter in soak.answers.values()),
        "answers": {
            name: {str(status): count for status, count in sorted(counter.items())}
            for name, counter in soak.answers.items()
        },
        "failed": len(soak.failures),
        "failed_without_a_kill": len(soak.failures) - len(explained),
        "unexpected": soak.unexpected[:20],
        "faults": dict(sorted(Counter(name for _, name in soak.faults).items())),
        "fault_times": [[at, name] for at, name in soak.faults],
        "worker_lived_throughout": len({sample["worker_pid"] for sample in soak.samples}) == 1,
        "drift": {what: drift(what) for what in ("worker_mb", "worker_handles", "supervisor_mb")},
        "samples": soak.samples,
    }


def verdict(found: dict[str, Any]) -> list[str]:
    """What is wrong with a soak; nothing, if it passed."""
    wrong = [f"answered otherwise than expected: {line}" for line in found["unexpected"]]
    if found["failed_without_a_kill"]:
        wrong.append(f"{found['failed_without_a_kill']} requests failed while no worker had been killed")
    if not found["worker_lived_throughout"]:
        wrong.append("the worker that nobody killed has died")
    wrong += [
        f"{what} grew by {found['drift'][what]['change']:.0%}"
        for what in ("worker_mb", "supervisor_mb")
        if found["drift"][what]["change"] > MAX_DRIFT
    ]
    handles = found["drift"]["worker_handles"]
    if handles["last_minute"] - handles["second_minute"] > MAX_MORE_HANDLES:
        wrong.append(f"file handles grew from {handles['second_minute']} to {handles['last_minute']}")
    return wrong


def main() -> None:
    """The command."""
    given = sys.argv[1] if len(sys.argv) > 1 else "10"
    if len(sys.argv) > 2 or not given.isdecimal() or int(given) < 1:
        sys.exit("usage: python -m load_tests.soak [MINUTES]")
    seconds = 60 * int(given)
    (contender,) = [each for each in CONTENDERS if each.name == THIS]
    environments, token = prepare()
    # Itself: a challenger of the same size.
    challenger = str(imported().tag)
    settings = {"PROPENSITY_WORKERS": str(WORKERS), "PROPENSITY_CHALLENGER": challenger}
    tokens = Path(environments["compiled"]["PROPENSITY_TOKENS_FILE"])
    print(f"soak: {given} minutes, {WORKERS} workers, faults every {FAULT_SECONDS} s", flush=True)
    with TemporaryDirectory(dir=HOME) as log:
        own = replace(contender, environment={**settings, "PROPENSITY_LOG_FOLDER": log})
        with serve(own, environments["compiled"]) as server:
            soak = Soak(server, token, tokens, time.monotonic() + seconds)
            asyncio.run(run(soak))
    found = figures(soak, seconds)
    keep("soak", found)
    print(f"soak: {found['answered']:,} answered, {found['failed']} failed")
    wrong = verdict(found)
    if wrong:
        sys.exit("soak: " + "; ".join(wrong))


if __name__ == "__main__":
    try:
        main()
    except CompareError as error:
        sys.exit(f"soak: {error}")
