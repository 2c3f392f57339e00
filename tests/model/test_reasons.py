"""Reason codes: exact, in every language of the contract, and only when requested."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bodies import stream
from conftest import AUTHORIZED
from demonstration import CATEGORIES, COLUMNS, CONTRACT, EXAMPLE, NUMBERS, SINGLE, pipeline_form
from gate import Gate
from rows import around_splits
from starlette.testclient import TestClient

from propensity.access.authorization import Caller
from propensity.contract.features import Features, Propensities
from propensity.contract.limits import MAX_REASONS, MAX_ROWS
from propensity.model.grids import ExplainedGridsForm
from propensity.model.predictor import Predictor
from propensity.model.reasons import Reasons
from propensity.serving.admission import InFlight
from propensity.serving.endpoint import PredictionEndpoint


def log_odds(propensity: Any) -> Any:
    return np.log(propensity / (1 - propensity))


def test_base_and_contributions_add_up_to_the_log_odds(
    pipeline: Any, form: ExplainedGridsForm, applications: list[dict[str, Any]]
) -> None:
    features = CONTRACT.encode([*applications, *around_splits(pipeline, 2_000)])
    added = form.base + form.contributions(features).sum(axis=1)
    assert np.abs(added - log_odds(form.propensities(features))).max() < 1e-12
    assert np.abs(added - log_odds(pipeline_form(pipeline).propensities(features))).max() < 1e-6


def shapley(pipeline: Any, features: Any) -> tuple[Any, float]:
    """Contributions and base by definition: over all sets of columns, on the trees of the notebook."""
    classifier = pipeline.named_steps["classifier"]
    encoded = pipeline.named_steps["preprocessing"].transform(pipeline_form(pipeline).input(features))[0]
    column_of = [*NUMBERS, *(name for name in CATEGORIES for _ in CATEGORIES[name])]
    found = dict.fromkeys(COLUMNS, 0.0)
    base = log_odds(classifier.init_.class_prior_[1])
    for (estimator,) in classifier.estimators_:
        tree = estimator.tree_

        def value(node: int, known: frozenset[str], tree: Any = tree) -> Any:
            left, right = tree.children_left[node], tree.children_right[node]
            if left < 0:
                return float(tree.value[node, 0, 0]) * classifier.learning_rate
            if column_of[tree.feature[node]] in known:
                goes_left = encoded[tree.feature[node]] <= tree.threshold[node]
                return value(left if goes_left else right, known)
            weights = [tree.weighted_n_node_samples[child] for child in (left, right)]
            return float(np.average([value(left, known), value(right, known)], weights=weights))

        players = sorted({column_of[feature] for feature in tree.feature if feature >= 0})
        worth = {
            frozenset(each): value(0, frozenset(each))
            for size in range(len(players) + 1)
            for each in combinations(players, size)
        }
        base += worth[frozenset()]
        for known, of_known in worth.items():
            for player in set(players) - known:
                orders = math.factorial(len(known)) * math.factorial(len(players) - len(known) - 1)
                share = orders / math.factorial(len(players))
                found[player] += share * (worth[known | {player}] - of_known)
    return np.array([found[name] for name in COLUMNS]), float(base)


@pytest.mark.parametrize("place", [0, 7])
def test_contributions_are_the_shapley_values_of_the_notebooks_trees(
    pipeline: Any, form: ExplainedGridsForm, place: int
) -> None:
    features = CONTRACT.encode(around_splits(pipeline, 8))[[place]]
    contributions, base = shapley(pipeline, features)
    assert form.base == pytest.approx(base, abs=1e-9)
    assert form.contributions(features)[0] == pytest.approx(contributions, abs=1e-9)


def asked(client: TestClient, path: str, **request: Any) -> Any:
    request["headers"] = AUTHORIZED | request.get("headers", {})
    return client.post(path, **request)


def test_a_prediction_is_explained_where_that_is_asked_for(client: TestClient) -> None:
    plain = asked(client, "/v1/predict", json=EXAMPLE).json()
    assert asked(client, "/v1/predict?explain=false", json=EXAMPLE).json() == plain
    answer = asked(client, "/v1/predict?explain=true", json=EXAMPLE).json()
    explanation = answer.pop("explanation")
    assert answer == plain
    assert [*explanation["contributions"]] == [*COLUMNS]
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert 1 / (1 + math.exp(-total)) == pytest.approx(plain["propensity"], abs=1e-12)
    upwards = sorted((by for by in explanation["contributions"].values() if by > 0), reverse=True)
    reasons = explanation["reasons"]
    assert [reason["contribution"] for reason in reasons] == upwards[:MAX_REASONS]
    for reason in reasons:
        assert explanation["contributions"][reason["field"]] == reason["contribution"]
        assert [*reason] == ["field", "contribution", *CONTRACT.languages]


def test_reasons_are_what_adds_most_and_equal_ones_in_the_order_of_the_fields() -> None:
    features = CONTRACT.encode([EXAMPLE, EXAMPLE])
    added = np.array([[0.5, -2.0, 0.0, 0.25, *[0.5] * (len(COLUMNS) - 4)], np.full(len(COLUMNS), -1e-9)])
    some, none = Reasons(CONTRACT).explain(features, -1.5, added)
    places = [0, *range(4, len(COLUMNS))][:MAX_REASONS]
    assert [reason.field for reason in some.reasons] == [COLUMNS[place] for place in places]
    assert {reason.contribution for reason in some.reasons} == {0.5}
    assert [*some.contributions.values()] == added[0].tolist()
    assert (some.base, none.base, none.reasons) == (-1.5, -1.5, [])


def rows_of(answer: Any, media_type: str) -> Iterator[dict[str, Any]]:
    if media_type == "application/json":
        yield from answer.json()["predictions"]
    elif media_type == "application/x-ndjson":
        yield from map(json.loads, answer.text.splitlines())
    else:
        for row in pa.ipc.open_stream(answer.content).read_all().to_pylist():
            assert (row["problem"] is None) != (row["explanation"] is None)
            explanation = row["explanation"]
            yield {"explanation": json.loads(explanation)} if explanation else json.loads(row["problem"])


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"]
)
def test_each_row_of_a_batch_is_explained_in_its_place(client: TestClient, media_type: str) -> None:
    applications = [EXAMPLE, EXAMPLE | {"age": 7}, EXAMPLE | {"income": None}]
    answer = asked(
        client, "/v1/predict_batch?explain=true", json={"applications": applications},
        headers={"Accept": media_type},
    )  # fmt: skip
    first, problem, last = rows_of(answer, media_type)
    assert problem["errors"][0]["field"] == "age"
    for row, application in ((first, EXAMPLE), (last, applications[2])):
        alone = asked(client, "/v1/predict?explain=true", json=application).json()["explanation"]
        assert [reason["en"] for reason in row["explanation"]["reasons"]] == (
            [reason["en"] for reason in alone["reasons"]]
        )
        assert row["explanation"]["contributions"] == pytest.approx(alone["contributions"], abs=1e-12)


def test_a_table_without_explanations_has_no_column_for_them(client: TestClient) -> None:
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    answer = asked(client, "/v1/predict_batch", json={"applications": [EXAMPLE]}, headers=accept)
    with pa.ipc.open_stream(answer.content) as reader:
        assert reader.schema.names == ["propensity", "decision", "threshold", "model", "problem"]


@pytest.mark.parametrize(
    "query",
    ["explain=yes", "explain=1", "explain=True", "explain=TRUE", "explain=", "explain", "explain=true%20",
     "explain=true;x=1", "explain=true%26", "Explain=true", "EXPLAIN=true", "explian=true", "expain=1",
     "explains", "explanation=true", "explanations=true", "xplain=true", "explain[]=true", "?explain=true",
     "%3Fexplain=true", "amp;explain=true", "explain%3Dtrue", "with_explain=true", "a=b&explian=true",
     "explain=true&explain=true", "explain=false&x=1&explain=true", "e%78plian=true"],
)  # fmt: skip
def test_explanations_that_are_asked_for_wrongly_are_refused(client: TestClient, query: str) -> None:
    answer = asked(client, f"/v1/predict?{query}", json=EXAMPLE)
    assert answer.status_code == 400
    assert answer.json()["type"] == "../problems#invalid-query"
    assert "explain=true or explain=false" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "is_explained"),
    [("", False), ("utm_source=x", False), ("utm_source=explain", False), ("x", False), ("&", False),
     ("?", False), ("&&=&", False), ("%00=%ff&\xe9", False), ("plan=gold&lang=en&expires=1", False),
     ("explain=false&utm_source=x", False), ("explain=true&utm_source=x", True), ("_=1&explain=true", True),
     ("explain=true&", True), ("&explain=true", True), ("e%78plain=tr%75e", True), ("a=1&a=2", False)],
)  # fmt: skip
def test_other_parameters_are_passed_over(client: TestClient, query: str, is_explained: bool) -> None:
    answer = asked(client, f"/v1/predict?{query}", json=EXAMPLE)
    assert answer.status_code == 200
    assert ("explanation" in answer.json()) == is_explained


def test_parameters_are_bounded(client: TestClient) -> None:
    answer = asked(client, "/v1/predict?" + "&".join(f"p{number}=1" for number in range(60)), json=EXAMPLE)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "the query string has more than 50 parameters; only explain counts"


def test_more_rows_than_are_explained_at_a_time_are_refused(client: TestClient) -> None:
    columns = {name: [value] * (MAX_ROWS + 1) for name, value in EXAMPLE.items()}
    body = {
        "content": stream(pa.table(columns)),
        "headers": {"Content-Type": "application/vnd.apache.arrow.stream"},
    }
    answer = asked(client, "/v1/predict_batch?explain=true", **body)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "at most 10,000 applications are explained at a time; split the batch"
    assert asked(client, "/v1/predict_batch", **body).status_code == 200


def test_a_model_that_is_served_as_a_pipeline_says_that_it_is_not_explained(pipeline: Any) -> None:
    predictor = Predictor(pipeline_form(pipeline), CONTRACT, 0.26, "propensity:pipeline")
    with pytest.raises(TypeError, match="propensity:pipeline has no explanations"):
        predictor.explain(CONTRACT.encode([EXAMPLE]))

    class Anyone:
        async def caller(self, _: str) -> Caller:
            return Caller("anyone", frozenset({"predict"}))

    async def predict(features: Features) -> Propensities:
        return predictor.predict(features)

    dispatcher: Any = SimpleNamespace(predict=predict)
    with ThreadPoolExecutor(1) as threads:
        endpoint = PredictionEndpoint(SINGLE, 10, InFlight(), threads)
        endpoint.start(predictor, dispatcher, dispatcher)
        answer = TestClient(Gate(endpoint, [Anyone()])).post(
            "/v1/predict?explain=true", json=EXAMPLE, headers=AUTHORIZED
        )
    assert answer.status_code == 501
    assert answer.json()["detail"] == "propensity:pipeline has no explanations; ask without explain"
