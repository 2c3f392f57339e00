"""Faults, injected into a served Bento under load: every request is counted as sent, answered or failed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, ROOT, TOKEN_LINES, token_line
from demonstration import EXAMPLE
from models import Poisoned
from servers import BENTOML, Callers, serving
from starlette.testclient import TestClient

from propensity.access.authorization import BELIEF_SECONDS
from propensity.app import PredictionApp

CALLERS = 16
STALE = 'propensity_credentials_stale{source="tokens"}'


def callers_of(worker: psutil.Process) -> int:
    """Connections that are open, and neither listened on nor being closed."""
    return sum(each.status == psutil.CONN_ESTABLISHED for each in worker.net_connections())


def test_a_worker_that_is_killed_fails_its_own_requests_alone_and_comes_back(
    bento: Path, tmp_path: Path
) -> None:
    with serving(bento, tmp_path, {"PROPENSITY_WORKERS": "2"}) as served:
        before = served.workers()

        async def main() -> Callers:
            async with Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers:
                await callers.answered(200)
                # The worker with more callers: the kernel may have given all of them to one.
                killed = max(before, key=lambda pid: callers_of(before[pid]))
                os.kill(killed, signal.SIGKILL)
                while killed in (now := served.workers()) or len(now) < len(before):
                    await asyncio.sleep(0.1)
                await callers.answered(1_000)
            return callers

        tally = asyncio.run(main()).tally
        assert len(before) == 2
        assert set(tally.answers) == {200}
        # Clients of the killed worker fail once each, and may have met it again while it ended.
        assert 0 < len(tally.failures) <= 2 * CALLERS, tally
        assert tally.sent == tally.ended
        in_progress = r'bentoml_service_request_in_progress\{endpoint="/v1/predict"[^}]*\}'
        # The new worker, when it starts, drops what the dead one had in progress.
        for _ in range(100):
            if served.metric(in_progress, METRICS_AUTHORIZED) == 0:
                break
            time.sleep(0.1)
        assert served.metric(in_progress, METRICS_AUTHORIZED) == 0


def test_sigterm_drains_and_drops_no_answer(bento: Path, tmp_path: Path) -> None:
    with serving(bento, tmp_path, {"PROPENSITY_WORKERS": "2", "PROPENSITY_DRAIN_SECONDS": "3"}) as served:

        async def main() -> tuple[Callers, int]:
            async with (
                httpx2.AsyncClient() as balancer,
                Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers,
            ):
                await callers.answered(500)
                served.process.terminate()
                while (await balancer.get(f"{served.url}/readyz")).status_code == 200:
                    await asyncio.sleep(0.05)
                not_ready_at = callers.tally.ended
                # A load balancer needs some time to notice.
                await asyncio.sleep(0.5)
            return callers, not_ready_at

        callers, not_ready_at = asyncio.run(main())
        tally = callers.tally
        assert tally.failures == []
        assert tally.answers == {200: tally.sent}
        assert tally.sent > not_ready_at + CALLERS, "nothing was answered any more once it was not ready"
        served.process.wait(timeout=30)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{served.url}/livez")


def test_a_tokens_file_that_goes_bad_under_load_costs_no_request(bento: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN_LINES)
    with serving(bento, tmp_path, {"PROPENSITY_TOKENS_FILE": str(tokens)}) as served:

        def is_stale() -> bool:
            return bool(served.metric(STALE.replace("{", r"\{"), METRICS_AUTHORIZED))

        async def main() -> Callers:
            async with Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers:
                await callers.answered(200)
                for break_it in (
                    tokens.unlink,
                    lambda: tokens.write_text("scoring:predict:123\n"),
                    lambda: tokens.write_bytes(b"\xff\x00"),
                ):
                    break_it()
                    await asyncio.sleep(BELIEF_SECONDS)
                    await callers.answered(200)
                    assert await asyncio.to_thread(is_stale)
                    tokens.with_suffix(".new").write_text(TOKEN_LINES)
                    tokens.with_suffix(".new").replace(tokens)
                    await asyncio.sleep(BELIEF_SECONDS)
                    await callers.answered(200)
                    assert not await asyncio.to_thread(is_stale)
            return callers

        tally = asyncio.run(main()).tally
        assert tally.failures == []
        assert tally.answers == {200: tally.sent}
        log = served.log.read_text()
        assert log.count("the tokens read before stay valid") >= 3
        assert "No such file or directory" in log
        assert "line 1: not name:scope:sha256" in log
        assert "not UTF-8" in log


def test_a_tokens_file_that_is_replaced_under_load_is_used_within_a_second(
    bento: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN_LINES)
    with serving(bento, tmp_path, {"PROPENSITY_TOKENS_FILE": str(tokens)}) as served:

        async def main() -> Callers:
            async with Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers:
                await callers.answered(200)
                tokens.with_suffix(".new").write_text(token_line("scoring", "predict", "another"))
                tokens.with_suffix(".new").replace(tokens)
                await asyncio.sleep(2 * BELIEF_SECONDS)
                refused_at = callers.tally.answers[200]
                await callers.answered(200)
                assert callers.tally.answers[200] == refused_at
            return callers

        tally = asyncio.run(main()).tally
        assert tally.failures == []
        assert set(tally.answers) == {200, 401}
        assert tally.sent == tally.ended
        another = {"Authorization": "Bearer another"}
        assert httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=another).status_code == 200


@pytest.mark.parametrize(
    ("file", "part", "changed_to", "said"),
    [
        ("model.npz", b"places.npy", b"places.npx", "model.npz"),
        ("model.yaml", b"seed: 2026", b"seed: 2027", "signature"),
        ("model.yaml", b"seed: 2026", b"seed:\x0b2026", "model.yaml can't be read"),
    ],
)
def test_a_store_entry_that_was_changed_keeps_the_service_from_starting_and_is_named(
    bento: Path, tmp_path: Path, tag: str, file: str, part: bytes, changed_to: bytes, said: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(Path(os.environ["BENTOML_HOME"]) / "models", home / "models")
    changed = home / "models" / tag.replace(":", "/") / file
    content = changed.read_bytes()
    assert part in content
    changed.write_bytes(content.replace(part, changed_to))
    done = subprocess.run(
        # BentoML itself reads model.yaml of a Bento, and has its own message for invalid YAML.
        [BENTOML, "serve", str(ROOT if b"\x0b" in changed_to else bento), "--port", "0"],
        env=os.environ | {"BENTOML_HOME": str(home)}, cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert tag in done.stderr
    assert said in done.stderr


def test_a_poisonous_row_in_a_merged_batch_costs_its_caller_alone(
    client: TestClient, app: PredictionApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint: Any = app._operations["/v1/predict"]
    poisoned = Poisoned(endpoint._predictor._form)
    monkeypatch.setattr(endpoint._predictor, "_form", poisoned)
    # As with a slow model: it is called in a thread, and requests that arrive meanwhile are merged.
    monkeypatch.setattr(endpoint._predicting, "_instant_rows", 0)
    ages = list(range(27, 67)) * 5

    def status(age: int) -> tuple[int, str | None]:
        answer = client.post("/v1/predict", json=EXAMPLE | {"age": age}, headers=AUTHORIZED)
        return answer.status_code, answer.json().get("type")

    with ThreadPoolExecutor(len(ages)) as threads:
        statuses = list(threads.map(status, ages))
    assert statuses == [(500, "../problems#model-failed") if age == 66 else (200, None) for age in ages]
    # Predicted one by one, they would have taken as many calls as there are requests.
    assert poisoned.calls < len(ages)


@pytest.mark.thorough
def test_a_clock_that_jumps_costs_no_request(bento: Path, tmp_path: Path) -> None:
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        pytest.skip("no libfaketime (apt install faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    faked = {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PROPENSITY_RATE_LIMIT": "1000000/minute",
    }
    with serving(bento, tmp_path, faked) as served:

        async def main() -> Callers:
            async with Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers:
                for jump in ("+0", "+400d", "-400d", "+1h", "+0"):
                    clock.write_text(f"{jump}\n")
                    await callers.answered(300)
            return callers

        tally = asyncio.run(main()).tally
        years = {line[9:13] for line in served.log.read_text().splitlines() if line.startswith('{"time":"')}
        assert len(years) >= 3, "the clock did not jump"
        assert tally.failures == []
        assert tally.answers == {200: tally.sent}
        duration = r'bentoml_service_request_duration_seconds_sum\{endpoint="/v1/predict"[^}]*\}'
        assert 0 < served.metric(duration, METRICS_AUTHORIZED) < 600


@pytest.mark.thorough
def test_a_full_disk_under_the_log_costs_no_request(bento: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full, serving(bento, tmp_path, stdout=full) as served:

        async def main() -> Callers:
            async with Callers(served.url, CALLERS, EXAMPLE, AUTHORIZED) as callers:
                await callers.answered(1_000)
            return callers

        tally = asyncio.run(main()).tally
        assert tally.failures == []
        assert tally.answers == {200: tally.sent}
        # The service log goes to the same full disk: only Python's own message about that is left.
        assert "access log: %s; lines are lost" in served.log.read_text()
