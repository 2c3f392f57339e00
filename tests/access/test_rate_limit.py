"""The rate limit: requests of each caller in one worker and over all, with and without a real Redis."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, TOKEN_LINES, token_line
from demonstration import EXAMPLE
from limits import parse
from redis import Redis
from redis.exceptions import RedisError
from servers import serving

from load_tests.compare.server import free_port
from propensity.access import rate_limit
from propensity.access.configuration import allowance
from propensity.access.rate_limit import RateLimit
from propensity.contract.problem import ProblemError
from propensity.settings import SettingError


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[str]:
    """A Redis of our own; yields its URL."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("no Redis (apt install redis-server)")
    process = subprocess.Popen(
        [command, "--port", str(port), "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        with Redis(port=port) as client:
            for _ in range(100):
                with suppress(RedisError):
                    client.ping()
                    break
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


async def taken(limit: RateLimit, caller: str, times: int) -> int:
    """The number of requests that the limit lets pass."""
    through = 0
    for _ in range(times):
        try:
            await limit.take(caller)
            through += 1
        except ProblemError as error:
            assert error.problem.type == "../problems#rate-limited"
            assert error.headers is not None
            assert 1 <= int(error.headers["Retry-After"]) <= 60
    return through


def test_each_caller_has_a_share_of_its_own() -> None:
    async def main() -> None:
        limit = RateLimit(parse("5/minute"))
        assert await taken(limit, "a", 20) == 5
        assert await taken(limit, "b", 20) == 5
        assert await taken(limit, "a", 1) == 0

    asyncio.run(main())


def test_a_share_comes_back_with_time() -> None:
    async def main() -> None:
        limit = RateLimit(parse("5/second"))
        assert await taken(limit, "a", 20) == 5
        await asyncio.sleep(2.1)
        assert await taken(limit, "a", 20) == 5

    asyncio.run(main())


def test_a_clock_that_jumps_back_sends_nobody_away_for_longer_than_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        limit = RateLimit(parse("5/minute"))
        assert await taken(limit, "a", 6) == 5

        class Clock:
            monotonic = staticmethod(time.monotonic)

            @staticmethod
            def time() -> float:
                return time.time() - 86_400

        monkeypatch.setattr(rate_limit, "time", Clock)
        assert await taken(limit, "a", 1) == 0

    asyncio.run(main())


def test_redis_counts_for_all_workers_together(tmp_path: Path) -> None:
    with redis_server(tmp_path, free_port()) as url:

        async def main() -> None:
            workers = [RateLimit(parse("10/minute"), url) for _ in range(3)]
            through = [await taken(worker, "a", 8) for worker in workers]
            assert sum(through) == 10
            for worker in workers:
                await worker.close()

        asyncio.run(main())


def test_while_redis_is_gone_each_worker_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_RETRY_SECONDS", 0.2)
    port = free_port()

    async def main() -> None:
        with redis_server(tmp_path, port) as url:
            limit = RateLimit(parse("10/minute"), url)
            assert await taken(limit, "a", 4) == 4
        assert await taken(limit, "a", 20) == 10, "by its own count"
        with redis_server(tmp_path, port):
            await asyncio.sleep(0.3)
            assert await taken(limit, "a", 20) == 10, "by the count of the new Redis"
            await limit.close()

    asyncio.run(main())
    messages = [record.message for record in caplog.records if record.message.startswith("rate limit: Redis")]
    assert len(messages) == 1
    assert messages[0].endswith("each worker counts for itself for 0.2 s")


def test_a_redis_that_does_not_answer_costs_a_moment_and_not_the_request(tmp_path: Path) -> None:
    with redis_server(tmp_path, free_port()) as url:

        async def main() -> None:
            limit = RateLimit(parse("10/minute"), url)
            assert await taken(limit, "a", 1) == 1
            with Redis.from_url(url) as stopped:
                stopped.execute_command("CLIENT", "PAUSE", "3000")
            started = time.monotonic()
            assert await taken(limit, "a", 5) == 5
            assert time.monotonic() - started < 2, "the pause was waited for"
            await limit.close()

        asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROPENSITY_RATE_LIMIT", "many", "PROPENSITY_RATE_LIMIT is 'many'; it must be like 600/minute"),
        ("PROPENSITY_RATE_LIMIT", "10", "it must be like 600/minute"),
        ("PROPENSITY_RATE_LIMIT_REDIS", "localhost:6379", "REDIS must begin with redis://"),
    ],
)
def test_a_limit_that_can_not_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv("PROPENSITY_RATE_LIMIT", "5/minute")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        allowance()


def test_without_a_limit_there_is_none() -> None:
    assert allowance() is None


def test_the_served_bento_limits_each_caller_over_its_workers_and_leaves_metrics_alone(
    bento: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN_LINES + token_line("another", "predict", "another"))
    with redis_server(tmp_path, free_port()) as url:
        environment = {
            "PROPENSITY_TOKENS_FILE": str(tokens),
            "PROPENSITY_RATE_LIMIT": "20/hour",
            "PROPENSITY_RATE_LIMIT_REDIS": url,
            "PROPENSITY_WORKERS": "2",
        }
        with serving(bento, tmp_path, environment) as served:

            def statuses(headers: dict[str, str], path: str = "/v1/predict") -> Counter[int]:
                # One connection per request, so that both workers get some.
                alone = headers | {"Connection": "close"}
                with httpx2.Client(base_url=served.url, headers=alone) as client:
                    return Counter(client.post(path, json=EXAMPLE).status_code for _ in range(40))

            assert statuses(AUTHORIZED) == {200: 20, 429: 20}
            assert statuses({"Authorization": "Bearer another"}) == {200: 20, 429: 20}
            assert statuses(AUTHORIZED, "/nope") == {429: 40}
            assert statuses({"Authorization": "Bearer wrong"}) == {401: 40}
            with httpx2.Client(headers=METRICS_AUTHORIZED) as scraper:
                for _ in range(30):
                    assert scraper.get(f"{served.url}/metrics").status_code == 200
