"""How the demonstration model behaves, whatever its metrics: invariance, direction, minimum functionality."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from conftest import AUTHORIZED
from demonstration import CATEGORIES, CONTRACT, EXAMPLE, NULLABLE
from starlette.testclient import TestClient

from propensity.contract.features import Features
from propensity.model.forms import Form

Applications = list[dict[str, Any]]


def changed(applications: Applications, **changes: object) -> Features:
    return CONTRACT.encode([application | changes for application in applications])


def test_the_order_of_fields_does_not_matter(client: TestClient) -> None:
    fields = list(EXAMPLE.items())
    propensities = set()
    for seed in range(10):
        random.Random(seed).shuffle(fields)
        body = json.dumps(dict(fields))
        answer = client.post(
            "/v1/predict", content=body, headers=AUTHORIZED | {"Content-Type": "application/json"}
        )
        propensities.add(answer.json()["propensity"])
    assert len(propensities) == 1


def test_the_order_of_applications_does_not_matter(form: Form, applications: Applications) -> None:
    backwards = form.propensities(CONTRACT.encode(applications[::-1]))[::-1]
    assert np.array_equal(form.propensities(CONTRACT.encode(applications)), backwards)


def test_company_in_a_batch_does_not_matter(form: Form, applications: Applications) -> None:
    features = CONTRACT.encode(applications[:30])
    together = form.propensities(features)
    alone = [float(form.propensities(features[[place]])[0]) for place in range(30)]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("safer", "riskier", "share"),
    [
        ({"records": "no"}, {"records": "yes"}, 1.0),
        ({"seniority": 20.0}, {"seniority": 0.0}, 1.0),
        ({"assets": 20_000.0}, {"assets": 0.0}, 1.0),
        ({"income": 300.0}, {"income": 60.0}, 0.98),
        ({"job": "fixed"}, {"job": "partime"}, 0.98),
    ],
    ids=["past default", "short seniority", "no assets", "low income", "part-time job"],
)
def test_what_makes_a_default_likelier_raises_the_propensity(
    form: Form,
    applications: Applications,
    safer: dict[str, Any],
    riskier: dict[str, Any],
    share: float,
) -> None:
    """`share` of the hold-out applications must follow: trees are not monotone by construction."""
    rises = form.propensities(changed(applications, **riskier)) > form.propensities(
        changed(applications, **safer)
    )
    assert rises.mean() >= share


GOOD = EXAMPLE | {
    "records": "no",
    "job": "fixed",
    "seniority": 20,
    "home": "owner",
    "income": 300,
    "assets": 10_000,
}
BAD = EXAMPLE | {
    "records": "yes",
    "job": "partime",
    "seniority": 0,
    "home": "other",
    "income": 60,
    "amount": 1_500,
}


def test_an_obviously_good_and_an_obviously_bad_application_are_told_apart(form: Form) -> None:
    good, bad = form.propensities(CONTRACT.encode([GOOD, BAD]))
    assert good < 0.05
    assert bad > 0.8


@pytest.mark.parametrize("field", sorted(NULLABLE))
def test_a_missing_value_still_gives_a_propensity(form: Form, applications: Applications, field: str) -> None:
    propensities = form.propensities(changed(applications, **{field: None}))
    assert np.all((propensities > 0) & (propensities < 1))


def test_an_application_with_everything_missing_that_may_be_is_predicted(form: Form) -> None:
    (propensity,) = form.propensities(CONTRACT.encode([EXAMPLE | dict.fromkeys(NULLABLE)]))
    assert 0 < propensity < 1


@pytest.mark.parametrize("field", CATEGORIES)
def test_every_category_is_known_to_the_pipeline(form: Form, field: str, pipeline: Any) -> None:
    encoder = pipeline.named_steps["preprocessing"].named_transformers_["categories"]
    known = dict(zip(encoder.feature_names_in_, encoder.categories_, strict=True))
    assert tuple(known[field]) == CATEGORIES[field]
    for category in CATEGORIES[field]:
        (propensity,) = form.propensities(CONTRACT.encode([EXAMPLE | {field: category}]))
        assert 0 < propensity < 1


def test_the_corners_of_the_contract_give_a_propensity(form: Form) -> None:
    lowest = {"seniority": 0, "time": 1, "age": 18, "expenses": 0, "income": 0, "assets": 0, "debt": 0}
    highest = {"seniority": 60, "time": 120, "age": 100, "expenses": 100_000, "income": 100_000}
    most = {"assets": 10_000_000, "debt": 10_000_000, "amount": 1_000_000, "price": 1_000_000}
    corners = [EXAMPLE | lowest | {"amount": 1, "price": 1}, EXAMPLE | highest | most]
    propensities = form.propensities(CONTRACT.encode(corners))
    assert np.all((propensities > 0) & (propensities < 1))
