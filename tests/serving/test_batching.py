"""Micro-batching in the served Bento: concurrent requests share model calls, and each gets its own answer."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED
from starlette.testclient import TestClient

CALLERS = 500


def histogram(server: str, method: str) -> tuple[float, float]:
    """The number of model calls so far, and of the requests that they merged."""
    text = httpx2.get(f"{server}/metrics", headers=METRICS_AUTHORIZED).text

    def value(suffix: str) -> float:
        pattern = (
            rf'^bentoml_service_adaptive_batch_size_{suffix}\{{[^}}]*method_name="{method}"[^}}]*\}} (.+)$'
        )
        return sum(float(found) for found in re.findall(pattern, text, re.MULTILINE))

    return value("count"), value("sum")


async def at_once(server: str, path: str, bodies: list[Any]) -> list[Any]:
    limits = httpx2.Limits(max_connections=CALLERS)
    async with httpx2.AsyncClient(base_url=server, headers=AUTHORIZED, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * len(bodies)
    return [answer.json() for answer in answers]


@pytest.fixture(scope="module")
def bodies(holdout: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["application"] for row in holdout[:CALLERS]]


@pytest.fixture(scope="module")
def expected(client: TestClient, bodies: list[dict[str, Any]]) -> list[Any]:
    """The answer to each body, as one batch gets it from a service without other requests."""
    answer = client.post("/v1/predict_batch", json={"applications": bodies}, headers=AUTHORIZED)
    predictions: list[Any] = answer.json()["predictions"]
    assert len({prediction["propensity"] for prediction in predictions}) > CALLERS * 0.9
    return predictions


def test_500_concurrent_single_predictions_are_merged_and_not_swapped(
    server: str, bodies: list[dict[str, Any]], expected: list[Any]
) -> None:
    calls_before, requests_before = histogram(server, "predict")
    answers = asyncio.run(at_once(server, "/v1/predict", bodies))
    calls_after, requests_after = histogram(server, "predict")
    assert answers == expected
    assert requests_after - requests_before == CALLERS
    # How many are merged depends on how fast the client is: the service does not wait for it.
    assert calls_after - calls_before < CALLERS


def test_concurrent_batches_are_merged_and_not_swapped(
    server: str, bodies: list[dict[str, Any]], expected: list[Any]
) -> None:
    cuts = [slice(start, start + 1 + start % 7) for start in range(0, CALLERS - 7, 4)]
    calls_before, requests_before = histogram(server, "predict_batch")
    answers = asyncio.run(
        at_once(server, "/v1/predict_batch", [{"applications": bodies[cut]} for cut in cuts])
    )
    calls_after, requests_after = histogram(server, "predict_batch")
    assert answers == [{"predictions": expected[cut], "problems": 0} for cut in cuts]
    assert requests_after - requests_before == len(cuts)
    assert calls_after - calls_before < len(cuts)


def test_batches_that_exceed_one_model_call_together_come_back_whole(
    server: str, bodies: list[dict[str, Any]], expected: list[Any]
) -> None:
    large = [(bodies * 14)[start : start + 6_000] for start in (0, 1, 2, 3)]
    answers = asyncio.run(at_once(server, "/v1/predict_batch", [{"applications": rows} for rows in large]))
    for start, answer in enumerate(answers):
        assert answer["predictions"] == (expected * 14)[start : start + 6_000]


def test_a_caller_with_an_invalid_row_costs_concurrent_callers_nothing(
    server: str, bodies: list[dict[str, Any]], expected: list[Any]
) -> None:
    batches = [
        {
            "applications": [bodies[number], bodies[number] | {"age": 17}]
            if number % 3 == 0
            else [bodies[number]]
        }
        for number in range(90)
    ]
    answers = asyncio.run(at_once(server, "/v1/predict_batch", batches))
    for number, answer in enumerate(answers):
        assert answer["predictions"][0] == expected[number]
        assert answer["problems"] == (1 if number % 3 == 0 else 0)
